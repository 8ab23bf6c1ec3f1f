"""One number per replicate and measure: what a comparison of conditions rests on.

Cells of one well share its medium, its donor and its day, so a thousand cells of one well are one
experiment and not a thousand (Lord et al. 2020, *J Cell Biol* 219:e202001064, superplots).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.episodes import first_contact, spells
from cyto_kedro.core.groups import any_known, of_design, of_role
from cyto_kedro.core.survival import at, kaplan_meier, median, restricted_mean
from cyto_kedro.core.units import PositiveDuration, three_digits
from cyto_kedro.core.watched import (
    LivingPoints,
    bouts_until,
    cell_ids,
    common_end,
    contact_intervals,
    effector_hours,
    film_ends,
    n_cells,
    n_living,
    until,
    watched,
    without_pauses,
)
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.schemas import TableOf

CELL = ["fov", "population", "track_id"]
GROUP = ["condition", "population", "replicate", "cluster"]
# the unit of a column by the end of its name, and the end that its uncalibrated twin has
UNITS = {
    "_um_per_min": ("µm/min", "_px_per_frame"),
    "_px_per_frame": ("px/frame", "_px_per_frame"),
    "_um": ("µm", "_px"),
    "_px": ("px", "_px"),
    "_min": ("min", "_frames"),
    "_frames": ("frames", "_frames"),
    "_rad": ("rad", "_rad"),
}
#: of measures that are not cut to the time that all replicates reach, in `statistic`
WHOLE_FILMS = ", over whole films, which differ in length"
Rows = Iterator[dict[str, Any]]


class Summarised(TypedDict):
    """One number per replicate and measure; `value` is what `ReplicateTests` compares."""

    replicate_summaries: TableOf[schemas.ReplicateSummaries]


class ReplicateValues(Algorithm):
    """Headline measures of each population, replicate by replicate, from tables of all fields.

    Notes
    -----
    Of tracks, in the columns of `schemas.Motility` that `motility` names: mean, median, sd and
    quartiles over all tracks of the replicate. Of populations whose deaths are known: **survival**,
    Kaplan-Meier's share alive at the horizon; **restricted_mean_survival**, the area under that
    curve, the mean time lived until the horizon; both of the cells alive when the last replicate
    comes into view; **death_rate**, deaths per cell and hour of watching. Of targets:
    **first_contact_rate**, first contacts per hour of a target not touched yet;
    **contact_duration**, Kaplan-Meier's median. Of effectors: **kills_per_effector_per_hour**,
    attributed deaths over the time that effectors were watched alive.
    The horizon is the last time that every replicate reaches, unless given; one in which all have
    died reaches the end of its film. Where films differ in length, rates are of the time that all
    replicates reach, and `statistic` says so; measures of tracks are of whole films, which `statistic`
    and the comparison's note then say. Pauses of a film are nobody's time (`core.watched`).

    Examples
    --------
    >>> from cyto_kedro.schemas import TABLES, empty
    >>> names = ("motility", "bouts", "kills", "track_points")
    >>> nothing = {name: empty(TABLES[name]) for name in names}
    >>> frames = pd.DataFrame({"fov": "A1", "frame": [0, 1], "time_s": [0.0, 3600], "excluded": False})
    >>> fates = pd.DataFrame({"track_id": [1, 2], "exit_min": [30.0, 60.0]}).assign(
    ...     fov="A1", population="CancerCell", dead_at_first_sight=False, died=[True, False],
    ...     entry_min=0.0, end_reason="film_end")
    >>> design = pd.DataFrame({"fov": ["A1"], "condition": "treated", "replicate": "donor 1"})
    >>> design = design.assign(cluster="donor 1", control=False)
    >>> made = ReplicateValues()(nothing, frames=frames, fates=fates, design=design,
    ...     populations={"CancerCell": "target"})["replicate_summaries"]
    >>> made.set_index("measure")["value"].round(3).to_dict()["survival"]
    0.5
    """

    version = 5

    motility: tuple[str, ...] = Field(
        default=("mean_speed_um_per_min", "straightness", "arrest_coefficient"),
        description="columns of the table motility; their px twins where a field is uncalibrated",
    )
    cell_statistic: Literal["mean", "median"] = Field(
        default="mean", description="over the tracks of a replicate: what is compared"
    )
    horizon: PositiveDuration | None = Field(
        default=None, description="survival is read here; null: the last common time"
    )

    def run(
        self,
        fates: TableOf[schemas.Fates],
        motility: TableOf[schemas.Motility],
        bouts: TableOf[schemas.Bouts],
        kills: TableOf[schemas.Kills],
        track_points: LivingPoints,
        frames: TableOf[schemas.Frames],
        design: pd.DataFrame,
        populations: Mapping[str, str],
    ) -> Summarised:
        """Measure each replicate; `design` is `comparison.design`'s, `populations` name -> role.

        Raises
        ------
        ConfigError
            If `motility` names a column that the table does not have.
        """
        known = fates[[*CELL]].assign(cell_id=cell_ids(fates))
        motility = motility.merge(known, on=CELL, how="left")
        motility["cell_id"] = motility["cell_id"].fillna(motility["track_id"])
        rows = [
            *self._of_tracks(of_design(motility, design), uneven(frames, design)),
            *self._of_survival(fates, frames, design),
            *_of_contact(fates, bouts, frames, design, populations),
            *_of_kills(kills, motility, track_points, frames, fates, design, populations),
        ]
        if not rows:
            return {"replicate_summaries": schemas.empty(schemas.ReplicateSummaries)}
        table = pd.DataFrame(rows).reindex(columns=[*schemas.dtypes(schemas.ReplicateSummaries)])
        return {"replicate_summaries": schemas.conform(schemas.ReplicateSummaries, table)}

    def _of_tracks(self, motility: pd.DataFrame, span: str) -> Rows:
        for asked in self.motility:
            # uncalibrated fields are left out where others have the column
            calibrated = asked not in motility.columns or any_known(motility[asked])
            end = next((each for each in UNITS if asked.endswith(each)), "")
            unit, twin = UNITS.get(end, ("", ""))
            column = asked if calibrated or not end else asked.removesuffix(end) + twin
            if column not in motility.columns:
                numbers = motility.select_dtypes("number").columns
                raise ConfigError(
                    f"comparison.replicates.args.motility: {unknown('column', column, numbers)}"
                )
            if not calibrated and end:
                unit = UNITS[twin][0]
            measure = column.removesuffix(end if calibrated else twin)
            for group, one in motility[motility[column].notna()].groupby(GROUP, sort=False):
                found = spread_of(one[column])
                yield {
                    **summary_row(
                        group, one, measure, unit, f"{self.cell_statistic} of tracks{span}"
                    ),
                    **found,
                    "value": found[self.cell_statistic],
                }

    def _of_survival(self, fates: pd.DataFrame, frames: pd.DataFrame, design: pd.DataFrame) -> Rows:
        rows, unit = watched(fates, frames)
        film_end = film_ends(frames, unit)
        common = common_end(frames, design, unit)
        rows = of_design(rows, design)
        given = self.horizon.in_unit("horizon", unit) if self.horizon else None
        hour, per = (60.0, "per h") if unit == "min" else (1.0, "per frame")
        for _, whole in rows.groupby("population"):
            groups = whole.groupby(GROUP, sort=False)
            start = float(groups["entry"].min().max())
            curves = {
                group: kaplan_meier(*(one[name].to_numpy() for name in ("entry", "leave", "event")))
                for group, one in groups
            }
            # a replicate that has died out says what follows: it shortens nobody's span
            ends = [
                film_end.reindex(one["fov"].unique()).max()
                if curves[group]["survival"].iloc[-1] == 0
                else one["leave"].max()
                for group, one in groups
            ]
            stop = given or float(np.nanmin(ends))
            span = f"from {three_digits(start)} to {three_digits(stop)} {unit}"
            for group, one in groups:
                curve = curves[group]
                # past the last cell under observation a curve says nothing, unless all have died
                told = start < stop <= curve["time"].max() or curve["survival"].iloc[-1] == 0
                alive = at(curve, start)
                share = at(curve, stop) / alive if told and alive > 0 else np.nan
                lived = restricted_mean(curve, start, stop) if told else np.nan
                shown = f"Kaplan-Meier, {span}"
                yield {**summary_row(group, one, "survival", "share", shown), "value": share}
                yield {
                    **summary_row(group, one, "restricted_mean_survival", unit, shown),
                    "value": lived,
                }
                alike = until(one, common)
                time = float((alike["leave"] - alike["entry"]).sum()) / hour
                shown = "deaths over time watched" + _up_to(common, unit)
                rate = float(alike["event"].sum()) / time if time > 0 else np.nan
                yield {**summary_row(group, one, "death_rate", per, shown), "value": rate}


def _of_contact(
    fates: pd.DataFrame,
    bouts: pd.DataFrame,
    frames: pd.DataFrame,
    design: pd.DataFrame,
    roles: Mapping[str, str],
) -> Rows:
    targets = of_role(roles, "target")
    rows, unit = watched(fates, frames)
    span = "min" if any_known(bouts["duration_min"]) else "frames"
    rows = rows[rows["population"].isin(targets)].reset_index(drop=True)
    common, bouts_end = (common_end(frames, design, each) for each in (unit, span))
    rows = until(rows, common).reset_index(drop=True)
    rows["contact"] = first_contact(
        rows, spells(rows, bouts, roles, unit, frames=frames, fates=fates)
    )
    hour, per = (60.0, "per h") if unit == "min" else (1.0, "per frame")
    for group, one in of_design(rows, design).groupby(GROUP, sort=False):
        free = one[one["contact"] > one["entry"]]
        time = float((np.minimum(free["leave"], free["contact"]) - free["entry"]).sum()) / hour
        met = float((free["contact"] <= free["leave"]).sum())
        shown = "first contacts over time not touched" + _up_to(common, unit)
        yield {
            **summary_row(group, one, "first_contact_rate", per, shown),
            "value": met / time if time > 0 else np.nan,
        }
    for target in targets:
        mine = bouts[(bouts["population_a"] == target) | (bouts["population_b"] == target)]
        lasted, unit = contact_intervals(bouts_until(mine, bouts_end, span, frames), roles)
        lasted = of_design(lasted.assign(population=target), design)
        for group, one in lasted.groupby(GROUP, sort=False):
            lasting, ended = one["duration"].to_numpy(), one["event"].to_numpy()
            curve = kaplan_meier(np.zeros(len(one)), lasting, ended)
            shown = "Kaplan-Meier median" + _up_to(bouts_end, span)
            yield {
                **summary_row(group, one, "contact_duration", unit, shown),
                "value": median(curve),
            }


def _of_kills(
    kills: pd.DataFrame,
    motility: pd.DataFrame,
    track_points: Iterable[pd.DataFrame],
    frames: pd.DataFrame,
    fates: pd.DataFrame,
    design: pd.DataFrame,
    roles: Mapping[str, str],
) -> Rows:
    common = common_end(frames, design, "min")
    if common is not None:
        time = without_pauses(frames["fov"], frames["time_s"] / 60, frames)
        frames = frames[~(time > common * (1 + 1e-9))]
        last = frames.groupby("fov")["frame"].max()
        kills = kills[kills["death_frame"] <= kills["fov"].map(last)]
    effectors = of_role(roles, "effector")
    living = n_living(track_points, fates) if effectors else pd.Series()
    for effector in effectors:
        hours = effector_hours(living, frames, [effector])
        mine = kills[kills["effector_population"] == effector].groupby("fov")["share"].sum()
        tracks = motility[motility["population"] == effector].groupby("fov")["cell_id"].nunique()
        rows = design.assign(
            population=effector,
            hours=design["fov"].map(hours).astype(float),
            kills=design["fov"].map(mine).fillna(0.0).astype(float),
            tracks=design["fov"].map(tracks).fillna(0).astype(int),
        )
        for group, one in rows.groupby(GROUP, sort=False):
            one = one[one["hours"].notna()]  # stills, and fields without times, have no rate
            if not len(one):
                continue
            time = one["hours"].sum()
            shown = "attributed deaths over time watched alive" + _up_to(common, "min")
            yield {
                **summary_row(group, one, "kills_per_effector_per_hour", "per h", shown),
                "n_cells": int(one["tracks"].sum()),
                "value": one["kills"].sum() / time if time > 0 else np.nan,
            }


def uneven(frames: pd.DataFrame, design: pd.DataFrame) -> str:
    """What is said of a measure that is taken over whole films where these differ in length; or ""."""
    unit = "min" if any_known(frames["time_s"]) else "frames"
    end = common_end(frames, design, unit)
    return "" if end is None else f"{WHOLE_FILMS} (the shortest to {three_digits(end)} {unit})"


def _up_to(end: float | None, unit: str) -> str:
    """What of films of different length is compared, in words."""
    return "" if end is None else f", to {three_digits(end)} {unit}, which all replicates reach"


def spread_of(values: pd.Series) -> dict[str, float]:
    """Mean, median, sd and quartiles of cells, by column of `schemas.ReplicateSummaries`."""
    value = values.astype(float)
    return {
        "mean": value.mean(),
        "median": value.median(),
        "sd": value.std(),
        "q25": value.quantile(0.25),
        "q75": value.quantile(0.75),
    }


def summary_row(
    group: Any, rows: pd.DataFrame, measure: str, unit: str, statistic: str
) -> dict[str, Any]:
    """A row of `schemas.ReplicateSummaries` without its value."""
    return {
        **dict(zip(GROUP, group, strict=True)),
        "measure": measure,
        "unit": unit,
        "statistic": statistic,
        "n_fovs": rows["fov"].nunique(),
        "n_cells": n_cells(rows) if "cell_id" in rows else len(rows),
    }
