"""Headline numbers per field and per condition, and what to beware of in the films."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.film_warnings import quality_warnings
from cyto_kedro.core.groups import any_known, condition_order, of_role, with_condition
from cyto_kedro.core.survival import kaplan_meier, median
from cyto_kedro.core.watched import contact_intervals, effector_hours
from cyto_kedro.schemas import TableOf, or_empty

COUNTS = ("effectors", "targets", "dead_at_first_sight", "deaths", "kills", "unattributed_deaths")


class Summed(TypedDict):
    """Numbers per field and per condition, and what to beware of (`quality_warnings`)."""

    by_fov: pd.DataFrame
    by_condition: pd.DataFrame
    warnings: pd.DataFrame


class Summary(Algorithm):
    """Headline numbers, one row per field and one per condition.

    Notes
    -----
    Counts are of tracks. `kills` is the sum of the attributed shares of target deaths, one per
    attributed death; `effector_hours` integrates the number of living effectors over the film by
    the trapezoid rule, so that a broken track is not counted twice;
    `kills_per_effector_per_hour` is their ratio. `speed_<population>` is the mean over tracks of
    the mean speed, in `speed_unit`. `contact_median` (Kaplan-Meier, effector with target) is in
    `time_unit`. For a condition, counts and hours are sums, the rate is the ratio of the sums,
    speeds are means over its fields, each field counting once, and the median is over all its
    contacts.

    Examples
    --------
    >>> from cyto_kedro.schemas import Fates, Fields, filled
    >>> fates = {"fov": "A1", "population": "CancerCell", "track_id": [1, 2], "died": [True, False]}
    >>> made = Summary()(fields=filled(Fields, {"fov": ["A1"]}), fates=filled(Fates, fates),
    ...     roles={"CancerCell": "target"})
    >>> made["by_fov"][["fov", "targets", "deaths", "kills"]].to_numpy().tolist()
    [['A1', 2, 1, 0.0]]
    """

    def run(
        self,
        fields: TableOf[schemas.Fields],
        roles: Mapping[str, str],
        frames: TableOf[schemas.Frames] | None = None,
        track_points: TableOf[schemas.TrackPoints] | None = None,
        motility: TableOf[schemas.Motility] | None = None,
        bouts: TableOf[schemas.Bouts] | None = None,
        fates: TableOf[schemas.Fates] | None = None,
        kills: TableOf[schemas.Kills] | None = None,
        quality: TableOf[schemas.Quality] | None = None,
        sample_sheet: pd.DataFrame | None = None,
    ) -> Summed:
        """Sum up; `roles` is population -> role, a table that is not given is taken as empty.

        Raises
        ------
        InputError
            If a field is not in the sample sheet.
        """
        frames = or_empty(frames, schemas.Frames)
        by_fov, by_condition = summarise(
            *(fields, frames, or_empty(track_points, schemas.TrackPoints)),
            *(or_empty(motility, schemas.Motility), or_empty(bouts, schemas.Bouts)),
            *(or_empty(fates, schemas.Fates), or_empty(kills, schemas.Kills)),
            sample_sheet,
            roles,
        )
        films = {"fields": fields, "frames": frames, "quality": quality}
        found = quality_warnings(films)
        return {"by_fov": by_fov, "by_condition": by_condition, "warnings": found}


def summarise(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    track_points: pd.DataFrame,
    motility: pd.DataFrame,
    bouts: pd.DataFrame,
    fates: pd.DataFrame,
    kills: pd.DataFrame,
    sample_sheet: pd.DataFrame | None,
    roles: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per field, and one per condition: see `Summary`."""
    targets, effectors = of_role(roles, "target"), of_role(roles, "effector")
    rows = with_condition(fields[["fov", "n_frames"]].reset_index(drop=True), sample_sheet)
    rows = rows[["fov", "condition", "replicate", "n_frames"]].set_index("fov")
    times = frames.groupby("fov")["time_s"]
    rows["film_min"] = ((times.max() - times.min()) / 60.0).reindex(rows.index).astype(float)

    def count(of: pd.DataFrame) -> pd.Series:
        return of.groupby("fov").size().reindex(rows.index, fill_value=0).astype(int)

    mine = fates[fates["population"].isin(targets)]
    rows["effectors"] = count(fates[fates["population"].isin(effectors)])
    rows["targets"] = count(mine)
    rows["dead_at_first_sight"] = count(mine[mine["dead_at_first_sight"]])
    rows["deaths"] = count(mine[mine["died"]])
    attributed = kills[kills["target_population"].isin(targets)].groupby("fov")["share"].sum()
    rows["kills"] = attributed.reindex(rows.index, fill_value=0.0).astype(float)
    rows["unattributed_deaths"] = rows["deaths"] - rows["kills"]
    hours = effector_hours(track_points, frames, effectors, fates)
    rows["effector_hours"] = rows.index.map(hours).astype(float)

    um = any_known(fields["pixel_size_um"]) and any_known(frames["time_s"])
    speed = "mean_speed_um_per_min" if um else "mean_speed_px_per_frame"
    speeds = [f"speed_{population}" for population in roles]
    for population, name in zip(roles, speeds, strict=True):
        of = motility[motility["population"] == population]
        rows[name] = of.groupby("fov")[speed].mean().reindex(rows.index).astype(float)
    contacts, unit = contact_intervals(bouts, roles)
    rows["contacts"] = count(contacts)
    rows["contact_median"] = _medians(contacts, "fov").reindex(rows.index).astype(float)
    rows = rows.reset_index()

    groups = rows.groupby("condition", sort=False)
    summed = [*COUNTS, "contacts"]
    total = groups[summed].sum()
    total.insert(0, "fovs", groups.size())
    total.insert(1, "replicates", groups["replicate"].nunique())
    total["effector_hours"] = groups["effector_hours"].sum(min_count=1)
    total[speeds] = groups[speeds].mean()
    by = contacts.merge(rows[["fov", "condition"]], on="fov")
    total["contact_median"] = _medians(by, "condition").reindex(total.index).astype(float)
    total = total.reindex(condition_order(sample_sheet, rows["condition"])).reset_index()
    for out in (rows, total):
        exposure = out["effector_hours"].where(out["effector_hours"] > 0)
        out["kills_per_effector_per_hour"] = out["kills"] / exposure
        out["speed_unit"] = "µm/min" if um else "px/frame"
        out["time_unit"] = unit
    return rows, total


def _medians(contacts: pd.DataFrame, by: str) -> pd.Series:
    return pd.Series(
        {
            name: median(
                kaplan_meier(
                    np.zeros(len(group)), group["duration"].to_numpy(), group["event"].to_numpy()
                )
            )
            for name, group in contacts.groupby(by)
        },
        dtype=float,
    )
