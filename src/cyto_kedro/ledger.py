"""The ledger: what each saved partition was made from, so that a run knows what is current.

An entry is written when a partition is saved, under every runner, to the journals of its dataset's
folder, ``<folder>/.ledger/*.journal`` (`journals.py` says which line holds, and what a kill or a power
cut can do). It keeps one hash per input of the group (parameters with the algorithms' versions, the
content of input partitions, rows of input tables), and the hash of the file that was written. A
partition is *current* when it exists, is the file that the entry describes, and its inputs' hashes are
those that a run would find now. A *corrected* partition (put in place by a person) is current whatever
its inputs are: that is what the person decided. Corrections have copies and entries of their own,
``<data>/corrections/<layer>/<dataset>/<id>…``, where no node writes.

Because inputs are hashed by content, redoing a step that gives the same bytes leaves what depends on it
current. Entries of before there were journals, ``.ledger/<id>.json``, are read where no journal says
anything, till a run merges them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pandas as pd
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from cyto_kedro.errors import PartitionError
from cyto_kedro.journals import Journals, journals_of, looked_at_once

log = logging.getLogger(__name__)

FOLDER = ".ledger"
ROWS_AT_ONCE = 1 << 18  # values of a table whose texts are held together
_REMOVED = b'"removed":true}'
_LAYER = re.compile(
    r"0\d_(raw|intermediate|primary|feature|model_input|models|model_output|reporting)"
)


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
    kept
        Where in it the entries lie.
    """

    def __init__(self, fs: fsspec.AbstractFileSystem, folder: str, kept: str = FOLDER) -> None:
        self._fs, self._folder = fs, f"{fs._strip_protocol(folder).rstrip('/')}/{kept}"

    @property
    def _journals(self) -> Journals:
        return journals_of(self._fs, self._folder)

    def read(self, identity: str, look: bool = True) -> Entry | None:
        """The entry of `identity`, or None; a torn entry counts as none.

        Without a `look` it is the one of the last look.

        Raises PartitionError if it is there and cannot be read: it may be of a person's correction.
        """
        path, journals = self._folder, self._journals
        try:
            line = journals.find(identity, look)
            if line is None and journals.others:
                path = f"{self._folder}/{identity}.json"
                try:
                    line = self._fs.cat_file(path)
                except FileNotFoundError:  # merged since
                    line = journals.find(identity)
            if line is None or line.endswith(_REMOVED):
                return None
            return Entry.model_validate_json(line)
        except ValidationError:
            log.warning("%s: the ledger entry in %s is torn and counts as none", identity, path)
            return None
        except OSError as error:
            raise PartitionError(
                f"{identity}: the ledger entry in {path} cannot be read ({error}), so what it describes "
                "may be somebody's correction and is not made again: make it readable, or remove it"
            ) from error

    def write(self, identity: str, entry: Entry) -> None:
        """Write the entry of `identity`, whole or not at all.

        It is on disk when this returns if it gives a correction, or takes one. Raises PartitionError
        if it cannot be written, such as on a full disk.
        """
        try:
            with looked_at_once():
                before = self.read(identity)
                sync = any(
                    each is not None and each.correction is not None for each in (before, entry)
                )
                self._journals.put(identity, entry.model_dump_json()[1:-1], sync)
        except OSError as error:
            raise PartitionError(
                f"{identity}: it is saved, but its ledger entry in {self._folder} cannot be written "
                f"({error}), so it will be made again: make room, or make it writable, and resume"
            ) from error

    def remove(self, identity: str) -> None:
        """Remove the entry of `identity`, if there is one; it is gone from disk when this returns."""
        if self.read(identity) is not None:
            self._journals.put(identity, '"removed":true', sync=True)

    def merge(self) -> None:
        """Put all entries into one file; the caller holds the lease of what they describe."""
        journals = self._journals
        try:
            journals.find("")
            older = self._older() if journals.others else {}
            if journals.merge(older) and older:
                for identity in older:
                    with contextlib.suppress(FileNotFoundError):
                        self._fs.rm_file(f"{self._folder}/{identity}.json")
                if isinstance(self._fs, LocalFileSystem):
                    for folder, _, _ in os.walk(self._folder, topdown=False):
                        with contextlib.suppress(OSError):  # not empty
                            Path(folder).rmdir()
        except OSError as error:
            log.warning("%s cannot be put into one file now: %s", self._folder, error)

    def _older(self) -> dict[str, str]:
        """What entries of before there were journals say, each in a file of its own."""
        found = {}
        for path in map(str, self._fs.find(self._folder)):
            if path.endswith(".json"):
                identity = path.removeprefix(f"{self._folder}/").removesuffix(".json")
                with contextlib.suppress(ValidationError, FileNotFoundError):  # torn, or merged
                    entry = Entry.model_validate_json(self._fs.cat_file(path))
                    found[identity] = entry.model_dump_json()[1:-1]
        return found

    def stranger(self, identity: str, path: str) -> str | None:
        """Hash of the file at `path` if the entry describes another one, or there is no entry."""
        entry = self.read(identity)
        content = self.content(identity, path, entry)
        return None if entry is not None and entry.content == content else content

    def content(self, identity: str, path: str, entry: Entry | None = None) -> str | None:
        """Hash of the file at `path`: the entry's, unless size or time say it was replaced.

        `entry` is that of `identity` where it was just read; else it is read.
        """
        try:
            size, stamp = stat(self._fs, path)
        except FileNotFoundError:
            return None
        # a look at a store is a request; of the same ETag every entry, an older one too, says the same
        looks = (True,) if isinstance(self._fs, LocalFileSystem) else (False, True)
        for look in looks if entry is None else (False,):
            try:
                found = entry or self.read(identity, look)
            except PartitionError:  # the file itself can be read, and says what it holds
                break
            if found is not None and (found.size, found.stamp) == (size, stamp):
                return found.content
        return hash_file(self._fs, path)

    def record(self, identity: str, path: str, inputs: dict[str, str], **more: Any) -> Entry:
        """Write the entry of the file at `path`, which was just saved, and return it."""
        size, stamp = stat(self._fs, path)
        content = hash_file(self._fs, path)
        entry = Entry(inputs=inputs, content=content, size=size, stamp=stamp, **more)
        self.write(identity, entry)
        return entry


