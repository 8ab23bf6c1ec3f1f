"""How far masks and tracks can be trusted, frame by frame, without any truth."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TypedDict

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.parts import shown_in
from cyto_kedro.algorithms.tabulation.bleed_through import Masked
from cyto_kedro.algorithms.tabulation.expected_f1 import NOTHING, expected
from cyto_kedro.algorithms.tabulation.flicker import split_merged
from cyto_kedro.core.contract import Image, Images, Label, Labels
from cyto_kedro.core.groups import design
from cyto_kedro.core.stack import read_frame
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import TableOf

log = logging.getLogger(__name__)

_DOUBLED = 1.7  # areas that differ by this factor in a step
_WINDOW = 9  # frames that a jump is seen against
_JUMP = 4.0  # sd of a Poisson count
_LEAST_JUMP = 1.25  # and this factor
_FLICKER = 0.1  # of a frame's cells split and merge again
ABSENT = "masks where the sample sheet says there are no effectors (et_ratio 0)"


class Evidence(TypedDict):
    """What the image says of the masks."""

    mask_evidence: TableOf[schemas.MaskEvidence]


class Judged(TypedDict):
    """Quality of masks and tracks."""

    mask_quality: TableOf[schemas.MaskQuality]


class MaskEvidence(Algorithm):
    """Measure how well masks explain the image that they were made from; expect an F1 of it.

    See `mask_evidence` and `frame_evidence` for the measures and `expected_f1` for what is made of
    them. Frames that are left out have no row.

    Examples
    --------
    >>> y, x = np.mgrid[:80, :120]
    >>> cells = (y - 40) ** 2 + (abs(x - 60) - 25) ** 2
    >>> image = 100.0 + 50 * (cells < 120) + np.random.default_rng(1).normal(0, 2, (80, 120))
    >>> good = np.where(cells < 120, 1 + (x > 60), 0)
    >>> made = [MaskEvidence()(image=image[None], label=np.roll(good, by, 0)[None]) for by in (0, 9)]
    >>> right, shifted = (each["mask_evidence"]["expected_f1"].iloc[0] for each in made)
    >>> bool(right > 0.8), bool(shifted < 0.6)
    (True, True)
    """

    version = 2

    def run(
        self,
        image: Image,
        label: Label,
        fov: str = "fov1",
        population: str = "cells",
        frame_start: int = 0,
        excluded: Collection[int] = (),
        other_labels: Labels | None = None,
        other_images: Images | None = None,
    ) -> Evidence:
        """Measure every frame.

        Parameters
        ----------
        image
            (T, Y, X), what the engine saw.
        label
            (T, Y, X) integer, background 0.
        excluded
            Numbers of frames of the film that are left out.
        other_labels, other_images
            By population, of cells that cannot be these (targets where these are effectors): what
            only shows theirs is bleed-through.

        Raises
        ------
        InputError
            If image and label differ in shape.
        """
        if tuple(image.shape) != tuple(label.shape):
            raise InputError(
                f"field {fov!r}, {population!r}: the image is {tuple(image.shape)} and its labels "
                f"{tuple(label.shape)}; evidence is found pixel by pixel, so both must be alike"
            )
        rows = []
        for index in range(len(label)):
            frame = frame_start + index
            if frame in excluded:
                continue
            masks = read_frame(label, index, f"field {fov!r}, {population!r}, frame {frame}")
            pixels = np.asarray(image[index], np.float32)
            others = [
                Masked(
                    np.asarray((other_images or {})[name][index], np.float32),
                    read_frame(stack, index, f"field {fov!r}, {name!r}, frame {frame}"),
                )
                for name, stack in (other_labels or {}).items()
            ]
            rows.append({"frame": frame, **expected(pixels, masks, shown_in(pixels), others)})
        if not rows:
            return {"mask_evidence": schemas.empty(schemas.MaskEvidence)}
        table = pd.DataFrame(rows).assign(fov=fov, population=population)
        return {"mask_evidence": schemas.conform(schemas.MaskEvidence, table)}


class MaskQuality(Algorithm):
    """Judge masks and tracks of one field and population: expected F1, jumps, and what to look at.

    A field is ``flagged`` where the mean expected F1 of its frames is under `least_f1`; a frame
    ``jumps`` where its number of cells is far from that of the frames around it, or many tracks
    end in view, change their size, or split and merge again (`flicker`) at once. Of effectors in a
    field whose `et_ratio` is 0 in the sample sheet, a frame with masks has an F1 of 0, and one without
    is right: it counts as 1 where others have masks.

    Examples
    --------
    >>> from cyto_kedro.schemas import MaskEvidence, TrackPoints, filled
    >>> seen = filled(MaskEvidence, {"fov": "A1", "population": "T", "frame": [0, 1], "n_cells": 1})
    >>> seen["expected_f1"] = [0.8, 1.0]
    >>> made = MaskQuality()(mask_evidence=seen, fov="A1", population="T")["mask_quality"]
    >>> made[["expected_f1", "field_f1", "flagged"]].to_numpy().tolist()
    [[0.8, 0.9, False], [1.0, 0.9, False]]
    """

    version = 3

    least_f1: float = Field(
        default=0.78, ge=0, le=1, description="a field of a lower expected F1 is flagged"
    )
    stop: bool = Field(default=False, description="stop a flagged field, instead of a warning")

    def run(
        self,
        mask_evidence: TableOf[schemas.MaskEvidence],
        cells: TableOf[schemas.Cells] | None = None,
        track_points: TableOf[schemas.TrackPoints] | None = None,
        tracks: TableOf[schemas.Tracks] | None = None,
        fields: TableOf[schemas.Fields] | None = None,
        roles: Mapping[str, str] | None = None,
        fov: str = "fov1",
        population: str = "cells",
    ) -> Judged:
        """Judge every frame that has evidence.

        `fields`, with the columns of the sample sheet, and `roles` say where there are no effectors.

        Raises
        ------
        InputError
            If `stop` and the field is flagged: names the field, the population and the reason.
        """
        table = mask_evidence.sort_values("frame", ignore_index=True)
        if not len(table):
            return {"mask_quality": schemas.empty(schemas.MaskQuality)}
        steps = _steps(cells, track_points, tracks)
        table = table.join(steps, on="frame")
        if fields is not None and (roles or {}).get(population) == "effector":
            of = design(fields).set_index("fov")["effector_free"]
            if of.get(fov, False):
                masked = table["n_cells"] > 0
                table["expected_f1"] = np.where(masked, 0.0, 1.0 if masked.any() else np.nan)
                table["reason"] = np.where(masked, ABSENT, NOTHING)
        table["field_f1"] = table["expected_f1"].mean()
        table["flagged"] = (table["field_f1"] < self.least_f1).to_numpy(bool)
        table["jumps"] = _jumps(table)
        judged = schemas.conform(schemas.MaskQuality, table)
        if table["flagged"].any():
            said = self._said(judged, fov, population)
            if self.stop:
                raise InputError(f"{said}. Mend the masks, or set stop: false to go on")
            log.warning("%s", said)
        return {"mask_quality": judged}

    def _said(self, table: pd.DataFrame, fov: str, population: str) -> str:
        worst = table.loc[table["expected_f1"].idxmin()]
        reason = f": {worst['reason']}" if worst["reason"] else ""
        return (
            f"field {fov}, {population}: masks are expected to have an F1 of "
            f"{worst['field_f1']:.2f} (under {self.least_f1:g}), worst in frame {worst['frame']}"
            f"{reason}. Look at the masks before trusting any number of this field"
        )


def _steps(
    cells: pd.DataFrame | None, points: pd.DataFrame | None, tracks: pd.DataFrame | None
) -> pd.DataFrame:
    """What tracks say, by the frame that a step ends in; shares are null where there is no step."""
    names = ["area_jumps", "split_merged", "links_unsure", "links_at_reach", "lost"]
    if points is None or not len(points):
        return pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    seen = points[points["label"].notna()].astype({"label": np.int64})
    if cells is not None:
        seen = seen.drop(columns="area_px", errors="ignore")
        seen = seen.drop(columns="on_border", errors="ignore")
        of = ["frame", "label", "area_px", "on_border"]
        seen = seen.merge(cells.reindex(columns=of), on=["frame", "label"], how="left")
        # a cell that comes into view grows: so much for its area
        seen["whole_px"] = seen["area_px"].mask(seen["on_border"].eq(True))
    else:
        seen = seen.assign(area_px=np.nan, whole_px=np.nan)
    seen = seen.sort_values(["track_id", "frame"], ignore_index=True)
    before = seen.shift()
    step = seen[(seen["track_id"] == before["track_id"]) & (seen["frame"] == before["frame"] + 1)]
    last = before.loc[step.index]
    moved = np.hypot(step["x_px"] - last["x_px"], step["y_px"] - last["y_px"])
    grown = (step["whole_px"] / last["whole_px"]).astype(float)
    jumped = ((grown > _DOUBLED) | (grown < 1 / _DOUBLED)).astype(float)
    gap = _nearest(seen).loc[step.index]
    longest = float(moved.max()) if len(moved) else 0.0
    by = pd.DataFrame(
        {
            "frame": step["frame"],
            "area_jumps": jumped.mask(grown.isna()),
            "links_unsure": moved > 0.5 * gap,
            "links_at_reach": moved > 0.9 * longest,
        }
    )
    made = by.groupby("frame").mean()
    if cells is None:
        made["area_jumps"] = np.nan
    else:
        made = made.join(split_merged(seen[seen["area_px"].notna()]), how="outer")
    if tracks is not None and len(tracks):
        ended = tracks[tracks["end_reason"] == "lost"].groupby("last_frame").size()
        here = seen.groupby("frame").size()
        share = (ended.reindex(here.index, fill_value=0) / here).rename("lost")
        share.index = share.index + 1  # missed in the frame after
        made = made.join(share, how="outer")
    return made.reindex(columns=names)


def _nearest(points: pd.DataFrame) -> pd.Series:
    """Distance of every point to the nearest other one of its frame, pixels; infinite for one alone."""
    found = pd.Series(np.inf, points.index)
    for _, group in points.groupby("frame"):
        if len(group) > 1:
            place = group[["y_px", "x_px"]].to_numpy(float)
            found[group.index] = scipy.spatial.cKDTree(place).query(place, k=2)[0][:, 1]
    return found


def _jumps(table: pd.DataFrame) -> pd.Series:
    """Frames whose number of cells, sizes or lost tracks are not those of the frames around."""
    count = table["n_cells"].astype(float)
    usual = count.rolling(_WINDOW, center=True, min_periods=1).median()
    far = (count - usual).abs() > _JUMP * np.sqrt(usual.clip(lower=1))
    ratio = np.maximum(count, 1) / np.maximum(usual, 1)
    found = far & ((ratio > _LEAST_JUMP) | (ratio < 1 / _LEAST_JUMP))
    few = count < 5
    for name, most in (("area_jumps", 0.3), ("lost", 0.3), ("split_merged", _FLICKER)):
        found |= (table[name].fillna(0) > most) & ~few
    return found.astype(bool)
