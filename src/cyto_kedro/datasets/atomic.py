"""Files written whole or not at all, and what all our file datasets share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from copy import copy
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, TypeVar
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError

from cyto_kedro.datasets.urls import find_place, open_parts
from cyto_kedro.errors import InputError

In = TypeVar("In")
Out = TypeVar("Out")


def write_whole(fs: AbstractFileSystem, path: str, writer: Callable[[IO[bytes]], object]) -> None:
    """Make `path` hold all that `writer` writes, or leave it as it was.

    Locally the bytes go to ``<path>.part-<uuid>`` in the same folder, are forced to disk, and the
    file is renamed over `path`; no other suffix is ever listed as a partition. Elsewhere they are
    gathered in memory and stored by one call, which object stores make visible at its end.

    `fs`, `path`: file system and the path in it; missing folders are made. `writer`: receives a
    seekable binary file. What it raises is raised again, with nothing left behind.
    """
    if not isinstance(fs, LocalFileSystem):
        buffer = BytesIO()
        writer(buffer)
        fs.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        fs.pipe_file(path, buffer.getvalue())
    else:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part-{uuid4().hex}")
        try:
            with part.open("w+b") as file:
                writer(file)
                file.flush()
                # a full disk or quota on a network share must be an error now, not after the rename
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    fs.invalidate_cache(str(PurePosixPath(path).parent))


def write_bytes(fs: AbstractFileSystem, path: str, content: bytes) -> None:
    """`write_whole` of ready bytes."""
    write_whole(fs, path, lambda file: file.write(content))


def rename_whole(part: str, path: str) -> None:
    """Rename a file to its place, after what its dataset wrote beside it (exports)."""
    for other in sorted(Path(part).parent.iterdir()):
        if other != Path(part):
            other.replace(Path(path).with_name(other.name))
    Path(part).replace(path)


def copy_whole(fs: AbstractFileSystem, source: str, target: str) -> None:
    """Copy a file, whole or not at all."""
    with fs.open(source, "rb") as file:
        write_whole(fs, target, lambda out: shutil.copyfileobj(file, out))


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder that becomes `folder` when it is done, or never.

    Raises InputError if `folder` holds anything.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} holds something already; give another --output, or remove it")
    made = folder.with_name(f".{folder.name}.{uuid4().hex}")
    made.mkdir(parents=True)
    try:
        write(made)
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


class FileDataset(AbstractDataset[In, Out]):
    """Base of the datasets that are one file on any fsspec file system.

    Parameters
    ----------
    filepath
        Path or URL of the file.
    load_args, save_args
        Options of the format; see each dataset.
    fs_args, credentials
        Handed to the fsspec file system.
    metadata
        Kept for plugins (kedro-viz reads layers from it); unused here.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._storage_options = {**(credentials or {}), **(fs_args or {})}
        self._fs, self._path = find_place(filepath, **self._storage_options)
        self._filepath = PurePosixPath(self._path)
        protocol = self._fs.protocol
        self._protocol = protocol if isinstance(protocol, str) else protocol[0]
        self._load_args = dict(load_args or {})
        self._save_args = dict(save_args or {})
        self.metadata = metadata

    @property
    def location(self) -> str:
        """The file as the user would name it: a plain path locally, else a URL."""
        local = isinstance(self._fs, LocalFileSystem)
        return self._path if local else str(self._fs.unstrip_protocol(self._path))

    def beside(self, path: str) -> Self:
        """The same dataset of another file of its file system, without what making one costs."""
        other = copy(self)
        other._path, other._filepath = path, PurePosixPath(path)
        return other

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self.location}

    def _exists(self) -> bool:
        return bool(self._fs.isfile(self._path))

    def _release(self) -> None:
        self._fs.invalidate_cache(str(self._filepath.parent))

    def _require(self) -> None:
        if not self._exists():
            raise DatasetError(
                f"{self.location} does not exist. Run the pipeline that writes it, or correct the "
                "filepath in the catalog."
            )

    def _write(self, writer: Callable[[IO[bytes]], object]) -> None:
        write_whole(self._fs, self._path, writer)

    def _write_bytes(self, content: bytes) -> None:
        write_bytes(self._fs, self._path, content)

    def _read(self) -> IO[bytes]:
        try:
            return open_parts(self._fs, self._path)
        except (FileNotFoundError, IsADirectoryError):
            self._require()
            raise