def split_home(path: str) -> tuple[str, str]:
    """The data folder that holds a dataset's file or folder, and its path in there.

    ``data/03_primary/labels`` is ``("data", "03_primary/labels")``: the data folder is what holds
    Kedro's layers. Where there are none, it is the folder around.
    """
    parts = PurePosixPath(path).parts
    for at in range(len(parts) - 2, 0, -1):
        if _LAYER.fullmatch(parts[at]):
            return str(PurePosixPath(*parts[:at])), "/".join(parts[at:])
    return str(PurePosixPath(path).parent), parts[-1]


def move_aside(fs: fsspec.AbstractFileSystem, path: str, home: str, replaced: bool = False) -> str:
    """Move a file of the data folder `home`, maybe somebody's work, to ``<home>/aside``; its place.

    One that is about to be `replaced` in one rename stays where it is till then (local disks), so
    that whoever reads it meanwhile finds it.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    place = path.removeprefix(home.rstrip("/")).lstrip("/")
    aside = f"{home.rstrip('/')}/aside/{place}.{now}-{uuid4().hex[:6]}{PurePosixPath(path).suffix}"
    fs.makedirs(aside.rsplit("/", 1)[0], exist_ok=True)
    if replaced and isinstance(fs, LocalFileSystem):
        try:
            os.link(path, aside)
        except OSError:  # a file system without links
            fs.copy(path, aside)
    else:
        fs.mv(path, aside)
    return aside


def stat(fs: fsspec.AbstractFileSystem, path: str) -> tuple[int, str]:
    """Size of a file, and what its file system says of its content, or of when it was written."""
    if isinstance(fs, LocalFileSystem):
        found = os.lstat(path)
        if S_ISREG(found.st_mode):  # what `info` says below, at a quarter of its time
            return found.st_size, str(found.st_mtime or None)
    info = fs.info(path)
    when = (info.get(key) for key in ("ETag", "mtime", "LastModified", "created"))
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

    Raises PartitionError for a type whose content cannot be hashed.
    """
    hasher = hashlib.blake2b(digest_size=16)
    _feed(hasher, value)
    return hasher.hexdigest()


def _feed(hasher: Any, value: Any) -> None:
    kind = type(value)
    if kind is list or kind is tuple:
        hasher.update(b"[")
        for item in value:
            _feed(hasher, item)
        hasher.update(b"]")
    elif (
        kind is str
        or value is None
        or isinstance(value, bool | int | float | bytes | str | datetime)
    ):
        hasher.update(f"{kind.__name__}:{value!r};".encode())
    elif callable(fingerprint := getattr(value, "fingerprint", None)):
        _feed(hasher, fingerprint())
    elif isinstance(value, RootModel):
        _feed(hasher, value.root)
    elif isinstance(value, BaseModel):
        _feed(hasher, {name: getattr(value, name) for name in type(value).model_fields})
    elif isinstance(value, pd.DataFrame):
        _feed(hasher, [str(name) for name in value.columns])
        _feed_rows(hasher, value)
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
        _feed(hasher, sorted(value, key=repr) if isinstance(value, set | frozenset) else [*value])
    else:
        raise PartitionError(
            f"the ledger cannot hash a {type(value).__module__}.{type(value).__name__}"
        )


def _feed_rows(hasher: Any, table: pd.DataFrame) -> None:
    """A hash per row of the texts of its values.

    It is `pd.util.hash_pandas_object` of ``table.map(repr)``, whose cost in small tables is all its own.
    """
    n = table.shape[1]
    step = max(ROWS_AT_ONCE // max(n, 1), 1)
    for start in range(0, len(table) if n else 0, step):
        values = table.iloc[start : start + step].astype(object).to_numpy()
        texts = np.array([*map(repr, values.ravel(order="F"))], object)
        rows, times = np.full(len(values), 0x345678, np.uint64), 1000003
        for at, column in enumerate(pd.util.hash_array(texts, categorize=False).reshape(n, -1)):
            rows = (rows ^ column) * np.uint64(times)
            times += 82520 + 2 * (n - at)
        hasher.update((rows + np.uint64(97531)).tobytes())


def changed(entry: Entry, inputs: Mapping[str, str]) -> list[str]:
    """Names of the inputs whose hashes differ from the entry's."""
    names = {*entry.inputs, *inputs}
    return sorted(name for name in names if entry.inputs.get(name) != inputs.get(name))


def as_json(value: Any) -> Any:
    """`value` as JSON types, for manifests (models by their fields, anything else by its text)."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return json.loads(json.dumps(value, default=str))
