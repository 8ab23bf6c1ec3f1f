"""Journals: the files of a ledger, which many processes write at once, on disks, shares and stores.

**A journal** is a file ``<uuid>.journal`` that one process appends to, and no other. Its first line
names the process, each other says something of one identity, and ``{"end":true}`` that no more will
come. A ledger is what all journals of its folder say together. Nothing is locked.

**Which line holds**: of an identity that with the largest ``n``. A writer gives its clock in
nanoseconds, or one more than the largest ``n`` that it sees of the identity: what is written knowing
another line replaces it, however clocks differ. Of equal ``n`` the larger text holds, so that all
readers agree.

**Whole or ignored.** A line counts if it ends and can be parsed. Beyond the first that does not,
nothing of a journal is read; the next look tries again, since a share may show later pages first. A
writer that could not write a line whole begins another journal.

**Never wrongly current.** An entry says that these inputs gave a file of this content, which had this
size and time. That stays true. `Ledger.content` compares size and time of the file in place, and hashes
it where they differ. So a line that is lost, late or outvoted, and a file that was saved after its
line, or never got one, cost a hash, or are made again. Only a correction holds whatever its inputs are:
the line that gives or takes one is on disk before a person is told so.

**Killed, or without power.** A line is written once its file is in place. A kill loses none that was
written. A power cut may lose those of the last seconds, since they are not forced to disk as files are.
These are made again, and files that come out different are kept aside. On a share a line is sent when
it is written, so that a full one is told at once.

**Merging.** A driver that holds the lease writes what holds to a new journal, forces it to disk, and
then removes the journals that it read and nobody writes any more: their writers ended them, or were of
this machine and are gone, or were elsewhere and silent for a day. Others stay, so that who still
appends loses nothing. A merge killed before the new journal is whole removed none; killed later, it
leaves lines twice, which say the same. Two at once remove only what they copied. Who misses a journal
that it knew reads all anew.

An object store cannot append: there a journal is put anew with each line, and ended at `MOST` bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from pydantic_core import from_json

from cyto_kedro.process import alive, is_here, whoami

log = logging.getLogger(__name__)

SUFFIX = ".journal"
SILENT_S = 86400.0
MOST = 1 << 16
_END = b'{"end":true}'
_ONCE: ContextVar[object | None] = ContextVar("_ONCE", default=None)


@dataclass
class _Journal:
    """How far a journal was read, and what it says of itself."""

    size: int = 0  # at the last look
    read: int = 0  # bytes, up to the first line that is not whole
    writer: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = False


class Journals:
    """The journals of one folder: what holds of each identity, and a journal of this process."""

    def __init__(self, fs: AbstractFileSystem, folder: str) -> None:
        self._fs, self.folder = fs, folder
        self._lock = threading.RLock()
        self._known: dict[str, _Journal] = {}
        self._newest: dict[str, tuple[int, bytes]] = {}
        self._own: str | None = None
        self._text = b""  # of the own one, in a store
        self._looked: object | None = None
        #: whether the folder holds anything else, such as entries of before there were journals
        self.others = False

    def find(self, identity: str, look: bool = True) -> bytes | None:
        """The line that holds, a JSON object; None where no journal has one. Raises OSError.

        Without a `look` it is the one that held when this process looked last.
        """
        with self._lock:
            if look:
                self._look()
            return self._newest.get(identity, (0, None))[1]

    def put(self, identity: str, said: str, sync: bool = False) -> None:
        """Append a line, the members of a JSON object; with `sync` it is on disk when this returns.

        Raises OSError.
        """
        with self._lock:
            self._look()
            n = max(time.time_ns(), self._newest.get(identity, (0, b""))[0] + 1)
            line = _line(identity, n, said)
            self._append(line, sync)
            self._newest[identity] = n, line
            if len(self._text) > MOST:
                self.end()

    def end(self) -> None:
        """Write no more to this process's journal."""
        with self._lock, contextlib.suppress(OSError):  # then it is over when its process is
            if self._own is not None:
                own = self._known[self._own]
                self._append(_END, sync=False)
                own.ended, self._own, self._text = True, None, b""

    def merge(self, older: Mapping[str, str]) -> bool:
        """Put what holds into one journal, if there are several or `older` entries; whether it did.

        `older`: what is said of identities; it holds where no line does. Raises OSError.
        """
        with self._lock:
            self.end()
            self._look()
            over = {name for name, each in self._known.items() if self._is_over(name, each)}
            if len(over) < 2 and not older:
                return False
            self._known, self._newest, self._looked = {}, {}, None
            self._look()  # all anew: what was written before they were over, and is on disk
            for identity, said in older.items():
                self._newest.setdefault(identity, (0, _line(identity, 0, said)))
            lines = [line for _, line in self._newest.values()]
            text = b"\n".join([_dumped(whoami()), *lines, _END, b""])
            path = f"{self.folder}/{uuid4().hex}{SUFFIX}"
            if not isinstance(self._fs, LocalFileSystem):
                self._fs.pipe_file(path, text)
            else:
                _append(path, text, new=True, sync=True)
            for name in self._known.keys() & over:  # another merge may have removed some
                with contextlib.suppress(OSError):  # said twice, which is the same
                    path, known = f"{self.folder}/{name}", self._known[name]
                    if known.ended or self._fs.size(path) == known.size:
                        self._fs.rm_file(path)
            return True

    def _look(self) -> None:
        """Read what was added since the last look."""
        once = _ONCE.get()
        if once is not None and once is self._looked:
            return
        for _ in range(9):
            try:
                found = self._list()
                if not self._known.keys() <= found.keys():  # merged, or removed by a person
                    self._known, self._newest = {}, {}
                    self._own = self._own if self._own in found else None
                for name, size in found.items():
                    self._read(name, size)
                self._looked = once
                return
            except FileNotFoundError:  # merged while it was looked at
                continue
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
        raise OSError(errno.EAGAIN, "its files keep being replaced", self.folder)

    def _list(self) -> dict[str, int]:
        """Names of the journals, and their sizes."""
        try:
            if isinstance(self._fs, LocalFileSystem):
                with os.scandir(self.folder) as entries:
                    every = [(each.name, each) for each in entries]
            else:
                infos = self._fs.ls(self.folder, detail=True)
                every = [(each["name"].rsplit("/", 1)[-1], each) for each in infos]
        except FileNotFoundError:
            every = []
        found = {}
        for name, each in every:
            if name.endswith(SUFFIX):
                known = self._known.get(name)
                if known is not None and known.ended:  # it grows no more
                    found[name] = known.size
                else:
                    found[name] = each["size"] if isinstance(each, dict) else each.stat().st_size
        self.others = len(found) < len(every)
        return found

    def _read(self, name: str, size: int) -> None:
        journal = self._known.setdefault(name, _Journal())
        journal.size = size
        if journal.ended or size <= journal.read:
            return
        path = f"{self.folder}/{name}"
        if isinstance(self._fs, LocalFileSystem):
            with Path(path).open("rb") as file:
                file.seek(journal.read)
                text = file.read()
        else:
            text = self._fs.cat_file(path)[journal.read :]
        for line in text.split(b"\n")[:-1]:
            try:
                said = from_json(line)
            except ValueError:
                return
            if "id" in said:
                identity, new = said["id"], (said["n"], line)
                if new > self._newest.get(identity, (-1, b"")):
                    self._newest[identity] = new
            elif "end" in said:
                journal.ended = True
            else:
                journal.writer = said
            journal.read += len(line) + 1

    def _append(self, line: bytes, sync: bool) -> None:
        text, new = line + b"\n", self._own is None
        if new:
            self._own = f"{uuid4().hex}{SUFFIX}"
            self._fs.makedirs(self.folder, exist_ok=True)
            text = _dumped(whoami()) + b"\n" + text
        own = f"{self.folder}/{self._own}"
        try:
            if isinstance(self._fs, LocalFileSystem):
                _append(own, text, new, sync)
            else:
                self._fs.pipe_file(own, self._text + text)
                self._text += text
        except BaseException:  # what it holds now is not known
            self._own, self._text = None, b""
            raise
        self._known.setdefault(str(self._own), _Journal()).read += len(text)

    def _is_over(self, name: str, journal: _Journal) -> bool:
        """Whether nobody will append to a journal any more."""
        if journal.ended:
            return True
        if is_here(dict(journal.writer)):
            return not alive(journal.writer.get("pid"), journal.writer.get("born"))
        if not isinstance(self._fs, LocalFileSystem):
            return False
        return time.time() - Path(self.folder, name).stat().st_mtime > SILENT_S


