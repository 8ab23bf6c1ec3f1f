"""How wide cells are, over films and fields: read before anything is segmented."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DatasetError

from cyto_kedro import schemas
from cyto_kedro.algorithms.segmentation.size import AssumedSize, CellSize, assumed
from cyto_kedro.blocks import Block
from cyto_kedro.core.stack import Blocks, ChosenFrames
from cyto_kedro.core.units import in_px
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import ConfigError, PartitionError
from cyto_kedro.parameters import Segmentation, SegmentationSpec
from cyto_kedro.pipelines.common import Group

log = logging.getLogger(__name__)

Images = Mapping[str, Any]


def estimate_sizes(
    group: Group,
    segmentation_images: Images | None,
    manifest: Manifest,
    segmentation: Segmentation,
) -> pd.DataFrame:
    """How wide the cells of a population are in one field, where the parameters do not say it.

    A few frames of the film are read, none where the size is given. So all frames, blocks and tiles of
    a film are segmented alike. Where the ways to measure it disagree, a warning names the field. A field
    goes by itself: one that cannot be read stops no other.

    Returns `schemas.CellSizes`, one row.
    """
    spec: SegmentationSpec = segmentation  # type: ignore[assignment]  # narrowed to the population
    engine, fov, population = spec.make(), group["fov"], group["population"]
    pixel_size = manifest.fovs[fov].pixel_size_um
    measured: CellSize | None = None
    if segmentation_images is None:
        size = _as_given(engine, pixel_size)
    else:
        measured = _film_size(engine, segmentation_images, fov, population, manifest)
        size = assumed(measured)
    if size.doubt:
        log.warning(
            "field %s, %s: it is not clear how wide the cells are. %s. Look at the masks, or give "
            "diameter_um (or diameter_px) in segmentation.%s.args",
            *(fov, population, size.doubt, population),
        )
    row = {"fov": fov, "population": population, **_row(size, measured, pixel_size)}
    return schemas.conform(schemas.CellSizes, pd.DataFrame([row]))


def sizes_used(inputs: Mapping[str, Any], group: Group) -> Collection[str]:
    """The inputs that `estimate_sizes` needs: no images where the engine asks for no size."""
    blocks = [each for each in inputs.values() if isinstance(each, Segmentation)]
    needed = any(getattr(each.for_group(group).make(), "needs_size", False) for each in blocks)
    return [name for name in inputs if needed or name != "segmentation_images"]


def _as_given(engine: Any, pixel_size_um: float | None) -> AssumedSize:
    if getattr(engine, "diameter", None) is None:
        return AssumedSize(None, "engine")
    try:
        return AssumedSize(in_px(engine, "diameter", pixel_size_um), "given")
    except ConfigError:  # in µm, and this field is not calibrated: its segmentation says so
        return AssumedSize(None, "given")


def _film_size(
    engine: Any, segmentation_images: Images, fov: str, population: str, manifest: Manifest
) -> CellSize | None:
    """Size of a field's cells over its frames, without excluded ones."""
    planned, sources = manifest.fovs[fov], manifest.sources[population]
    if set(planned.lacking).intersection(sources):
        return None
    blocks = {
        Block.parse(block): partial(segmentation_images.__getitem__, block)
        for block in segmentation_images
    }
    shape = planned.n_frames, planned.height_px, planned.width_px
    used = planned.used_in(Block(0, planned.n_frames))
    try:
        return _measured(engine, blocks, shape, used, manifest, population)
    except Exception:
        readable = {block: image for block, image in blocks.items() if _can_be_read(image)}
        if len(readable) == len(blocks):
            raise
    # a block that cannot be read stops its own segmentation, by name, and no other's
    kept = {frame for block in readable for frame in range(block.start, block.stop)}
    used = [frame for frame in used if frame in kept]
    return _measured(engine, readable, shape, used, manifest, population) if used else None


def _can_be_read(open_block: Any) -> bool:
    try:
        np.asarray(open_block())
    except (DatasetError, PartitionError, OSError):
        return False
    return True


def _measured(
    engine: Any,
    blocks: Mapping[Block, Any],
    shape: tuple[int, int, int],
    used: list[int],
    manifest: Manifest,
    population: str,
) -> CellSize | None:
    if manifest.combine.get(population) == "separate":
        image: Any = {
            channel: ChosenFrames(_film(blocks, shape, number), used)
            for number, channel in enumerate(manifest.sources[population])
        }
    else:
        image = ChosenFrames(_film(blocks, shape), used)
    size: CellSize | None = engine.film_size(image)
    return size


def _film(
    blocks: Mapping[Block, Any], shape: tuple[int, int, int], channel: int | None = None
) -> Any:
    ordered = sorted(blocks, key=lambda block: block.start)
    opens = [partial(_opened, blocks[block], channel) for block in ordered]
    return Blocks(opens, [block.start for block in ordered], shape)


def _opened(open_block: Any, channel: int | None) -> Any:
    block = open_block()
    return block if channel is None else block[:, channel]


def _row(
    size: AssumedSize, measured: CellSize | None, pixel_size_um: float | None
) -> dict[str, Any]:
    """What `schemas.CellSizes` holds beside the names."""
    diameter = np.nan if size.diameter is None else size.diameter
    found: dict[str, Any] = {
        "diameter_px": diameter,
        "diameter_um": diameter * pixel_size_um if pixel_size_um else np.nan,
        "source": size.source,
        "doubt": size.doubt,
        **dict.fromkeys(
            ("blobs_px", "regions_px", "widths_px", "ways_ratio", "frames_ratio"), np.nan
        ),
        "n_frames": 0,
    }
    if measured is not None:
        found |= {
            "blobs_px": measured.blobs,
            "regions_px": measured.regions or np.nan,
            "widths_px": measured.widths or np.nan,
            "ways_ratio": measured.ways_ratio,
            "frames_ratio": measured.frames_ratio,
            "n_frames": measured.n_frames,
        }
    return found
