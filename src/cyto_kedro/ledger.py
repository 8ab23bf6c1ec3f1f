"""The ledger: what each saved partition was made from, so that a run knows what is current.

An entry lies beside what it describes, ``<folder>/.ledger/<id>.json``, and is written when the
partition is saved, under every runner. It keeps one hash per input of the group (parameters with
the algorithms' versions, the content of input partitions, rows of input tables), and the hash of the
file that was written. A partition is *current* when it exists, is the file that the entry describes,
and its inputs' hashes are those that a run would find now. A *corrected* partition (put in place by
a person) is current whatever its inputs are: that is what the person decided.

Because inputs are hashed by content, redoing a step that gives the same bytes leaves what depends
on it current.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import fsspec
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from cyto_kedro.errors import PartitionError

FOLDER = ".ledger"


class Correction(BaseModel):
    """Who put a partition in place by hand, when and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str
    why: str
    when: datetime
    source: str


class Entry(BaseModel):
    """What the ledger keeps of one saved partition."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    inputs: dict[str, str]
    content: str
    size: int
    stamp: str | None = None
    run_id: str | None = None
    saved_at: datetime | None = None
    seconds: float | None = None
    correction: Correction | None = None

    @property
    def fingerprint(self) -> str:
        """One hash of all inputs."""
        return digest(self.inputs)


class Ledger:
    """The entries of one folder.

    Parameters
    ----------
    fs
        The fsspec file system.
    folder
        The folder whose files the entries describe.
    """

    def __init__(self, fs: fsspec.AbstractFileSystem, folder: str) -> None:
        self._fs, self._folder = fs, folder.rstrip("/")

    def _path(self, identity: str) -> str:
        return f"{self._folder}/{FOLDER}/{identity}.json"

    def read(self, identity: str) -> Entry | None:
        """The entry of `identity`, or None; an unreadable entry counts as none."""
        try:
            return Entry.model_validate_json(self._fs.cat_file(self._path(identity)))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, identity: str, entry: Entry) -> None:
        """Write the entry of `identity`, whole or not at all."""
        path = self._path(identity)
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        part = f"{path}.part"
        self._fs.pipe_file(part, entry.model_dump_json(indent=1).encode())
        self._fs.mv(part, path)

    def content(self, identity: str, path: str) -> str | None:
        """Hash of the file at `path`: the entry's, unless size or time say it was replaced."""
        try:
            size, stamp = stat(self._fs, path)
        except FileNotFoundError:
            return None
        entry = self.read(identity)
        if entry is not None and (entry.size, entry.stamp) == (size, stamp):
            return entry.content
        return hash_file(self._fs, path)

    def record(self, identity: str, path: str, inputs: dict[str, str], **more: Any) -> Entry:
        """Write the entry of the file at `path`, which was just saved, and return it."""
        size, stamp = stat(self._fs, path)
        content = hash_file(self._fs, path)
        entry = Entry(inputs=inputs, content=content, size=size, stamp=stamp, **more)
        self.write(identity, entry)
        return entry


def stat(fs: fsspec.AbstractFileSystem, path: str) -> tuple[int, str]:
    """Size of a file, and what its file system says of when it was written."""
    info = fs.info(path)
    when = (info.get(key) for key in ("mtime", "LastModified", "ETag", "created"))
    return int(info.get("size") or 0), str(next(filter(None, when), None))


def hash_file(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """BLAKE2b hash of a file's bytes."""
    hasher = hashlib.blake2b(digest_size=16)
    with fs.open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            hasher.update(chunk)
    return hasher.hexdigest()


def digest(value: Any) -> str:
    """A hash of plain values, arrays, tables and models, equal for equal content.

    An object with a ``fingerprint()`` method is hashed by what that returns.

    Raises
    ------
    PartitionError
        For a type whose content cannot be hashed.
    """
    hasher = hashlib.blake2b(digest_size=16)
    _feed(hasher, value)
    return hasher.hexdigest()


def _feed(hasher: Any, value: Any) -> None:
    if value is None or isinstance(value, bool | int | float | str | bytes | datetime):
        hasher.update(f"{type(value).__name__}:{value!r};".encode())
    elif callable(fingerprint := getattr(value, "fingerprint", None)):
        _feed(hasher, fingerprint())
    elif isinstance(value, RootModel):
        _feed(hasher, value.root)
    elif isinstance(value, BaseModel):
        _feed(hasher, {name: getattr(value, name) for name in type(value).model_fields})
    elif isinstance(value, pd.DataFrame):
        _feed(hasher, [str(name) for name in value.columns])
        hashed = pd.util.hash_pandas_object(value.astype(object).map(repr), index=False)
        hasher.update(hashed.to_numpy().tobytes())
    elif isinstance(value, np.ndarray):
        hasher.update(f"{value.dtype.str}{value.shape}".encode())
        hasher.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, np.generic):
        _feed(hasher, value.item())
    elif isinstance(value, Mapping):
        hasher.update(b"{")
        for key in sorted(value, key=repr):
            _feed(hasher, key)
            _feed(hasher, value[key])
        hasher.update(b"}")
    elif isinstance(value, list | tuple | set | frozenset):
        hasher.update(b"[")
        for item in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
            _feed(hasher, item)
        hasher.update(b"]")
    else:
        raise PartitionError(
            f"the ledger cannot hash a {type(value).__module__}.{type(value).__name__}"
        )


def changed(entry: Entry, inputs: Mapping[str, str]) -> list[str]:
    """Names of the inputs whose hashes differ from the entry's."""
    names = {*entry.inputs, *inputs}
    return sorted(name for name in names if entry.inputs.get(name) != inputs.get(name))


def as_json(value: Any) -> Any:
    """`value` as JSON types, for manifests (models by their fields, anything else by its text)."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return json.loads(json.dumps(value, default=str))