def _append(path: str, text: bytes, new: bool, sync: bool) -> None:
    """Append to a local file, maybe a part only where this raises; a `new` one is made."""
    flags = os.O_WRONLY | os.O_APPEND | (os.O_CREAT | os.O_EXCL if new else 0)
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while text:
            text = text[os.write(handle, text) :]
        if sync:
            os.fsync(handle)
    except BaseException:
        if new:
            Path(path).unlink()
        raise
    finally:
        os.close(handle)
    if sync and new:
        with contextlib.suppress(OSError):  # Windows syncs no folders
            folder = os.open(Path(path).parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)


def _line(identity: str, n: int, said: str) -> bytes:
    return f'{{"id":{json.dumps(identity)},"n":{n},{said}}}'.encode()


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


_KNOWN: dict[tuple[Any, str], Journals] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_KNOWN.clear)  # a journal is of one process


def journals_of(fs: AbstractFileSystem, folder: str) -> Journals:
    """The journals of a folder: one object in a process, whoever asks."""
    key = ("file" if isinstance(fs, LocalFileSystem) else fs, folder)
    return _KNOWN.get(key) or _KNOWN.setdefault(key, Journals(fs, folder))


@atexit.register
def end_all() -> None:
    """End this process's journals: whoever merges may then remove them, on other machines too."""
    for each in list(_KNOWN.values()):
        each.end()


@contextlib.contextmanager
def looked_at_once() -> Iterator[None]:
    """Each folder is looked at once within, not at each question: for 100,000 of them in a row."""
    token = _ONCE.set(_ONCE.get() or object())
    try:
        yield
    finally:
        _ONCE.reset(token)
