"""Headline numbers per field and per condition, and what to beware of in the films."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.death_warnings import States, death_warnings, is_piece
from cyto_kedro.algorithms.reporting.film_warnings import quality_warnings
from cyto_kedro.algorithms.reporting.mask_warnings import mask_warnings, size_warnings
from cyto_kedro.core.groups import (
    any_known,
    between,
    condition_order,
    independent,
    of_role,
    with_condition,
)
from cyto_kedro.core.keys import MISSING, Keys, find, size
from cyto_kedro.core.survival import kaplan_meier, median
from cyto_kedro.core.watched import (
    LivingPoints,
    contact_intervals,
    effector_hours,
    goes_on,
    n_living,
    target_intervals,
    watched,
)
from cyto_kedro.schemas import TableOf, or_empty

COUNTS = ("effectors", "targets", "dead_at_first_sight", "deaths", "kills", "unattributed_deaths")
# what weakens them: see `findings.doubts`
MARKED = ("dead_at_first_sight", *COUNTS[3:])  # known where a marker tells who is dead
WATCHED = ("effector_deaths", "effector_watched", "target_watched", "targets_at_once")
DOUBTS = ("targets_watched", "lost", "contacts_unknown", "contacts_cut", "touches")

# what `count_touches_of` reads of track points and touches
CELL = ("fov", "population", "frame", "label")
TOUCHES = ("fov", "frame", "population_a", "label_a", "population_b", "label_b")


class Summed(TypedDict):
    """Numbers per field and per condition, and what to beware of (films, then masks)."""

    by_fov: pd.DataFrame
    by_condition: pd.DataFrame
    warnings: pd.DataFrame


class Summary(Algorithm):
    """Headline numbers, one row per field and one per condition.

    Notes
    -----
    Counts are of cells: tracks, less those that are the rest of another track
    (`fates.past_track_id`); `share_died` is Kaplan-Meier's at the film's end, which broken tracks do
    not shift; `targets_at_once` are the most targets seen alive in one frame.
    `kills` is the sum of the attributed shares of target deaths, one per attributed death;
    `effector_hours` integrates the number of living effectors over the film by the trapezoid rule, so
    that a broken track is not counted twice;
    `kills_per_effector_per_hour` is their ratio, over the fields whose times are known.
    `targets_watched` are those of survival curves (`core.watched`); `lost` tracks ended inside the
    field before the film did. Without a death marker deaths and kills are null.
    `speed_<population>` is the mean over tracks of the mean speed, in `speed_unit`.
    `contact_median` (Kaplan-Meier, effector with target) is in `time_unit`. For a condition, counts
    and hours are sums, the rate is the ratio of the sums, speeds are means over its fields, each
    field counting once, and the median is over all its
    contacts.

    Examples
    --------
    >>> from cyto_kedro.schemas import Fates, Fields, filled
    >>> fates = {"fov": "A1", "population": "CancerCell", "track_id": [1, 2], "died": [True, False]}
    >>> fields, fates = filled(Fields, {"fov": ["A1"], "n_frames": 9}), filled(Fates, fates)
    >>> made = Summary()(fields=fields, fates=fates, roles={"CancerCell": "target"})
    >>> made["by_fov"][["fov", "targets", "deaths", "kills"]].to_numpy().tolist()
    [['A1', 2, 1, 0.0]]
    """

    version = 4

    def run(
        self,
        fields: TableOf[schemas.Fields],
        roles: Mapping[str, str],
        frames: TableOf[schemas.Frames] | None = None,
        track_points: LivingPoints | None = None,
        motility: TableOf[schemas.Motility] | None = None,
        bouts: TableOf[schemas.Bouts] | None = None,
        fates: TableOf[schemas.Fates] | None = None,
        kills: TableOf[schemas.Kills] | None = None,
        quality: TableOf[schemas.Quality] | None = None,
        sample_sheet: pd.DataFrame | None = None,
        touch_counts: Mapping[str, tuple[int, int]] | None = None,
        mask_quality: TableOf[schemas.MaskQuality] | None = None,
        cell_sizes: TableOf[schemas.CellSizes] | None = None,
        viability_state: States | None = None,
    ) -> Summed:
        """Sum up; `roles` is population -> role, a table that is not given is taken as empty.

        `touch_counts` says of a field how many touches there are, and how many join two tracks;
        `viability_state`, population -> field -> state, which fields were judged apart.

        Raises
        ------
        InputError
            If a field is not in the sample sheet.
        """
        frames = or_empty(frames, schemas.Frames)
        by_fov, by_condition = summarise(
            *(fields, frames, () if track_points is None else track_points),
            *(or_empty(motility, schemas.Motility), or_empty(bouts, schemas.Bouts)),
            *(or_empty(fates, schemas.Fates), or_empty(kills, schemas.Kills)),
            sample_sheet,
            roles,
            touch_counts or {},
        )
        films = {"fields": fields, "frames": frames, "quality": quality}
        judged = or_empty(mask_quality, schemas.MaskQuality)
        by_fov["masks_flagged"] = _flagged(judged, by_fov)
        flagged = by_fov.groupby("condition", sort=False)["masks_flagged"]
        by_condition["fields_flagged"] = (
            by_condition["condition"].map(flagged.agg(_some)).astype(int)
        )
        said = death_warnings(or_empty(fates, schemas.Fates), viability_state or {})
        wide = size_warnings(or_empty(cell_sizes, schemas.CellSizes))
        parts = [mask_warnings(judged), wide, said, quality_warnings(films)]
        found = pd.concat([each for each in parts if len(each)] or [said])
        found = found.sort_values("fov", kind="stable", ignore_index=True)
        return {"by_fov": by_fov, "by_condition": by_condition, "warnings": found}


def summarise(
    fields: pd.DataFrame,
    frames: pd.DataFrame,
    track_points: Iterable[pd.DataFrame],
    motility: pd.DataFrame,
    bouts: pd.DataFrame,
    fates: pd.DataFrame,
    kills: pd.DataFrame,
    sample_sheet: pd.DataFrame | None,
    roles: Mapping[str, str],
    touches: Mapping[str, tuple[int, int]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per field, and one per condition: see `Summary`."""
    targets, effectors = of_role(roles, "target"), of_role(roles, "effector")
    rows = with_condition(fields[["fov", "n_frames"]].reset_index(drop=True), sample_sheet)
    rows = rows[["fov", "condition", "replicate", "n_frames"]].set_index("fov")
    times = frames.groupby("fov")["time_s"]
    rows["film_min"] = ((times.max() - times.min()) / 60.0).reindex(rows.index).astype(float)

    def count(of: pd.DataFrame) -> pd.Series:
        return of.groupby("fov").size().reindex(rows.index, fill_value=0).astype(int)

    unmarked = not len(fates) and len(motility)
    tracks = motility if unmarked else fates
    mine = fates[fates["population"].isin(targets)]
    tracks = tracks if unmarked else tracks[~is_piece(fates)]
    rows["effectors"] = count(tracks[tracks["population"].isin(effectors)])
    rows["targets"] = count(tracks[tracks["population"].isin(targets)])
    rows["targets_watched"] = count(
        target_intervals(fates, roles)[0].drop_duplicates(["fov", "population", "cell_id"])
    )
    alive, time_unit = watched(fates, frames)
    per = 60.0 if time_unit == "min" else 1.0
    for name, role in (("effector", effectors), ("target", targets)):
        one = alive[alive["population"].isin(role)]
        passed = ((one["leave"] - one["entry"]) / per).groupby(one["fov"]).sum()
        rows[f"{name}_watched"] = passed.reindex(rows.index, fill_value=0.0).astype(float)
    effector_fates = fates[fates["population"].isin(effectors)]
    rows["effector_deaths"] = count(effector_fates[effector_fates["died"].astype(bool)])
    living = n_living(track_points, fates)
    there = living[living.index.isin(targets, level="population")]
    at_once = there.groupby(["fov", "frame"]).sum().groupby("fov").max()
    rows["targets_at_once"] = at_once.reindex(rows.index, fill_value=0).astype(int)
    rows["lost"] = count(fates[fates["population"].isin([*effectors, *targets]) & _lost(fates)])
    rows["dead_at_first_sight"] = count(mine[mine["dead_at_first_sight"] & ~is_piece(mine)])
    rows["deaths"] = count(mine[mine["died"]])
    attributed = kills[kills["target_population"].isin(targets)].groupby("fov")["share"].sum()
    rows["kills"] = attributed.reindex(rows.index, fill_value=0.0).astype(float)
    rows["unattributed_deaths"] = rows["deaths"] - rows["kills"]
    if unmarked:
        rows = rows.astype(dict.fromkeys(MARKED, float)).assign(**dict.fromkeys(MARKED, np.nan))
    elif (still := rows["n_frames"] < 2).any():  # who is dead can be seen, who dies cannot
        seen = [*MARKED[1:]]
        rows[seen] = rows[seen].astype(float).mask(still)
    hours = effector_hours(living, frames, effectors)
    rows["effector_hours"] = rows.index.map(hours).astype(float)

    um = any_known(fields["pixel_size_um"]) and any_known(frames["time_s"])
    if len(moving := motility.loc[motility["n_points"] > 1, "mean_speed_um_per_min"]):
        um = any_known(moving)
    speed = "mean_speed_um_per_min" if um else "mean_speed_px_per_frame"
    speeds = [f"speed_{population}" for population in roles]
    for population, name in zip(roles, speeds, strict=True):
        of = motility[motility["population"] == population]
        rows[name] = of.groupby("fov")[speed].mean().reindex(rows.index).astype(float)
    contacts, unit = contact_intervals(bouts, roles)
    met = between(bouts, roles)
    rows["contacts"] = count(contacts)
    rows["contacts_unknown"] = count(met[met["censored_start"].astype(bool)])
    rows["contacts_cut"] = count(contacts[~contacts["event"]])
    pairs = [touches.get(str(fov), (0, 0)) for fov in rows.index]
    rows["touches"] = [every for every, _ in pairs]
    rows["touches_untracked"] = [every - tracked for every, tracked in pairs]
    rows["contact_median"] = _medians(contacts, "fov").reindex(rows.index).astype(float)
    rows = rows.reset_index()

    dying = alive[alive["population"].isin(targets)]
    rows["share_died"] = rows["fov"].map(_died(dying, "fov")).astype(float)
    by = dying.merge(rows[["fov", "condition"]], on="fov")

    groups = rows.groupby("condition", sort=False)
    summed = [*COUNTS, "contacts", *DOUBTS, "touches_untracked", *WATCHED]
    total = groups[summed].sum(min_count=1)
    total = total.astype({name: rows[name].dtype for name in summed})
    total.insert(0, "fovs", groups.size())
    total.insert(1, "replicates", _independent(rows, sample_sheet))
    total["share_died"] = _died(by, "condition").reindex(total.index).astype(float)
    total["effector_hours"] = groups["effector_hours"].sum(min_count=1)
    total[speeds] = groups[speeds].mean()
    by = contacts.merge(rows[["fov", "condition"]], on="fov")
    total["contact_median"] = _medians(by, "condition").reindex(total.index).astype(float)
    total = total.reindex(condition_order(sample_sheet, rows["condition"])).reset_index()
    # kills of a field without hours are no part of the rate
    rows["timed_kills"] = rows["kills"].where(rows["effector_hours"] > 0)
    timed = rows.groupby("condition", sort=False)["timed_kills"].sum(min_count=1)
    total["timed_kills"] = total["condition"].map(timed).astype(float)
    for out in (rows, total):
        exposure = out["effector_hours"].where(out["effector_hours"] > 0)
        out["kills_per_effector_per_hour"] = out.pop("timed_kills") / exposure
        out["speed_unit"] = "µm/min" if um else "px/frame"
        out["time_unit"] = unit
    return rows, total


