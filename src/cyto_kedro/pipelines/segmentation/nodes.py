"""Nodes of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.segmentation.stitching import stitch
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError
from cyto_kedro.parameters import Segmentation, SegmentationSpec, Subtraction
from cyto_kedro.partitions import Tile
from cyto_kedro.pipelines.common import Group, block_of, context


def segment(
    group: Group,
    segmentation_images: Any,
    manifest: Manifest,
    frames: pd.DataFrame,
    segmentation: Segmentation,
) -> np.ndarray:
    """Label one population in one block, or in one tile of it: only its pixels are read.

    Frames that the sample sheet excludes get no cells. With a tile the engine also gets ``field``, the
    images of the whole field, lazily: an engine that scales by percentiles takes them from there, so
    that all tiles are scaled alike. Channels that the assay keeps apart become a dict. Steps on labels
    follow the engine, tile by tile.
    """
    spec: SegmentationSpec = segmentation  # type: ignore[assignment]  # narrowed to the population
    block = block_of(group, manifest)
    tile = Tile.parse(group["tile"])
    rows, columns = manifest.window(group["fov"], tile)
    image: Any = segmentation_images
    if manifest.combine.get(group["population"]) == "separate":
        names = manifest.sources[group["population"]]
        image = {name: image[:, number] for number, name in enumerate(names)}
    data = {**context(group, manifest), "image": image}
    if not tile.whole:
        data |= {"field": image, "image": _cut(image, rows, columns)}
    label = np.asarray(spec.make()(data)["label"])
    for step in spec.steps:
        label = step.make()({**data, "label": label})["label"]
    shape = (len(block), rows.stop - rows.start, columns.stop - columns.start)
    if label.shape != shape:
        raise InputError(
            f"{spec.name} returned labels of shape {label.shape} for images of shape {shape}"
        )
    excluded = frames.sort_values("frame")["excluded"].to_numpy(bool)[block.start : block.stop]
    if excluded.any():
        label = label.copy()
        label[excluded] = 0
    return label.astype(np.uint32, copy=False)


def _cut(image: Any, rows: slice, columns: slice) -> Any:
    if isinstance(image, Mapping):
        return {name: each[:, rows, columns] for name, each in image.items()}
    return image[:, rows, columns]


def subtract(
    group: Group,
    engine_labels: Mapping[tuple[str, str], np.ndarray],
    manifest: Manifest,
    subtraction: Subtraction,
) -> dict[str, np.ndarray]:
    """Join the tiles of each population; take out of its mask those that the assay says."""
    step, where = subtraction.make(), context(group, manifest)
    names: dict[str, list[str]] = {}
    for population, name in engine_labels:
        names.setdefault(population, []).append(name)
    whole = {
        population: _whole(
            {name: engine_labels[population, name] for name in tiles}, where["shape"]
        )
        for population, tiles in names.items()
    }
    found = {}
    for population, others in manifest.subtract.items():
        label = whole[population]
        if others:
            taken = [whole[other] for other in others]
            label = step({**where, "label": label, "subtract": taken})["label"]
        found[population] = label
    return found


def _whole(labels: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Labels of a field from its tiles'."""
    tiles = {Tile.parse(name): label for name, label in labels.items()}
    only = next(iter(tiles))
    if only.whole:
        return tiles[only]
    return stitch({(tile.y, tile.x): label for tile, label in tiles.items()}, shape)
