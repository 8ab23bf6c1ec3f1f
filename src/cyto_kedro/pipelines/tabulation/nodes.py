"""Nodes of tabulation: whatever needs pixels is read off the masks once, here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cyto_kedro.algorithms.preprocessing.registration import filmed_yx
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.parameters import TabulationSpec
from cyto_kedro.pipelines.common import Group, context


def measure_cells(
    group: Group,
    labels: Any,
    measurement_images: Mapping[str, Any],
    registration: pd.DataFrame,
    manifest: Manifest,
    frames: pd.DataFrame,
    features: TabulationSpec,
) -> pd.DataFrame:
    """One row per cell per frame of one population and block: `schemas.Cells`."""
    image = {channel: measurement_images[channel] for channel in manifest.channels}
    where = context(group, manifest, frames)
    frames_of = range(where["frame_start"], where["frame_start"] + len(labels))
    filmed = filmed_yx(registration, frames_of, where["shape"])
    data = {**where, "label": labels, "image": image, "filmed_yx": filmed}
    return features.make()(data)["dataframe"]


def find_touches(
    group: Group, labels: Mapping[str, Any], manifest: Manifest, touches: TabulationSpec
) -> pd.DataFrame:
    """Pairs of masks within reach in each frame of a block: `schemas.Touches`."""
    masks = {population: labels[population] for population in manifest.populations}
    return touches.make()({**context(group, manifest), "label": masks})["dataframe"]
