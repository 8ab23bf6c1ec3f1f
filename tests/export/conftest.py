"""A finished project to export."""

from tiny_project import finished, session_folder, tiny_raw

__all__ = ["finished", "session_folder", "tiny_raw"]
