"""Survival curves per condition and replicate, and what lost tracks could do to them."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import clocked, strata
from cyto_kedro.core.groups import of_design
from cyto_kedro.core.survival import (
    clustered_se,
    hazard_limits,
    joined,
    kaplan_meier,
    nelson_aalen,
    survival_limits,
)
from cyto_kedro.core.watched import film_ends, goes_on, n_cells, watched
from cyto_kedro.errors import unknown
from cyto_kedro.schemas import END_REASONS, TableOf

CELLS = ("entry", "leave", "event", "cluster")


class Curves(TypedDict):
    """Survival and cumulative hazard over time."""

    survival_curves: TableOf[schemas.SurvivalCurves]


class Bounds(TypedDict):
    """What lost tracks could do to survival."""

    survival_bounds: TableOf[schemas.SurvivalBounds]


class SurvivalCurves(Algorithm):
    """Kaplan-Meier and Nelson-Aalen curves per population, condition and replicate.

    Notes
    -----
    Time runs from the start of the film (with the sample sheet's ``time_offset_min``) and stands still
    in its pauses (`core.watched`); a cell that is first seen later enters later. Cells dead at first
    sight, and those seen once, were never at risk. Tracks that end otherwise than in death are
    censored, as if what ended them told nothing of the cell's fate: see `LostBounds` for how far that
    could be wrong.

    `low` and `high` take cells to be independent, which cells of one well are not;
    `low_clustered` and `high_clustered` take replicates to be, and are null with fewer than two.
    Formulas: `core.survival`.

    Examples
    --------
    >>> fates = pd.DataFrame({"track_id": [1, 2, 3], "exit_min": [2.0, 4.0, 6.0]}).assign(
    ...     fov="A1", population="CancerCell", dead_at_first_sight=False, died=True, entry_min=0.0,
    ...     end_reason="film_end")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "treated", "replicate": "donor 1"})
    >>> design = design.assign(cluster="donor 1", control=False)
    >>> curves = SurvivalCurves()(fates=fates, design=design)["survival_curves"]
    >>> whole = curves[(curves["kind"] == "survival") & (curves["replicate"] == "(all)")]
    >>> whole[["time_min", "at_risk", "events", "estimate"]].round(2).to_numpy().tolist()
    [[0.0, 3.0, 0.0, 1.0], [2.0, 3.0, 1.0, 0.67], [4.0, 2.0, 1.0, 0.33], [6.0, 1.0, 1.0, 0.0]]
    """

    version = 3

    min_at_risk: int = Field(
        default=10, ge=1, description="cells; a curve is marked where fewer are under observation"
    )

    def run(
        self,
        fates: TableOf[schemas.Fates],
        design: pd.DataFrame,
        frames: TableOf[schemas.Frames] | None = None,
    ) -> Curves:
        """Curves of the cells of all fields; `design` is `comparison.design`'s."""
        rows, unit = watched(fates, frames)
        rows = of_design(rows, design)
        parts = [
            both_kinds(one, self.min_at_risk).assign(**names) for names, one in strata(rows, design)
        ]
        table = clocked(pd.concat(parts), unit) if parts else schemas.empty(schemas.SurvivalCurves)
        return {"survival_curves": schemas.conform(schemas.SurvivalCurves, table)}


def both_kinds(rows: pd.DataFrame, min_at_risk: int) -> pd.DataFrame:
    """Survival, then cumulative hazard, of `rows` (entry, leave, event, cluster) as one table."""
    survival = survival_curve(rows)
    hazard = hazard_curve(rows, survival)
    both = pd.concat(
        [survival.assign(kind="survival"), hazard.assign(kind="cumulative_hazard")],
        ignore_index=True,
    )
    return both.assign(few_at_risk=both["at_risk"] < min_at_risk)


