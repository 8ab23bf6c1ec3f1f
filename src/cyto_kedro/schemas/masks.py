"""How far masks and tracks can be trusted, without truth; and outlines that masks were made of."""

from __future__ import annotations

from pandera.typing import Series

from cyto_kedro.schemas.base import PerPopulation, known, nullable


class MaskEvidence(PerPopulation, key="fov population frame"):
    """One row per frame of a population: what the image says of its masks."""

    frame: Series[int] = known(ge=0)
    n_cells: Series[int] = known("masks in the frame", ge=0)
    expected_f1: Series[float] = nullable(
        "F1 at IoU 0.5 that masks like these had where the truth is known; empty where "
        "there are neither masks nor anything in the image that could be a cell",
        ge=0,
        le=1,
    )
    reason: Series[str] = known("what takes most of it, in words")
    mean_chance: Series[float] = nullable(
        "mean over cells of the chance to be a true one", ge=0, le=1
    )
    doubtful_share: Series[float] = nullable(
        "share of cells whose chance is under one half", ge=0, le=1
    )
    doubled_share: Series[float] | None = nullable(
        "share of cells that are brighter cells of another population: bleed-through", ge=0, le=1
    )
    dark_ratio: Series[float] | None = nullable(
        "how far the image goes below its background, over how far above: fluorescence adds light alone",
        ge=0,
    )


class MaskQuality(MaskEvidence, key="fov population frame"):
    """The same, with what tracks say, by the frame that a step ends in, and the verdict."""

    field_f1: Series[float] = nullable("mean expected F1 of the field's frames", ge=0, le=1)
    flagged: Series[bool] = known("the field's masks are not to be trusted")
    jumps: Series[bool] = known(
        "number of cells far from that of the frames around, or many areas or tracks "
        "that jump at once"
    )
    area_jumps: Series[float] = nullable(
        "share of links, of cells whole in view, across which the area changes 1.7-fold", ge=0, le=1
    )
    split_merged: Series[float] | None = nullable(
        "share of cells whose mask splits here and merges again within 3 frames, or the other way "
        "round",
        ge=0,
        le=1,
    )
    links_unsure: Series[float] = nullable(
        "share of links longer than half the way to the nearest other cell", ge=0, le=1
    )
    links_at_reach: Series[float] = nullable(
        "share of links over 0.9 of the field's longest", ge=0, le=1
    )
    lost: Series[float] = nullable("share of cells whose track ended in view before", ge=0, le=1)


class Outlines(PerPopulation, key="fov population frame label ring corner"):
    """Outlines that were drawn elsewhere, and from which `kedro cyto import` made masks: their corners.

    An outline is of the mask of the same digest; of a mask that was changed since, it tells nothing.
    What is inside of two rings is a hole.
    """

    frame: Series[int] = known(ge=0)
    label: Series[int] = known(ge=1)
    ring: Series[int] = known("1 for the cell's first closed line", ge=1)
    corner: Series[int] = known("1 for the ring's first corner; the last one joins it", ge=1)
    y_px: Series[float] = known("row, from the centre of the top-left pixel")
    x_px: Series[float] = known("column, from the centre of the top-left pixel")
    mask_digest: Series[int] = known("digest of the mask's pixels")
