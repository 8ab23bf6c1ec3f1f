"""Nodes of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError
from cyto_kedro.parameters import Segmentation, SegmentationSpec, Subtraction
from cyto_kedro.pipelines.common import Group, block_of, context


def segment(
    group: Group,
    segmentation_images: Any,
    manifest: Manifest,
    frames: pd.DataFrame,
    segmentation: Segmentation,
) -> np.ndarray:
    """Label one population in one block; frames that the sample sheet excludes get no cells."""
    spec: SegmentationSpec = segmentation  # type: ignore[assignment]  # narrowed to the population
    where = context(group, manifest)
    label = np.asarray(spec.make()({**where, "image": segmentation_images})["label"])
    shape = (len(block_of(group, manifest)), *where["shape"])
    if label.shape != shape:
        raise InputError(
            f"{spec.name} returned labels of shape {label.shape} for images of shape {shape}"
        )
    block = block_of(group, manifest)
    excluded = frames.sort_values("frame")["excluded"].to_numpy(bool)[block.start : block.stop]
    if excluded.any():
        label = label.copy()
        label[excluded] = 0
    return label.astype(np.uint32, copy=False)


def subtract(
    group: Group,
    engine_labels: Mapping[str, np.ndarray],
    manifest: Manifest,
    subtraction: Subtraction,
) -> dict[str, np.ndarray]:
    """Take out of each population's mask those that the assay says (``subtract:``)."""
    step, where = subtraction.make(), context(group, manifest)
    found = {}
    for population, others in manifest.subtract.items():
        label = engine_labels[population]
        if others:
            taken = [engine_labels[other] for other in others]
            label = step({**where, "label": label, "subtract": taken})["label"]
        found[population] = label
    return found
