"""Kedro projects to run the pipelines in."""

from tiny_project import finished, fresh, project, session_folder, tiny_raw

__all__ = ["finished", "fresh", "project", "session_folder", "tiny_raw"]