def survival_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Kaplan-Meier over `time`, with the columns of `schemas.BandedCurve`."""
    entry, leave, event, cluster = (rows[name].to_numpy() for name in CELLS)
    curve = kaplan_meier(entry, leave, event)
    se = clustered_se(entry, leave, event, cluster, curve["time"].to_numpy())["survival"].to_numpy()
    low, high = survival_limits(curve["survival"].to_numpy(), se, _clusters(rows))
    curve = curve.rename(columns={"survival": "estimate", "lower": "low", "upper": "high"})
    # nothing is known of where a curve that has reached 0 or not left 1 lies
    flat = ~curve["estimate"].between(0, 1, inclusive="neither")
    curve.loc[flat, ["low", "high"]] = np.nan
    return curve.assign(low_clustered=low, high_clustered=high)


def hazard_curve(rows: pd.DataFrame, survival: pd.DataFrame) -> pd.DataFrame:
    """Nelson-Aalen at the times of `survival` (`survival_curve`), with the same columns."""
    entry, leave, event, cluster = (rows[name].to_numpy() for name in CELLS)
    curve = survival[["time", "at_risk", "events"]]
    time = curve["time"].to_numpy()
    hazard = nelson_aalen(entry, leave, event, time)
    se = clustered_se(entry, leave, event, cluster, time)["hazard"].to_numpy()
    low, high = hazard_limits(hazard["hazard"].to_numpy(), se, _clusters(rows))
    hazard = hazard.rename(columns={"hazard": "estimate", "lower": "low", "upper": "high"})
    return curve.join(hazard).assign(low_clustered=low, high_clustered=high)


def _clusters(rows: pd.DataFrame) -> int:
    return len(np.unique(joined(*(rows[name].to_numpy() for name in CELLS))[3]))


class LostBounds(Algorithm):
    """How far a survival curve could be wrong because tracks were lost.

    Notes
    -----
    A dying cell shrinks, rounds up and fades, and its track is easily lost just then; Kaplan-Meier
    takes it to fare like those still watched. The bounds are the two extremes: every lost cell died
    when it was last seen; none died before the end of its film. The truth lies between them
    whatever the reason of the loss. Bounds that are far apart say that tracking, not biology, decides
    the curve. Of which ends of tracks this is assumed is the argument `lost`; leaving over the border,
    division and the film's end stay censored.

    Examples
    --------
    >>> fates = pd.DataFrame({"track_id": [1, 2, 3], "exit_min": [2.0, 4.0, 6.0]}).assign(
    ...     fov="A1", population="CancerCell", dead_at_first_sight=False,
    ...     died=[True, False, False], entry_min=0.0, end_reason="lost")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "treated", "replicate": "donor 1"})
    >>> design = design.assign(cluster="donor 1", control=False)
    >>> frames = pd.DataFrame({"fov": "A1", "frame": [0, 1], "time_s": [0.0, 600.0]})
    >>> bounds = LostBounds()(fates=fates, frames=frames, design=design)["survival_bounds"]
    >>> last = bounds[bounds["time_min"] == 6].iloc[0]
    >>> last[["all_lost_died", "none_lost_died"]].astype(float).round(2).tolist()
    [0.0, 0.67]
    """

    version = 3

    lost: tuple[str, ...] = Field(
        default=("lost", "merge"), description="end reasons that may hide a death"
    )

    @field_validator("lost")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for reason in value:
            if reason not in END_REASONS:
                raise ValueError(unknown("end reason", reason, END_REASONS))
        return value

    def run(
        self, fates: TableOf[schemas.Fates], frames: TableOf[schemas.Frames], design: pd.DataFrame
    ) -> Bounds:
        """The two extremes for the cells of all fields; `design` is `comparison.design`'s."""
        # a cell that was found again was not lost
        found = fates.assign(end_reason=fates["end_reason"].astype(object).mask(goes_on(fates), ""))
        rows, unit = watched(found, frames)
        rows = of_design(rows, design)
        rows["lost"] = ~rows["event"] & rows["end_reason"].isin(self.lost)
        rows["film_end"] = rows["fov"].map(film_ends(frames, unit)).astype(float)
        parts = [_bounds(one).assign(**names) for names, one in strata(rows, design)]
        table = clocked(pd.concat(parts), unit) if parts else schemas.empty(schemas.SurvivalBounds)
        return {"survival_bounds": schemas.conform(schemas.SurvivalBounds, table)}


def _bounds(rows: pd.DataFrame) -> pd.DataFrame:
    """The estimate, and the two extremes, at every time at which one of them changes."""
    lost = rows["lost"].to_numpy()
    entry, leave, event = (rows[name].to_numpy() for name in ("entry", "leave", "event"))
    stayed = np.where(lost, np.maximum(leave, rows["film_end"]), leave)
    curves = {
        "estimate": kaplan_meier(entry, leave, event),
        "all_lost_died": kaplan_meier(entry, leave, event | lost),
        "none_lost_died": kaplan_meier(entry, stayed, event),
    }
    time = np.unique(np.concatenate([each["time"] for each in curves.values()]))
    table = pd.DataFrame({"time": time})
    for name, curve in curves.items():
        place = np.searchsorted(curve["time"], time, side="right") - 1
        # beyond the last one under observation a curve says nothing
        inside = time <= curve["time"].max()
        table[name] = np.where(inside, curve["survival"].to_numpy()[place], np.nan)
    table["n_cells"] = n_cells(rows)
    table["n_lost"] = np.searchsorted(np.sort(leave[lost]), time, side="right")
    return table
