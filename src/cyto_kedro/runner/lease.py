"""Leases: two drivers do not write the same dataset at once, on one host or over a network share.

A lease is a file per output dataset in ``runs/.leases``, made by O_EXCL (atomic on NFS 3 and later),
its time of change renewed as long as the driver lives. It is void once it was not renewed for
`EXPIRES_S`, by the file server's own clock, or at once when its process was on this host and is gone.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import socket
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from cyto_kedro.errors import RunStoppedError

log = logging.getLogger(__name__)

EXPIRES_S = 120.0
RENEW_S = 20.0


class Lease:
    """Holds the outputs of a run while its driver is in the ``with`` block.

    Parameters
    ----------
    folder
        Where leases lie.
    places
        What is held: a text per output, such as its path.
    run_id
        The run that holds it.

    Raises
    ------
    RunStoppedError
        On entering, if a live driver holds one of the places.
    """

    def __init__(self, folder: Path, places: Iterable[str], run_id: str) -> None:
        self._folder = folder
        self._places = sorted(set(places))
        self._content = json.dumps(
            {
                "run_id": run_id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "user": getpass.getuser(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
                "token": uuid4().hex,
            }
        )
        self._held: list[Path] = []
        self._end = threading.Event()
        self.lost = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for place in self._places:
                self._take(place)
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join(timeout=5)
        self._release()

    def _path(self, place: str) -> Path:
        return self._folder / f"{hashlib.blake2b(place.encode(), digest_size=12).hexdigest()}.json"

    def _take(self, place: str) -> None:
        path = self._path(place)
        for _ in range(5):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._clear(path, place)
                continue
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self._content)
            self._held.append(path)
            return
        raise RunStoppedError(
            f"cannot get the lease {path}: other drivers keep taking it; try again"
        )

    def _clear(self, path: Path, place: str) -> None:
        """Remove a lease that nobody holds any more, or say who holds it."""
        text = _read(path)
        if text is None:
            return
        holder = _holder(text)
        if not self._void(path, holder):
            raise RunStoppedError(
                f"{place} is being written by run {holder.get('run_id')} (process "
                f"{holder.get('pid')} of {holder.get('user')} on {holder.get('host')}, since "
                f"{holder.get('since')}): two drivers would write the same partitions. Wait for it, "
                "or stop it; if that machine is dead, the lease is void "
                f"{EXPIRES_S:.0f} s after its last sign of life."
            )
        # renaming is atomic: of two drivers that both found it void, one gets it
        aside = path.with_name(f"{path.name}.void-{uuid4().hex}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        if _read(aside) != text:  # meanwhile the other driver took it: give it back
            try:
                os.link(aside, path)
            except FileExistsError:
                log.warning("%s was taken twice; the drivers will notice", path)
        aside.unlink(missing_ok=True)

    def _void(self, path: Path, holder: dict[str, Any]) -> bool:
        if holder.get("host") == socket.gethostname() and not alive(holder.get("pid")):
            return True
        probe = (
            self._folder / f".clock-{uuid4().hex}"
        )  # its time is the file server's, as the lease's
        try:
            probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime > EXPIRES_S
        except FileNotFoundError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._end.wait(RENEW_S):
            for path in self._held:
                try:
                    if _read(path) != self._content:
                        self.lost.set()
                        return
                    os.utime(path)
                except OSError as error:
                    log.warning("lease %s could not be renewed: %s", path, error)

    def _release(self) -> None:
        for path in self._held:
            if _read(path) == self._content:
                path.unlink(missing_ok=True)
        self._held = []


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _holder(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def alive(pid: Any) -> bool:
    """Whether a process of this host runs; a zombie that nobody waits for does not."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie answers too
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"
