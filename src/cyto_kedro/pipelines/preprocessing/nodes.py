"""Nodes of preprocessing.

Images that intensities are measured on get the corrections of ``preprocessing.measurement`` and no
other step; the steps of ``preprocessing.segmentation`` come on top, for segmentation images only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.preprocessing.chain import apply_chain, estimate_chain
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Image
from cyto_kedro.parameters import Preprocessing
from cyto_kedro.partitions import Block
from cyto_kedro.pipelines.common import Group, block_of, context

log = logging.getLogger(__name__)


def estimate_preprocessing(
    group: Group, raw_images: Mapping[Any, Any], manifest: Manifest, preprocessing: Preprocessing
) -> dict[str, Any]:
    """Stream a field's film once per step that has to know all of it; return the steps' states."""

    def blocks() -> Iterator[dict[str, Any]]:
        for block in manifest.blocks(group["fov"]):
            yield {
                **context({**group, "block": str(block)}, manifest),
                "image": _channels(raw_images, manifest, block),
            }

    states = estimate_chain(preprocessing.steps(), blocks)
    for step, state in zip(preprocessing.steps(), states, strict=True):
        for warning in state.get("warnings", ()):
            log.warning("field %s, %s: %s", group["fov"], type(step).__name__, warning)
    return {"states": states}


def _channels(raw_images: Mapping[Any, Any], manifest: Manifest, block: Block) -> dict[str, Any]:
    return {channel: np.asarray(raw_images[channel, str(block)]) for channel in manifest.channels}


def apply_preprocessing(
    group: Group,
    raw_images: Mapping[str, Any],
    preprocessing_state: dict[str, Any],
    manifest: Manifest,
    frames: pd.DataFrame,
    preprocessing: Preprocessing,
) -> tuple[dict[str, Image], dict[str, Image]]:
    """Correct one block.

    Returns
    -------
    measurement, segmentation
        ``{channel: Image}`` and ``{population: Image}``; a population that is segmented from several
        channels gets their mean, or all of them, (T, C, Y, X), where the assay keeps them apart.
    """
    steps, states = preprocessing.steps(), preprocessing_state["states"]
    n_safe = len(preprocessing.measurement)
    data = {
        **context(group, manifest),
        "image": {channel: np.asarray(raw_images[channel]) for channel in manifest.channels},
    }
    safe = apply_chain(steps[:n_safe], states[:n_safe], data)
    measured = {
        channel: _image(safe["image"][channel], channel, group, manifest, frames)
        for channel in manifest.channels
    }
    final = apply_chain(steps[n_safe:], states[n_safe:], safe)["image"]
    segmented = {}
    for population, sources in manifest.sources.items():
        stack = [final[channel] for channel in sources]
        if manifest.combine.get(population) == "separate":
            mixed: Any = np.stack(stack, axis=1)
        else:
            mixed = stack[0] if len(stack) == 1 else np.mean(stack, axis=0, dtype=np.float32)
        segmented[population] = _image(mixed, population, group, manifest, frames)
    return measured, segmented


def _image(
    array: np.ndarray, name: str, group: Group, manifest: Manifest, frames: pd.DataFrame
) -> Image:
    block = block_of(group, manifest)
    time_s = frames.sort_values("frame")["time_s"].to_numpy(float)[block.start : block.stop]
    return Image(
        array,
        pixel_size_um=manifest.fovs[group["fov"]].pixel_size_um,
        time_s=None if np.isnan(time_s).any() else tuple(time_s.tolist()),
        channels=(name,) if array.ndim == 3 else manifest.sources[name],
    )
