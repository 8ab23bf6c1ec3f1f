"""What comes from elsewhere, laid on the film as it is planned: viewed, and empty where it is excluded.

View and exclusions are properties of the film. Whoever opens masks, tracks or a session of one goes
through here, so that none of them is laid on other frames or other pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError
from cyto_kedro.statements import FRAME_INTERVAL, JITTER, PIXEL_SIZE, Statement, compare

log = logging.getLogger(__name__)

Shape = tuple[int, int, int]


def whole_shape(plan: Manifest, fov: str) -> Shape:
    """(T, Y, X) of a field's film as it lies in the files."""
    for raw in plan.raw:
        if raw.fov == fov:
            return raw.n_frames, raw.height, raw.width
    return seen_shape(plan, fov)


def seen_shape(plan: Manifest, fov: str) -> Shape:
    """(T, Y, X) of a field's film as the assay's view shows it."""
    planned = plan.fovs[fov]
    return planned.n_frames, planned.height_px, planned.width_px


def is_whole(plan: Manifest, fov: str, shape: Shape, where: str) -> bool:
    """Whether something of `shape` was made on the film of the files (True) or on the viewed one.

    Raises InputError if it fits neither: names both.
    """
    whole, seen = whole_shape(plan, fov), seen_shape(plan, fov)
    if shape == whole:
        return True
    if shape == seen:
        return False
    viewed = "" if seen == whole else f", viewed as {_said(seen)}"
    raise InputError(
        f"{where} is of a film of {_said(shape)}, but field {fov!r} has {_said(whole)}{viewed}: it must "
        "be of the whole film; was it cropped, or is it of another field?"
    )


def _said(shape: Shape) -> str:
    return f"{shape[0]} frames of {shape[1:]} pixels"


def differences(plan: Manifest, fov: str, whole: bool, said: Iterable[Statement]) -> list[str]:
    """Where what a source states of pixel size and frame interval is not what the field has."""
    planned, view = plan.fovs[fov], plan.view
    size, step = planned.pixel_size_um, planned.frame_interval_s
    if whole:
        size = None if size is None else size / view.bin_px
        step = None if step is None else step / view.every_frame
    # the field's interval is the median of its time stamps, which jitter
    allowed = {"pixel size": 1e-3, "frame interval": JITTER}
    first = {
        each.fact: replace(each, tolerance=allowed[each.fact]) for each in reversed(list(said))
    }
    found = (
        compare(f"field {fov!r}", PIXEL_SIZE, size, first.get("pixel size")),
        compare(f"field {fov!r}", FRAME_INTERVAL, step, first.get("frame interval")),
    )
    return [each for each in found if each is not None]


def fitted(plan: Manifest, group: Mapping[str, str], value: Any, where: str) -> Any:
    """A correction as it may lie in the partition of `group`: viewed, without cells in excluded frames.

    Labels (T, Y, X) of the file's pixels are cropped and binned as the film is; a table loses its rows
    in excluded frames. Anything else stays as it is.
    """
    if "fov" not in group:
        return value
    planned = plan.fovs[group["fov"]]
    if isinstance(value, pd.DataFrame) and "frame" in value.columns:
        lost = value["frame"].isin(planned.excluded)
        if "label" in value.columns:
            lost &= value["label"].notna()
        if lost.any():
            log.warning("%s: %d rows in excluded frames are left out", where, int(lost.sum()))
        return value[~lost].reset_index(drop=True) if lost.any() else value
    if "population" not in group or not isinstance(value, np.ndarray) or value.ndim != 3:
        return value
    whole, seen = whole_shape(plan, group["fov"]), seen_shape(plan, group["fov"])
    if value.shape[1:] == whole[1:] != seen[1:]:
        value = plan.view.labels(value)
    block = Block.parse(group["block"]) if "block" in group else Block(0, planned.n_frames)
    return emptied(value, planned.excluded_in(block), where)


def emptied(label: np.ndarray, frames: list[int], where: str) -> np.ndarray:
    """`label` (T, Y, X) without cells in `frames`."""
    frames = [each for each in frames if each < len(label)]
    if not frames or not label[frames].any():
        return label
    log.warning("%s: cells in %d excluded frames are left out", where, len(frames))
    label = label.copy()
    label[frames] = 0
    return label
