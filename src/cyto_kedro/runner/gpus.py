"""GPUs of this machine, and how many of them a task asks for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpus_here() -> tuple[str, ...]:
    """GPUs that this process may use, each as `VARIABLE` would name it.

    Those that the variable names, else those that ``nvidia-smi`` lists; none without either.
    """
    if (said := os.environ.get(VARIABLE)) is not None:
        named = [each.strip() for each in said.split(",")]
        unknown = [number for number, name in enumerate(named) if name in ("", "-1")]
        return tuple(named[: unknown[0]] if unknown else named)  # CUDA reads no further either
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        words = [program, "--query-gpu=uuid", "--format=csv,noheader"]
        found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer gives no GPU
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())


def gpus_asked(gres: str | None) -> int | None:
    """How many GPUs a task's ``gres`` asks for; None if it asks for something else.

    Examples
    --------
    >>> [gpus_asked(each) for each in (None, "gpu", "gpu:2", "gpu:a100:1", "shard:4")]
    [0, 1, 2, 1, None]
    """
    if gres is None:
        return 0
    asked = re.fullmatch(r"gpu(:[^:,]*[^:,\d][^:,]*)?(:(?P<n>\d+))?", gres.strip())
    return None if asked is None else int(asked["n"] or 1)
