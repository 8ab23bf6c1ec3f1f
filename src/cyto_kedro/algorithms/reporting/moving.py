"""Frames to the bytes of a moving picture: MP4 where ffmpeg is there, animated WebP everywhere."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from cyto_kedro.errors import CytoError, InputError


def webp(
    frames: Iterable[np.ndarray], n_frames: int, ms: int | Sequence[int], quality: int
) -> bytes:
    """Animated WebP, looping, of RGB uint8 (Y, X, 3) frames, each taken when it is written.

    `ms`: how long a frame is shown, or each of them. `quality`: 0 to 100.

    Raises
    ------
    InputError
        If there is no frame.
    """
    from PIL import Image

    class Streamed(Image.Image):
        """A picture of many frames, of which one is in memory."""

        def __init__(self, given: Iterator[np.ndarray]) -> None:
            super().__init__()
            self._given, self._at = given, -1
            self.seek(0)

        @property
        def n_frames(self) -> int:
            return n_frames

        def seek(self, frame: int) -> None:
            while self._at < frame:
                rgb = next(self._given)
                now = Image.fromarray(np.ascontiguousarray(rgb))
                self.im, self._mode, self._size = now.im, now.mode, now.size
                self._at += 1

        def tell(self) -> int:
            return self._at

    if n_frames < 1:
        raise InputError("a moving picture needs at least one frame")
    buffer, shown = BytesIO(), ms if isinstance(ms, int) else list(ms)
    look: Any = {"quality": quality, "method": 4, "loop": 0, "duration": shown}
    # a key frame every 30: with Pillow's own, every fifth, a still ground is stored again and again
    look |= {"kmin": 29, "kmax": 30}
    Streamed(iter(frames)).save(buffer, format="WEBP", save_all=True, **look)
    return buffer.getvalue()


def ffmpeg() -> str | None:
    """The program ffmpeg: that of the machine, else that of ``imageio-ffmpeg``; None: neither."""
    if found := shutil.which("ffmpeg"):
        return found
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def mp4(frames: Iterable[np.ndarray], per_second: float, program: str) -> bytes:
    """H.264 in MP4, which presentations and browsers play, of RGB uint8 (Y, X, 3) frames.

    An odd last row or column is left out: H.264 has none. One thread, no date: equal frames give
    equal bytes with one ffmpeg.

    Raises
    ------
    InputError
        If there is no frame.
    CytoError
        If ffmpeg fails; with what it said.
    """
    given = iter(frames)
    first = next(given, None)
    if first is None:
        raise InputError("a moving picture needs at least one frame")
    height, width = (side - side % 2 for side in first.shape[:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        words = [
            *(program, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{width}x{height}", "-r", f"{per_second:g}", "-i", "-"),
            *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "21", "-threads", "1"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"),
            *("-movflags", "+faststart", str(path)),
        ]
        with (Path(folder) / "said").open("w+b") as said:
            with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=said) as process:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it ended; what it said follows
                    for rgb in chain([first], given):
                        process.stdin.write(np.ascontiguousarray(rgb[:height, :width]).tobytes())
                    process.stdin.close()
            said.seek(0)
            if process.returncode:
                why = said.read().decode(errors="replace").strip()
                raise CytoError(
                    f"{program} could not write the film ({why[-500:]}): it may lack libx264; "
                    "pip install imageio-ffmpeg has one that does not, format: webp needs none"
                )
        return path.read_bytes()
