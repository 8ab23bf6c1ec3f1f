"""The assay's usual numbers: live targets over time, against the start and the effector-free control.

Live cells are counted frame by frame, so a track that broke, or a cell that walked in, does not count
twice. What they say depends on growth and on cells leaving: that is what the effector-free control is
for. The share of watched targets that die is survival's (`comparison.survival`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.comparison.design import clocked
from cyto_kedro.core.groups import any_known, of_role
from cyto_kedro.core.units import PositiveDuration, three_digits
from cyto_kedro.core.watched import LivingPoints, films, n_living
from cyto_kedro.schemas import TableOf

GROUP = ["condition", "population", "replicate", "cluster"]
ABOUT = ("plate", "well", "treatment", "dose", "et_ratio")


class Killing(TypedDict):
    """Curves of replicates, end values of fields, and measures that conditions are compared by."""

    killing_curves: TableOf[schemas.KillingCurves]
    field_killing: TableOf[schemas.FieldKilling]
    replicate_summaries: TableOf[schemas.ReplicateSummaries]


class Cytotoxicity(Algorithm):
    """Live targets over time, in percent of the start, and the specific killing.

    Notes
    -----
    L(t) is the number of living targets in view at t, over the fields of a replicate, in percent of
    that in its first frame; C(t) the same of the effector-free control (`et_ratio` 0 in the sample
    sheet): of the same dose where there is one, then of the same donor (cluster), else of the same
    plate, else of all; the mean of its replicates, interpolated in time. Specific killing is
    100 (1 - L(t) / C(t)) percent: below 0 where targets fare better than in the control. Without an
    effector-free control it is null.

    Compared are, at the last time that every replicate reaches (or `horizon`): **live_targets** (L),
    **specific_killing**, and **specific_killing_area**, the area under it up to then in percent hours,
    which tells early from late killing. Excluded frames have no count, stills among films no part.

    Examples
    --------
    >>> points = pd.DataFrame({"fov": ["A1"] * 4 + ["A2"] * 4, "track_id": [1, 2] * 4})
    >>> points = points.assign(population="CancerCell", frame=[0, 0, 1, 1] * 2)
    >>> fates = pd.DataFrame({"fov": "A2", "population": "CancerCell", "track_id": [1, 2]})
    >>> fates = fates.assign(died=[True, False], dead_at_first_sight=False, death_frame=[1, None])
    >>> frames = pd.DataFrame({"fov": ["A1", "A1", "A2", "A2"], "frame": [0, 1, 0, 1]})
    >>> frames = frames.assign(time_s=[0.0, 3600] * 2, excluded=False)
    >>> design = pd.DataFrame({"fov": ["A1", "A2"], "condition": ["alone", "T cells"]})
    >>> design = design.assign(replicate="1", cluster="D1", effector_free=[True, False])
    >>> curves = Cytotoxicity()(track_points=points, fates=fates, frames=frames, design=design,
    ...     populations={"CancerCell": "target"})["killing_curves"]
    >>> columns = ["time_min", "live_percent", "specific_killing"]
    >>> curves[columns].iloc[-1].tolist()
    [60.0, 50.0, 50.0]
    """

    version = 3

    horizon: PositiveDuration | None = Field(
        default=None, description="end values are read here; null: the last common time"
    )

    def run(
        self,
        track_points: LivingPoints,
        fates: TableOf[schemas.Fates],
        frames: TableOf[schemas.Frames],
        design: pd.DataFrame,
        populations: Mapping[str, str],
    ) -> Killing:
        """Count the targets of all fields; `design` is `core.groups.design`'s."""
        counts, unit = live_counts(track_points, fates, frames, of_role(populations, "target"))
        horizon = self.horizon.in_unit("horizon", unit) if self.horizon else None
        about = design.reindex(columns=[*design.columns, *(c for c in ABOUT if c not in design)])
        curves, ends, values = [], [], []
        for population, mine in counts.groupby("population"):
            fields: dict[Any, pd.Series] = {
                fov: one.set_index("time")["n_live"] for fov, one in mine.groupby("fov")
            }
            rows = about[about["fov"].isin(fields)].assign(population=population)
            groups = [(key, one) for key, one in rows.groupby(GROUP, sort=False)]
            live = {key: summed(_of_fields(fields, one["fov"])) for key, one in groups}
            free = {key: one for key, one in groups if _free(one)}
            lasts = [each.index.max() for each in live.values() if len(each)]
            stop = horizon if horizon is not None else min(lasts, default=np.nan)
            for key, one in groups:
                control, basis = _control(one, free, live)
                table = _against(live[key], None if key in free else control)
                names: dict[str, Any] = dict(zip(GROUP, key, strict=True))
                curves.append(table.assign(**names, control=basis if key not in free else ""))
                values += _values(names, one, table, stop, unit)
                for row in one.to_dict("records"):
                    own = _against(fields[row["fov"]], None if key in free else control)
                    said = {name: row[name] for name in ("fov", *GROUP, *ABOUT)}
                    ends.append({**said, **_end(own, stop, unit), "end": stop})
        return {
            "killing_curves": _formed(curves, schemas.KillingCurves, unit, "time"),
            "field_killing": _formed(
                [pd.DataFrame(ends)] if ends else [], schemas.FieldKilling, unit, "end"
            ),
            "replicate_summaries": schemas.filled(schemas.ReplicateSummaries, pd.DataFrame(values))
            if values
            else schemas.empty(schemas.ReplicateSummaries),
        }