def count_touches(touches: pd.DataFrame, track_points: pd.DataFrame) -> tuple[int, int]:
    """Touches of a field, and how many of them are between two cells that have a track."""
    return len(touches), int(_tracked(touches, track_points).sum())


def count_touches_of(
    touches: pd.DataFrame, track_points: pd.DataFrame
) -> dict[str, tuple[int, int]]:
    """The same of several fields at once, by fov; fields without a touch are left out."""
    fov, names = pd.factorize(pd.concat([touches["fov"], track_points["fov"]]))
    n_frames = size(touches["frame"], track_points["frame"])
    # frames of different fields get different numbers
    apart = [
        table.assign(frame=table["frame"].to_numpy(np.int64) + n_frames * code)
        for table, code in zip((touches, track_points), np.split(fov, [len(touches)]), strict=True)
    ]
    own, n = fov[: len(touches)], len(names)
    every = np.bincount(own, minlength=n)
    tracked = np.bincount(own, _tracked(*apart), minlength=n)
    return {name: (int(every[i]), int(tracked[i])) for i, name in enumerate(names) if every[i]}


def _tracked(touches: pd.DataFrame, track_points: pd.DataFrame) -> np.ndarray:
    """Which touches are between two cells that have a track."""
    seen = track_points[track_points["label"].notna()]
    cells = [(touches[f"population{side}"], touches[f"label{side}"]) for side in ("_a", "_b")]
    cells.append((seen["population"], seen["label"]))
    frames = [touches["frame"], touches["frame"], seen["frame"]]
    keys = Keys((of for of, _ in cells), size(*frames), size(*(label for _, label in cells)))
    a, b, own = (
        keys.pack(keys.code(of), frame.to_numpy(), label.to_numpy(np.int64))
        for (of, label), frame in zip(cells, frames, strict=True)
    )
    own.sort()
    return (find(own, a) != MISSING) & (find(own, b) != MISSING)


