"""Nodes of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.segmentation.stitching import stitch
from cyto_kedro.blocks import Block, Tile
from cyto_kedro.core.stack import ChosenFrames
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import InputError
from cyto_kedro.parameters import Segmentation, SegmentationSpec, Subtraction
from cyto_kedro.pipelines.common import Group, block_of, context, film_of
from cyto_kedro.registry import algorithms


def looks_around(inputs: Mapping[str, Any], group: Group) -> list[str]:
    """The inputs of `segment` that are the whole film's: images, where the engine looks over time."""
    specs = [each.for_group(group) for each in inputs.values() if isinstance(each, Segmentation)]
    over_time = any(hasattr(algorithms(each.stage)[each.name], "opened") for each in specs)
    return ["segmentation_images"] if over_time else []


def segment(
    group: Group,
    segmentation_images: Any,
    manifest: Manifest,
    segmentation: Segmentation,
    cell_sizes: pd.DataFrame | None = None,
) -> np.ndarray:
    """Label one population in one block, or in one tile of it: only its pixels are read.

    An engine that is not told how wide cells are gets the film's ``typical_diameter_px``; a film in
    which nothing stands out of the noise holds no cells. Without `cell_sizes` it goes by this block.

    An engine that looks over time (`opened` says how far) gets the frames beside the block, too.

    Frames that the sample sheet excludes get no cells. With a tile the engine also gets ``field``, the
    images of the whole field, lazily, and ``corner``, (y, x) of the tile therein: an engine takes its
    percentiles and thresholds from there, so that all tiles are treated alike. Channels
    that the assay keeps apart become a dict.
    """
    spec: SegmentationSpec = segmentation  # type: ignore[assignment]  # narrowed to the population
    block = block_of(group, manifest)
    tile = Tile.parse(group["tile"])
    rows, columns = manifest.window(group["fov"], tile)
    image: Any = segmentation_images
    if manifest.combine.get(group["population"]) == "separate":
        names = manifest.sources[group["population"]]
        image = {name: image[:, number] for number, name in enumerate(names)}
    shape = (len(block), rows.stop - rows.start, columns.stop - columns.start)
    film = manifest.fovs[group["fov"]]
    used, lacking = film.used_in(block), set(film.lacking)
    engine, typical = spec.make(), None
    if cell_sizes is not None:
        known = cell_sizes["diameter_px"].dropna()
        typical = None if known.empty else float(known.iloc[0])
        if getattr(engine, "needs_size", False) and typical is None:
            return np.zeros(shape, np.uint32)
    if not used or lacking.intersection(manifest.sources[group["population"]]):
        return np.zeros(shape, np.uint32)
    data = {**context(group, manifest), "excluded": (), "typical_diameter_px": typical}
    own = slice(None)
    if hasattr(engine, "opened"):
        every = film.used_in(Block(0, film.n_frames))
        first = every.index(block.start + used[0])
        start, stop = engine.opened(first, first + len(used), len(every))
        data["frame_start"], own = start, slice(first - start, first - start + len(used))
        whole = film_of(image, (film.n_frames, *data["shape"]))
        image = ChosenFrames(whole, every[start:stop])
    elif len(used) < len(block):
        image = _cut(image, used, slice(None), slice(None))
    data["image"] = image
    if not tile.whole:
        tiled = {"field": image, "corner": (rows.start, columns.start)}
        data |= tiled | {"image": _cut(image, slice(None), rows, columns)}
    label = np.asarray(engine(data)["label"])[own]
    if label.shape != (len(used), *shape[1:]):
        raise InputError(
            f"{spec.name} returned labels of shape {label.shape} for images of shape "
            f"{(len(used), *shape[1:])}"
        )
    if len(used) == len(block):
        return label.astype(np.uint32, copy=False)
    found = np.zeros(shape, np.uint32)
    found[used] = label
    return found


def _cut(image: Any, frames: slice | list[int], rows: slice, columns: slice) -> Any:
    if isinstance(image, Mapping):
        return {name: _cut(each, frames, rows, columns) for name, each in image.items()}
    if isinstance(image, ChosenFrames):
        return replace(image, rows=rows, columns=columns)
    return image[frames][:, rows, columns]


def subtract(
    group: Group,
    engine_labels: Mapping[tuple[str, str], np.ndarray],
    manifest: Manifest,
    segmentation: Segmentation,
    subtraction: Subtraction,
) -> dict[str, np.ndarray]:
    """Join the tiles of each population, apply its steps, take out of its mask what the assay says.

    Steps see the field in one piece: sizes and borders are the cells' and the field's, not a tile's.
    """
    minus, where = subtraction.make(), context(group, manifest)
    names: dict[str, list[str]] = {}
    for population, name in engine_labels:
        names.setdefault(population, []).append(name)
    whole = {}
    for population, tiles in names.items():
        label = whole_label(
            {name: engine_labels[population, name] for name in tiles}, where["shape"]
        )
        for step in segmentation.root[population].steps:
            label = step.make()({**where, "population": population, "label": label})["label"]
        whole[population] = label
    found = {}
    for population, others in manifest.subtract.items():
        label = whole[population]
        if others:
            taken = [whole[other] for other in others]
            label = minus({**where, "label": label, "subtract": taken})["label"]
        found[population] = label
    return found


def whole_label(labels: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Labels of a field from its tiles'."""
    tiles = {Tile.parse(name): label for name, label in labels.items()}
    only = next(iter(tiles))
    if only.whole:
        return tiles[only]
    return stitch({(tile.y, tile.x): label for tile, label in tiles.items()}, shape)
