"""Headline numbers per field and per condition, and what to beware of in the films."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.reporting.film_warnings import quality_warnings
from cyto_kedro.core.groups import (
    any_known,
    condition_order,
    of_role,
    with_condition,
)
from cyto_kedro.core.survival import kaplan_meier, median
from cyto_kedro.core.watched import contact_intervals, effector_hours
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import TABLES, empty

COUNTS = ("effectors", "targets", "dead_at_first_sight", "deaths", "kills", "unattributed_deaths")


class Summary(Algorithm):
    """Headline numbers.

    Reads ``fields``, ``frames``, ``track_points``, ``motility``, ``bouts``, ``fates``, ``deaths``,
    ``kills`` (absent: taken as empty, but ``fields``), ``sample_sheet``, ``roles``
    (population -> role) and optionally ``quality``. Returns ``by_fov``, ``by_condition``
    (`summarise`) and ``warnings`` (`quality_warnings`).
    """

    def __call__(self, data: Data) -> Data:
        by_fov, by_condition = summarise(data, data.get("sample_sheet"), data["roles"])
        return {"by_fov": by_fov, "by_condition": by_condition, "warnings": quality_warnings(data)}


def table(data: Mapping[str, object], name: str) -> pd.DataFrame:
    """The table `name` of `data`, or an empty one of its schema."""
    found = data.get(name)
    return found if isinstance(found, pd.DataFrame) else empty(TABLES[name])


def summarise(
    tables: Mapping[str, object], sample_sheet: pd.DataFrame | None, roles: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per field, and one per condition.

    Counts are of tracks. `kills` is the sum of the attributed shares of target deaths, one per
    attributed death; `effector_hours` integrates the number of living effectors over the film by
    the trapezoid rule, so that a broken track is not counted twice;
    `kills_per_effector_per_hour` is their ratio. `speed_<population>` is the mean over tracks of
    the mean speed, in `speed_unit`. `contact_median` (Kaplan-Meier, effector with target) is in
    `time_unit`. For a condition, counts and hours are sums, the rate is the ratio of the sums,
    speeds are means over its fields, each field counting once, and the median is over all its
    contacts.

    Raises
    ------
    InputError
        If ``fields`` is absent, or a field is not in the sample sheet.
    """
    if tables.get("fields") is None:
        raise InputError("summary: the table 'fields' is missing; its rows are the summary's")
    fields = table(tables, "fields")
    targets, effectors = of_role(roles, "target"), of_role(roles, "effector")
    fates, kills = table(tables, "fates"), table(tables, "kills")
    rows = with_condition(fields[["fov", "n_frames"]].reset_index(drop=True), sample_sheet)
    rows = rows[["fov", "condition", "replicate", "n_frames"]].set_index("fov")
    times = table(tables, "frames").groupby("fov")["time_s"]
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
    hours = effector_hours(table(tables, "track_points"), table(tables, "frames"), effectors, fates)
    rows["effector_hours"] = rows.index.map(hours).astype(float)

    motility = table(tables, "motility")
    um = any_known(fields["pixel_size_um"]) and any_known(table(tables, "frames")["time_s"])
    speed = "mean_speed_um_per_min" if um else "mean_speed_px_per_frame"
    speeds = [f"speed_{population}" for population in roles]
    for population, name in zip(roles, speeds, strict=True):
        of = motility[motility["population"] == population]
        rows[name] = of.groupby("fov")[speed].mean().reindex(rows.index).astype(float)
    contacts, unit = contact_intervals(table(tables, "bouts"), roles)
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
