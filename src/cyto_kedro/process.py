"""Which process this is, and whether another one of this machine lives."""

from __future__ import annotations

import gc
import os
import socket
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import Any

_USUAL, _RARE = gc.get_threshold(), 100_000


def collect_rarely() -> None:
    """While modules are imported: what they make stays, and a seventh of the time went on looking."""
    if gc.get_threshold() == _USUAL and not gc.get_freeze_count():
        gc.set_threshold(_RARE, *_USUAL[1:])


def collect_as_usual() -> None:
    """From the first session of a process on; what was imported is not looked through any more."""
    if gc.get_threshold()[0] == _RARE:
        gc.set_threshold(*_USUAL)
        gc.freeze()


def whoami() -> dict[str, Any]:
    """Host, machine, process id and birth of this process, as leases and manifests keep them."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
    }


def is_here(other: dict[str, Any]) -> bool:
    """Whether a process that `whoami` described was one of this machine."""
    here = whoami()
    return bool(other) and all(other.get(k, here[k]) == here[k] for k in ("host", "machine"))


@cache
def _machine() -> str:
    """Tells this machine, boot and process namespace from others of the same host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{uuid.getnode():x}"


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the name; None where they cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rsplit(")", 1)[-1].split()


def _born(pid: int) -> str | None:
    """When a process started, in the kernel's ticks: a number may be given to another one later."""
    fields = _stat(pid)
    return fields[19] if fields is not None and len(fields) > 19 else None


def alive(pid: Any, born: str | None = None) -> bool:
    """Whether a process of this machine runs; a zombie that nobody waits for does not.

    `born`: its birth, as `whoami` gave it: another process of the same number is not it.
    """
    if not isinstance(pid, int) or pid <= 0:
        return False
    if sys.platform == "win32":  # os.kill(pid, 0) would end it
        return _alive_on_windows(pid)
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    fields = _stat(pid)
    if fields is None:
        return True
    return fields[0] != "Z" and (born is None or _born(pid) in (None, born))


def _alive_on_windows(pid: int) -> bool:
    import ctypes

    kernel = getattr(getattr(ctypes, "windll", None), "kernel32", None)
    if kernel is None:
        return True  # unknown: not gone
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return bool(kernel.GetLastError() == 5)  # ERROR_ACCESS_DENIED: it is another user's
    code = ctypes.c_ulong()
    try:
        return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == 259
    finally:
        kernel.CloseHandle(handle)
