"""Leases: two writers do not write the same dataset at once, on one host or over a network share.

A lease is a file per output dataset in ``<data>/.leases``, beside what is written, so that two clones
of the project on one data folder know of each other. It is made by O_EXCL (atomic on NFS 3 and
later), and its time of change is renewed as long as its process lives. It is void at once when its
process was of this machine and is gone. One of another machine is void when it was not renewed for
`EXPIRES_S` by the file server's clock, and not while it was watched for `WATCH_S` either (clocks may
differ). What cannot be read is unknown: neither lost nor void.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from cyto_kedro.errors import RunStoppedError
from cyto_kedro.process import alive, is_here, whoami

log = logging.getLogger(__name__)

EXPIRES_S = 120.0
RENEW_S = 20.0
WATCH_S = 25.0  # a live holder renews it in this time
READ_AGAIN_S = (0.1, 0.5)  # a file handle of a share may be stale for a moment


class Lease:
    """Holds the outputs of a run while its driver is in the ``with`` block.

    Parameters
    ----------
    folder
        Where leases lie.
    places
        What is held: a text per output, such as its path in the folder around `folder`.
    run_id
        The run that holds it.
    lost
        Set when another driver has taken over (default: an event of its own).
    runs
        The project's folder of runs: there others find what jobs this one left, should it die.
    in_use
        Asked of a void lease's holder and place: why the place is not free all the same, or None.

    Raises
    ------
    RunStoppedError
        On entering, if a live driver holds one of the places, or it cannot be told.
    """

    def __init__(
        self,
        folder: Path,
        places: Iterable[str],
        run_id: str,
        lost: threading.Event | None = None,
        runs: Path | None = None,
        in_use: Callable[[dict[str, Any], Path], str | None] | None = None,
    ) -> None:
        self._folder, self._in_use = folder, in_use
        self._places = sorted(set(places))
        self._content = json.dumps(
            {
                "run_id": run_id,
                **whoami(),
                "user": _user(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
                "token": uuid4().hex,
                "runs": None if runs is None else str(runs.absolute()),
            }
        )
        self._held: list[Path] = []
        self._end = threading.Event()
        self.lost = lost or threading.Event()

    def __enter__(self) -> Self:
        try:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                for place in self._places:
                    self._take(place)
            except OSError as error:
                raise RunStoppedError(
                    f"{self._folder} cannot be written ({error}): a run says there what it writes, so "
                    "that no other run writes the same. Make the folder writable, or make room"
                ) from error
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join(timeout=5)
        self._release()

    def _take(self, place: str) -> None:
        path = path_of(self._folder, place)
        for _ in range(5):
            try:
                self._make(path)
            except FileExistsError:
                self._clear(path, place)
                continue
            except FileNotFoundError:  # the last holder just removed the empty folder
                self._folder.mkdir(parents=True, exist_ok=True)
                continue
            self._held.append(path)
            return
        raise RunStoppedError(
            f"cannot get the lease {path}: other drivers keep taking it; try again"
        )

    def _make(self, path: Path) -> None:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self._content)

    def _clear(self, path: Path, place: str) -> None:
        """Remove a lease that nobody holds any more, or say who holds it."""
        try:
            text = read(path)
        except OSError as error:
            raise RunStoppedError(
                f"whether another run writes {place} cannot be told: the lease {path} cannot be read "
                f"({error}). Try again"
            ) from error
        if text is None:
            return
        holder = holder_of(text)
        if not is_void(path, holder):
            raise RunStoppedError(
                f"{self._folder.parent / place} is being written by run {holder.get('run_id')} "
                f"(process {holder.get('pid')} of {holder.get('user')} on {holder.get('host')}, since "
                f"{holder.get('since')}): two at once would mix their partitions. Wait for it, or stop "
                f"it; if that machine is dead, the lease is void {EXPIRES_S:.0f} s after its last sign "
                "of life."
            )
        if self._in_use and (said := self._in_use(holder, self._folder.parent / place)):
            raise RunStoppedError(said)
        # renaming is atomic: of two drivers that both found it void, one gets it
        aside = path.with_name(f"{path.name}.void-{uuid4().hex}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        if read(aside) != text:  # meanwhile the other driver took it: give it back
            try:
                os.link(aside, path)
            except FileExistsError:
                log.warning("%s was taken twice; the drivers will notice", path)
        aside.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._end.wait(RENEW_S):
            for path in self._held:
                try:
                    self._renew_one(path)
                except OSError as error:
                    log.warning(
                        "the lease %s cannot be renewed now (%s): tried again in %.0f s",
                        *(path, error, RENEW_S),
                    )

    def _renew_one(self, path: Path) -> None:
        text = read(path)
        if text is None:  # somebody removed it
            with contextlib.suppress(FileExistsError):
                self._make(path)
        elif text == self._content:
            os.utime(path)
        elif holder_of(text) and read(path) == text:  # whole, and so twice
            self.lost.set()

    def _release(self) -> None:
        for path in self._held:
            with contextlib.suppress(OSError):
                if read(path) == self._content:
                    path.unlink(missing_ok=True)
        self._held = []
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # if it is empty


def path_of(folder: Path, place: str) -> Path:
    """Where the lease of a place lies."""
    return folder / f"{hashlib.blake2b(place.encode(), digest_size=12).hexdigest()}.json"


def read(path: Path) -> str | None:
    """The text of a lease, or None where there is none.

    Raises OSError if it cannot be told, asked several times.
    """
    for pause in (*READ_AGAIN_S, None):
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError:
            if pause is None:
                raise
            time.sleep(pause)
    return None


def holder_of(text: str) -> dict[str, Any]:
    """What a lease says of its holder; empty for a torn one."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_void(path: Path, holder: dict[str, Any]) -> bool:
    """Whether nobody holds a lease any more."""
    if is_here(holder):
        return not alive(holder.get("pid"), holder.get("born"))
    try:
        before = path.stat().st_mtime
        if _now(path.parent) - before <= EXPIRES_S:
            return False
        log.warning(
            "the lease of run %s (%s) seems to have expired; watching it for %.0f s to be sure",
            *(holder.get("run_id"), holder.get("host"), WATCH_S),
        )
        end = time.monotonic() + WATCH_S
        while time.monotonic() < end:
            time.sleep(min(1.0, WATCH_S / 5))
            if path.stat().st_mtime != before:
                return False
    except OSError:
        return False
    return True


def is_over(path: Path, run_id: str) -> bool:
    """Whether a run that another machine drives has lost its sign of life (reading only)."""
    try:
        text = read(path)
        if text is None:
            return True
        return holder_of(text).get("run_id") != run_id or (
            time.time() - path.stat().st_mtime > EXPIRES_S
        )
    except OSError:
        return False


def _now(folder: Path) -> float:
    probe = folder / f".clock-{uuid4().hex}"  # its time is the file server's, as the lease's
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(getattr(os, "getuid", lambda: "?")())


__all__ = ["EXPIRES_S", "RENEW_S", "Lease", "alive"]
