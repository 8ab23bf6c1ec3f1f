"""What the files of a field say: names of channels, pixel size and frame times."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyto_kedro.datasets.tiff_info import number
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import SIDE_FILE, Statement, believed, times_of

logger = logging.getLogger(__name__)

# keys of a side file, ours first; the second is Celldetective's
SIDE_PIXEL_SIZE = ("pixel_size_um", "spatial_calibration")
SIDE_KEYS = ("channels", *SIDE_PIXEL_SIZE, "frame_interval_s")
# what writers call channels whose names they do not know: Channel 0, C1, Channel:0:1, #2
NO_NAME = re.compile(r"(channel|ch|c|w)?[\s_:=#-]*\d{0,2}(:\d+)*", re.IGNORECASE)


def tell(remarks: Mapping[str, Sequence[str]]) -> None:
    """Log what is to be said of each field, once where several share it."""
    fields: dict[str, list[str]] = defaultdict(list)
    for fov, each in remarks.items():
        for remark in dict.fromkeys(each):
            fields[remark].append(fov)
    for remark, fovs in fields.items():
        more = f" and {len(fovs) - 3} more" if len(fovs) > 3 else ""
        logger.warning("field %s%s: %s", ", ".join(fovs[:3]), more, remark)


def named_inside(inside: tuple[str, ...]) -> bool:
    """Whether a file's names of channels say what they show."""
    return any(not NO_NAME.fullmatch(name.strip()) for name in inside)


def calibration(
    info: ImageInfo, side: Mapping[str, Any], n_frames: int, place: str
) -> tuple[float | None, tuple[float, ...] | None, tuple[Statement, ...], list[str]]:
    """Pixel size, frame times from the first frame on, what was said of them, and what is doubted.

    The side file speaks first.
    """
    keys = [key for key in SIDE_PIXEL_SIZE if side.get(key)][:1]
    beside = [
        Statement("pixel size", number(side[key]), f"the side file, {key}", SIDE_FILE)
        for key in keys
    ]
    if side.get("frame_interval_s"):
        step, source = number(side["frame_interval_s"]), "the side file, frame_interval_s"
        beside.append(Statement("frame interval", step, source, SIDE_FILE))
    said, remarks = believed([*beside, *info.said])
    times = info.time_s
    late = np.flatnonzero(~(np.diff(times if times is not None else ()) > 0))
    if late.size:
        remarks.append(
            f"by the file, frame {late[0] + 1} is not later than the one before; its times are not used"
        )
        times = None
        said = [each for each in said if each.fact != "frame interval" or each.rank == SIDE_FILE]
    first = {each.fact: each for each in reversed(said)}  # the first of each fact
    size, step_said = first.get("pixel size"), first.get("frame interval")
    times = times_of(n_frames, step_said, times, said)
    if times is not None:
        times = tuple(float(time - times[0]) for time in times)
    return None if size is None else size.value, times, tuple(said), remarks
