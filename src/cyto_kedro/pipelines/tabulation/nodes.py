"""Nodes of tabulation: whatever needs pixels is read off the masks once, here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.preprocessing.registration import filmed_yx
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import ColumnSteps, TabulationSpec
from cyto_kedro.pipelines.common import Group, context

log = logging.getLogger(__name__)


def measure_cells(
    group: Group,
    labels: Any,
    measurement_images: Mapping[str, Any],
    registration: pd.DataFrame,
    manifest: Manifest,
    frames: pd.DataFrame,
    features: TabulationSpec,
    steps: ColumnSteps,
) -> pd.DataFrame:
    """One row per cell per frame of one population and block: `schemas.Cells`."""
    image = {channel: measurement_images[channel] for channel in manifest.channels}
    where = context(group, manifest, frames)
    frames_of = range(where["frame_start"], where["frame_start"] + len(labels))
    filmed = filmed_yx(registration, frames_of, where["shape"])
    data = {**where, "label": labels, "image": image, "filmed_yx": filmed}
    table = features.make()(data)["cells"]
    for channel in manifest.fovs[group["fov"]].lacking:  # not filmed is not dark
        others = tuple(f"{name}_" for name in manifest.channels if name.startswith(f"{channel}_"))
        unknown = [
            name
            for name in table.columns
            if name.startswith(f"{channel}_") and not (others and name.startswith(others))
        ]
        table[unknown] = np.nan
    for step in steps.made():
        before = len(table)
        table = step({**data, "cells": table})["cells"]
        if len(table) < before:
            dropped, place = before - len(table), "/".join(group.values())
            log.info("%s: %s dropped %d of %d cells", place, type(step).__name__, dropped, before)
    return table


def with_others(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with one population's masks and image, and those of cells that cannot be the same ones.

    An effector is no target: where both lie in one place in one shape, one channel shows the other.
    Of channels that an engine got apart, (T, C, Y, X), the mean.
    """
    mine, roles = data["population"], data["roles"]
    against = {"effector": "target", "target": "effector"}.get(roles[mine])
    others = [name for name, role in roles.items() if role == against]
    return data | {
        "label": data["label"][mine],
        "image": _one(data["image"][mine]),
        "other_labels": {name: data["other_labels"][name] for name in others},
        "other_images": {name: _one(data["other_images"][name]) for name in others},
    }


def _one(image: np.ndarray) -> np.ndarray:
    return image.mean(1) if image.ndim == 4 else image
