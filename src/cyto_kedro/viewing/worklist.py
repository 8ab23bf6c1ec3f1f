"""What most deserves a look, ranked by how much it can change the answer.

Each row has `at_stake`: how many deaths of targets looking at it can add, drop or turn into another
verdict, expected. `weight` is that over the targets of its condition: by so much the share of killed
targets can change. A death among 20 targets so comes before the same among 200.

| what | at stake |
|---|---|
| a correction by hand that fits no cell any more | 1 |
| a death whose chance of background is p | min(p, 1 - p) |
| a death known by a body that was found, not seen happen | 0.25 |
| a track dead and alive again: two cells in one (a swap) | 0.5 |
| a track that begins dead in mid-film, of no lost cell | 0.5 |
| masks of a field, F1 expected | (1 - F1) a tenth of the field's targets |

The numbers other than p and F1 are choices. Effectors count a tenth: their deaths are not the answer.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.contacts.corrected_contacts import fit_contacts
from cyto_kedro.algorithms.contacts.corrected_deaths import fit_corrections
from cyto_kedro.algorithms.contacts.corrected_events import Correctable, in_words, said_of
from cyto_kedro.algorithms.contacts.corrected_kills import attacks_before, fit_kills
from cyto_kedro.core.groups import design
from cyto_kedro.errors import InputError
from cyto_kedro.schemas import EventCorrections, conform

COLUMNS = (
    *("fov", "condition", "population", "what", "track_id", "frame", "y_px", "x_px"),
    *("at_stake", "weight"),
)
BODY, SWAP, ORPHAN, MASKS, NOT_TARGETS = 0.25, 0.5, 0.5, 0.1, 0.1
Points = Callable[[str, str], pd.DataFrame]


def worklist(
    deaths: pd.DataFrame,
    fates: pd.DataFrame,
    mask_quality: pd.DataFrame,
    fields: pd.DataFrame,
    roles: Mapping[str, str],
    misfits: pd.DataFrame | None = None,
    points: Points | None = None,
) -> pd.DataFrame:
    """Rows of `COLUMNS`, the weightiest first.

    Parameters
    ----------
    misfits
        `schemas.EventCorrections` that fit no cell.
    points
        Field and population -> its track points, for the place of a track.
    """
    targets = [name for name, role in roles.items() if role == "target"] or list(roles)
    rows = [*_deaths(deaths), *_tracks(fates), *_masks(mask_quality, fates, targets)]
    if misfits is not None:
        rows += _misfits(misfits)
    made = pd.DataFrame(
        rows, columns=[each for each in COLUMNS if each not in ("condition", "weight")]
    )
    groups = design(fields).set_index("fov")["condition"].astype(str)
    made["condition"] = made["fov"].map(groups)
    made.loc[~made["population"].isin(targets), "at_stake"] *= NOT_TARGETS
    watched = fates[fates["population"].isin(targets)]
    n = watched["fov"].map(groups).value_counts()
    made["weight"] = made["at_stake"] / made["condition"].map(n).fillna(1).clip(lower=1)
    made = made[made["weight"] > 0].sort_values(
        ["weight", "fov", "population", "frame"], ascending=[False, True, True, True]
    )
    return _placed(made, points)[list(COLUMNS)].reset_index(drop=True)


def _row(at: Any, what: str, frame: Any, at_stake: float, track_id: Any = pd.NA) -> dict[str, Any]:
    return {
        "fov": at.fov,
        "population": at.population,
        "what": what,
        "track_id": track_id,
        "frame": int(frame),
        "y_px": getattr(at, "y_px", np.nan),
        "x_px": getattr(at, "x_px", np.nan),
        "at_stake": at_stake,
    }


def _deaths(deaths: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for at in deaths.itertuples():
        evidence = getattr(at, "evidence", "marker")
        if evidence == "person":  # somebody has looked
            continue
        p = getattr(at, "p_background", np.nan)
        doubt = 0.0 if pd.isna(p) else min(p, 1 - p)
        by_body = evidence == "body"
        said = f"death of {at.population} {at.track_id}"
        if not pd.isna(p):
            said += f", chance of background {p:.2f}"
        if by_body:
            said += ", known by its body alone"
        rows.append(_row(at, said, at.frame, max(doubt, BODY * by_body), at.track_id))
    return rows


def _tracks(fates: pd.DataFrame) -> list[dict[str, Any]]:
    no = pd.Series(False, fates.index)
    swapped = fates["recovered"].astype(bool) if "recovered" in fates else no
    past = fates["past_track_id"].notna() if "past_track_id" in fates else no
    entered = fates["start_reason"].eq("entered") if "start_reason" in fates else no
    orphan = fates["dead_at_first_sight"].astype(bool) & ~past & entered
    rows = []
    for at in fates[swapped].itertuples():
        what = f"{at.population} {at.track_id} is dead and alive again: two cells in one track?"
        rows.append(_row(at, what, at.first_frame, SWAP, at.track_id))
    for at in fates[orphan].itertuples():
        what = f"{at.population} {at.track_id} begins dead in mid-film: whose body is it?"
        rows.append(_row(at, what, at.first_frame, ORPHAN, at.track_id))
    return rows


def _masks(quality: pd.DataFrame, fates: pd.DataFrame, targets: list[str]) -> list[dict[str, Any]]:
    rows = []
    n = fates[fates["population"].isin(targets)]["fov"].value_counts()
    for (fov, _), mine in quality.groupby(["fov", "population"], sort=False):
        known = mine[mine["expected_f1"].notna()]
        if not len(known):
            continue
        worst = known.loc[known["expected_f1"].idxmin()]
        f1 = float(worst["field_f1"])
        flag = ", flagged" if mine["flagged"].any() else ""
        what = f"masks of {worst['population']}: F1 of {f1:.2f} expected{flag}; {worst['reason']}"
        rows.append(_row(worst, what, worst["frame"], (1 - f1) * MASKS * int(n.get(fov, 0))))
    return rows


def _misfits(corrections: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for at in corrections.itertuples():
        what = f'{at.population}: the correction "{in_words(at)}" fits no cell'
        rows.append(_row(at, what, at.frame, 1.0))
    return rows


def _placed(rows: pd.DataFrame, points: Points | None) -> pd.DataFrame:
    """With y and x of the tracks that rows name."""
    if points is None:
        return rows
    for (fov, population), mine in rows[rows["track_id"].notna()].groupby(["fov", "population"]):
        at = points(str(fov), str(population)).set_index(["track_id", "frame"])[["y_px", "x_px"]]
        where = at.reindex(pd.MultiIndex.from_frame(mine[["track_id", "frame"]].astype(int)))
        rows.loc[mine.index, ["y_px", "x_px"]] = where.to_numpy()
    return rows


def command_of(row: Mapping[Any, Any], env: str | None = None) -> str:
    """The command that shows a row.

    Examples
    --------
    >>> command_of({"fov": "A 1", "frame": 12, "y_px": 30.4, "x_px": 51.0}, "night")
    "kedro cyto view 'A 1' --frame 12 --at 30,51 --env night"
    """
    words = ["kedro", "cyto", "view", str(row["fov"]), "--frame", str(row["frame"])]
    if not pd.isna(row["y_px"]):
        words += ["--at", f"{row['y_px']:.0f},{row['x_px']:.0f}"]
    return shlex.join([*words, *(["--env", env] if env else [])])


def clip_addresses(catalog: Any, rows: pd.DataFrame) -> list[str]:
    """File and place of the clip that shows each row's target; blank where none was made."""
    from cyto_kedro.algorithms.reporting.shots import clip_id

    clips = catalog.get("clips")
    pages = {fov: clips.one(fov) for fov in rows["fov"].unique()}
    made = {fov: page.names() if page.exists() else () for fov, page in pages.items()}
    addresses = []
    row: Any
    for row in rows.itertuples():
        known = not pd.isna(row.track_id)
        name = clip_id(row.fov, row.population, int(row.track_id)) if known else ""
        addresses.append(f"{clips.path_of(row.fov)}#{name}" if name in made[row.fov] else "")
    return addresses