def live_counts(
    points: Iterable[pd.DataFrame], fates: pd.DataFrame, frames: pd.DataFrame, targets: list[str]
) -> tuple[pd.DataFrame, str]:
    """Living cells of each of `targets` in each used frame of each field, and the unit of time.

    Returns columns population, fov, time, n_live; fields without times are left out where others have
    them. A population has rows for the fields of `frames`, 0 where none of it is there.
    """
    unit = "min" if any_known(frames["time_s"]) else "frames"
    used = films(frames)
    used = used[used["time_s"].notna()] if unit == "min" else used
    time = used["time_s"] / 60 if unit == "min" else used["frame"].astype(float)
    number = n_living(points, fates)
    parts = []
    for population in targets:
        place = pd.MultiIndex.from_arrays(
            [[population] * len(used), used["fov"], used["frame"]], names=number.index.names
        )
        found = number.reindex(place, fill_value=0).to_numpy(float)
        table = pd.DataFrame({"population": population, "fov": used["fov"], "time": time})
        parts.append(table.assign(n_live=found))
    empty = pd.DataFrame(columns=["population", "fov", "time", "n_live"])
    return (pd.concat(parts, ignore_index=True) if parts else empty), unit


def _of_fields(fields: Mapping[Any, pd.Series], fovs: Iterable[str]) -> pd.DataFrame:
    """Counts of some fields (columns) by time."""
    return pd.concat({fov: fields[fov] for fov in fovs}, axis="columns").sort_index()


def summed(fields: pd.DataFrame) -> pd.Series:
    """Count over several fields (columns) by time, while all of them are filmed; a count holds on."""
    mine = fields.dropna(axis="columns", how="all").dropna(how="all")
    begin = max((_number(mine[fov].first_valid_index()) for fov in mine), default=np.nan)
    last = min((_number(mine[fov].last_valid_index()) for fov in mine), default=np.nan)
    return mine.ffill().loc[begin:last].sum(axis=1)


def _free(rows: pd.DataFrame) -> bool:
    return "effector_free" in rows and bool(rows["effector_free"].all())


def _percent(live: pd.Series) -> pd.Series:
    """Of the first count; null where that is 0."""
    start = live.iloc[0] if len(live) else 0
    return 100 * live / start if start > 0 else live * np.nan


