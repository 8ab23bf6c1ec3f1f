"""What datasets of a folder that is the user's, and only read, share."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from kedro.io import AbstractDataset, DatasetError

from cyto_kedro.datasets.urls import find_place

Out = TypeVar("Out")


class ReadOnlyFolder(AbstractDataset[None, Out]):
    """A folder of input that is never written.

    Parameters
    ----------
    path
        Path or URL of the folder.
    fs_args, credentials
        Handed to the fsspec file system.
    metadata
        Kept for plugins; unused here.
    """

    holds: ClassVar[str] = "input"

    def __init__(
        self,
        *,
        path: str,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._folder = str(path).rstrip("/")
        self._options = {**(credentials or {}), **(fs_args or {})}
        self.metadata = metadata

    def save(self, data: None) -> None:
        """Refuse, always, by DatasetError."""
        raise DatasetError(f"{self._folder} holds {self.holds}, which is read only")

    def _exists(self) -> bool:
        fs, path = find_place(self._folder, **self._options)
        return bool(fs.isdir(path))

    def _describe(self) -> dict[str, Any]:
        return {"path": self._folder}