def gathered(catalog: Any) -> dict[str, Any]:
    """What `worklist` takes, out of a catalog.

    Raises
    ------
    InputError
        If deaths were not called yet.
    """
    manifest = catalog.load("manifest") if catalog.exists("manifest") else None
    if manifest is None or not any(each in catalog.load("deaths") for each in manifest.fovs):
        raise InputError(
            "no deaths were called yet, so there is nothing to review: kedro run first"
        )
    track_points = catalog.load("track_points")

    def points(fov: str, population: str) -> pd.DataFrame:
        table: pd.DataFrame = track_points[f"{fov}/{population}"]()
        return table

    return {
        **{name: catalog.load(name).to_pandas() for name in ("deaths", "fates", "mask_quality")},
        "fields": catalog.load("fields"),
        "roles": manifest.roles,
        "misfits": _misfitting(catalog, manifest, points),
        "points": points,
    }


def _misfitting(catalog: Any, manifest: Any, points: Points) -> pd.DataFrame | None:
    """Corrections of events that do not hold, by the reach that each step's class has."""
    from cyto_kedro.parameters import ContactsSpec

    dataset = catalog.get("event_corrections")
    given = {each: dataset.load_one(each) for each in dataset.list_ids()}
    reaches = {
        event: ContactsSpec.model_validate(catalog.load(f"params:contacts.{slot}")).make()
        for event, slot in (("death", "deaths"), ("contact", "contacts"), ("kill", "kills"))
    }
    left = []
    for fov, planned in manifest.fovs.items():
        ids = [f"{fov}/{name}" for name in manifest.populations]
        said = [given[each] for each in ids if given.get(each) is not None and len(given[each])]
        if said:
            whole = pd.concat(said, ignore_index=True)
            reach = {
                event: rule.reach_of_corrections(planned.pixel_size_um)
                for event, rule in reaches.items()
                if isinstance(rule, Correctable)
            }
            seen = pd.concat([points(*each.split("/")) for each in ids], ignore_index=True)
            left.append(_left_out(catalog, manifest, fov, whole, seen, reach))
    return pd.concat(left, ignore_index=True) if left else None


def _left_out(
    catalog: Any,
    manifest: Any,
    fov: str,
    given: pd.DataFrame,
    points: pd.DataFrame,
    reach: Mapping[str, float],
) -> pd.DataFrame:
    """Those of a field's corrections that fit no cell, no two cells, or no death of theirs."""
    tracks = pd.concat(
        [catalog.load("tracks")[f"{fov}/{name}"]() for name in manifest.populations],
        ignore_index=True,
    )
    table = conform(EventCorrections, given)
    said = {event: said_of(event, table) for event in reach}
    fits = []
    if "death" in said:
        fits.append((said["death"], fit_corrections(said["death"], points, tracks, reach["death"])))
    if "contact" in said:
        fits.append((said["contact"], fit_contacts(said["contact"], points, reach["contact"])))
    if "kill" in said and len(said["kill"]):
        deaths, contacts = (catalog.load(name)[fov]() for name in ("deaths", "contacts"))
        attacks = attacks_before(contacts, deaths, manifest.roles)
        fits.append((said["kill"], fit_kills(said["kill"], points, deaths, attacks, reach["kill"])))
    return pd.concat([rows[~rows.index.isin(fit.index)] for rows, fit in fits], ignore_index=True)