def _control(
    rows: pd.DataFrame, free: Mapping[Any, pd.DataFrame], live: Mapping[Any, pd.Series]
) -> tuple[pd.Series | None, str]:
    """The effector-free control of a replicate (percent by time), and how near it is."""
    found = {key: one for key, one in free.items() if len(live[key])}
    basis = "all"
    for name, said in (("dose", ""), ("cluster", "cluster"), ("plate", "plate")):
        mine = set(rows[name].dropna())
        near = {key: one for key, one in found.items() if set(one[name].dropna()) & mine}
        if near:
            found = near
            basis = said or basis
        if said and near:
            break
    if not found:
        return None, ""
    curves = [_percent(live[key]) for key in found]
    times = np.unique(np.concatenate([each.index for each in curves]))
    within = [_interpolated(each, times) for each in curves]
    mean = np.mean(within, axis=0)  # null where one of them is not filmed
    return pd.Series(mean, index=times).dropna(), basis


def _interpolated(curve: pd.Series, times: np.ndarray) -> np.ndarray:
    at = curve.index.to_numpy(float)
    return np.interp(times, at, curve.to_numpy(float), left=np.nan, right=np.nan)


def _against(live: pd.Series, control: pd.Series | None) -> pd.DataFrame:
    """time, n_live, live_percent, control_percent, specific_killing."""
    table = pd.DataFrame({"time": live.index.to_numpy(float), "n_live": live.to_numpy(float)})
    table["live_percent"] = _percent(live).to_numpy(float)
    table["control_percent"] = np.nan
    if control is not None and len(control):
        table["control_percent"] = _interpolated(control, table["time"].to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        killed = 100 * (1 - table["live_percent"] / table["control_percent"])
    table["specific_killing"] = killed.where(table["control_percent"] > 0)
    return table


def _end(table: pd.DataFrame, stop: float, unit: str) -> dict[str, float]:
    """Start, and values at `stop`: what holds then; the area under the specific killing up to it."""
    null = dict.fromkeys(
        ("n_start", "n_end", "live_percent", "specific_killing", "specific_killing_area"), np.nan
    )
    until = table[table["time"] <= stop]
    if not len(until) or table["time"].max() < stop:
        return null
    last, hour = until.iloc[-1], 60.0 if unit == "min" else 1.0
    known = until[until["specific_killing"].notna()]
    area = np.trapezoid(known["specific_killing"], known["time"]) / hour if len(known) else np.nan
    return {
        "n_start": until["n_live"].iloc[0],
        "n_end": last["n_live"],
        "live_percent": last["live_percent"],
        "specific_killing": last["specific_killing"],
        "specific_killing_area": area,
    }


def _values(
    names: dict[str, Any], rows: pd.DataFrame, table: pd.DataFrame, stop: float, unit: str
) -> list[dict[str, Any]]:
    """Rows of `schemas.ReplicateSummaries` of a replicate."""
    end = _end(table, stop, unit)
    if np.isnan(end["n_start"]):
        return []
    about = {"n_fovs": len(rows), "n_cells": int(end["n_start"])}
    made = [
        (
            "live_targets",
            "%",
            f"alive at {three_digits(stop)} {unit}, of the first frame's",
            "live_percent",
        ),
        (
            "specific_killing",
            "%",
            f"at {three_digits(stop)} {unit}, against no effectors",
            "specific_killing",
        ),
        (
            "specific_killing_area",
            "% h" if unit == "min" else "% frames",
            f"area under specific killing until {three_digits(stop)} {unit}",
            "specific_killing_area",
        ),
    ]
    return [
        {**names, **about, "measure": m, "unit": u, "statistic": s, "value": end[column]}
        for m, u, s, column in made
        if m == "live_targets" or not np.isnan(end[column])
    ]


def _formed(parts: list[pd.DataFrame], table: Any, unit: str, time: str) -> Any:
    if not parts:
        return schemas.empty(table)
    whole = clocked(pd.concat(parts, ignore_index=True), unit, time)
    for name in ("plate", "well", "treatment"):
        if name in whole:
            whole[name] = whole[name].fillna("").astype(str)
    return schemas.conform(table, whole)


def _number(label: Any) -> float:
    return float(label)