def _flagged(mask_quality: pd.DataFrame, by_fov: pd.DataFrame) -> pd.Series:
    """The populations of each field whose masks are flagged, joined by commas."""
    rows = mask_quality.loc[mask_quality["flagged"].astype(bool), ["fov", "population"]]
    names = rows.drop_duplicates().groupby("fov")["population"].agg(", ".join)
    return by_fov["fov"].map(names).fillna("").astype(str)


def _independent(rows: pd.DataFrame, sample_sheet: pd.DataFrame | None) -> pd.Series:
    """Independent replicates of each condition, as the comparison counts: wells of a donor are one."""
    units = rows["replicate"]
    if sample_sheet is not None and "fov" in sample_sheet:
        named = independent(sample_sheet).set_axis(sample_sheet["fov"].astype(str))
        units = rows["fov"].astype(str).map(named)
    return units.groupby(rows["condition"]).nunique()


def _some(names: pd.Series) -> int:
    return int((names != "").sum())


def _lost(fates: pd.DataFrame) -> pd.Series:
    """Tracks of living cells that ended in the field before the film did, and were not found again."""
    lost = fates["end_reason"].isin(["lost", "merge"]) & ~fates["died"].astype(bool)
    return lost & ~goes_on(fates)


def _died(alive: pd.DataFrame, by: str) -> pd.Series:
    """Kaplan-Meier's share that died by the film's end, of rows of `watched`."""
    columns = ("entry", "leave", "event")
    return pd.Series(
        {
            name: 1 - kaplan_meier(*(one[c].to_numpy() for c in columns))["survival"].iloc[-1]
            for name, one in alive.groupby(by)
        },
        dtype=float,
    )


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
