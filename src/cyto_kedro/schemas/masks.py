"""How far masks and tracks can be trusted, without truth."""

from __future__ import annotations

import pandera.pandas as pa
from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, Table


class MaskEvidence(PerFov):
    """One row per frame of a population: what the image says of its masks."""

    population: Series[str]
    frame: Series[int] = pa.Field(ge=0)
    n_cells: Series[int] = pa.Field(ge=0, description="masks in the frame")
    expected_f1: Series[float] = pa.Field(
        ge=0,
        le=1,
        nullable=True,
        description="F1 at IoU 0.5 that masks like these had where the truth is known; empty where "
        "there are neither masks nor anything in the image that could be a cell",
    )
    reason: Series[str] = pa.Field(description="what takes most of it, in words")
    mean_chance: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="mean over cells of the chance to be a true one"
    )
    doubtful_share: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="share of cells whose chance is under one half"
    )

    @classmethod
    def key(cls) -> list[str]:
        return ["fov", "population", "frame"]


class MaskQuality(MaskEvidence):
    """The same, with what tracks say, by the frame that a step ends in, and the verdict."""

    field_f1: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="mean expected F1 of the field's frames"
    )
    flagged: Series[bool] = pa.Field(description="the field's masks are not to be trusted")
    jumps: Series[bool] = pa.Field(
        description="number of cells far from that of the frames around, or many areas or tracks "
        "that jump at once"
    )
    area_jumps: Series[float] = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="share of links across which the area changes 1.7-fold",
    )
    split_merged: Series[float] | None = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="share of cells whose mask splits here and merges again within 3 frames, or the "
        "other way round",
    )
    links_unsure: Series[float] = pa.Field(
        nullable=True,
        ge=0,
        le=1,
        description="share of links longer than half the way to the nearest other cell",
    )
    links_at_reach: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="share of links over 0.9 of the field's longest"
    )
    lost: Series[float] = pa.Field(
        nullable=True, ge=0, le=1, description="share of cells whose track ended in view before"
    )


TABLES: dict[str, type[Table]] = {"mask_evidence": MaskEvidence, "mask_quality": MaskQuality}
