"""A project that has run."""

from tiny_project import finished, project, session_folder, tiny_raw

__all__ = ["finished", "project", "session_folder", "tiny_raw"]
