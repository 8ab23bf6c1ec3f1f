"""Films to make environments of."""

from tiny_project import finished, session_folder, tiny_raw

__all__ = ["finished", "session_folder", "tiny_raw"]
