"""The truth of a simulated film as tables, in the schemas that the analysis fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cyto_kedro import schemas
from cyto_kedro.algorithms.simulation import killing
from cyto_kedro.algorithms.simulation.outlines import reach
from cyto_kedro.algorithms.simulation.world import World
from cyto_kedro.schemas import TableOf


@dataclass(frozen=True)
class View:
    """How a world is seen: which cell is which track in each frame, and where.

    `track_id` (T, n), 0 where a cell is not in view; `centre_px` (T, n, 2) as (y, x).
    """

    fov: str
    populations: tuple[str, str]
    track_id: NDArray[np.int64]
    centre_px: NDArray[np.float64]
    size_px: int
    pixel_size_um: float


class Truth(TypedDict):
    """What happened in view; touches are between true tracks, so they are contacts."""

    track_points: TableOf[schemas.TrackPoints]
    tracks: TableOf[schemas.Tracks]
    touches: TableOf[schemas.Contacts]
    deaths: TableOf[schemas.Deaths]
    kills: TableOf[schemas.Kills]


def tables(world: World, view: View, rise_min: float) -> Truth:
    """All truth tables."""
    points = _points(world, view)
    touches = _touches(world, view)
    deaths = _deaths(world, view, rise_min)
    kills = _kills(world, view, deaths, touches)
    keys = ["population", "track_id"]
    count = kills.groupby(["target_population", "target_track_id"]).size()
    count.index.names = keys
    killers = deaths[keys].merge(count.rename("n").reset_index(), on=keys, how="left")["n"]
    deaths["n_killers"] = killers.fillna(0).astype(int).to_numpy()
    return {
        "track_points": points,
        "tracks": _tracks(world, view, points),
        "touches": touches,
        "deaths": deaths,
        "kills": kills,
    }


def _population(world: World, view: View, cell: NDArray[np.int64]) -> NDArray[Any]:
    return np.array(view.populations, dtype=object)[world.is_target[cell].astype(int)]


def _points(world: World, view: View) -> TableOf[schemas.TrackPoints]:
    frame, cell = np.nonzero(view.track_id)
    y, x = view.centre_px[frame, cell].T
    track = view.track_id[frame, cell]
    table = pd.DataFrame(
        {
            "fov": view.fov,
            "population": _population(world, view, cell),
            "frame": frame,
            "time_min": world.time_min[frame],
            "x_px": x,
            "y_px": y,
            "x_um": x * view.pixel_size_um,
            "y_um": y * view.pixel_size_um,
            "track_id": track,
            "label": track,
            "interpolated": False,
            "cell": cell + 1,
            "dead": world.fate.onset[cell] <= world.time_min[frame],
            "marker": world.marker[frame, cell],
            "area_px": np.pi * (world.radius_um[frame, cell] / view.pixel_size_um) ** 2,
        }
    )
    table = table.sort_values(["population", "track_id", "frame"])
    return schemas.conform(schemas.TrackPoints, table)


def _tracks(world: World, view: View, points: pd.DataFrame) -> TableOf[schemas.Tracks]:
    keys = ["fov", "population", "track_id"]
    table = points.groupby(keys, as_index=False).agg(
        first_frame=("frame", "min"),
        last_frame=("frame", "max"),
        n_points=("frame", "size"),
        cell=("cell", "first"),
        dead_at_first_sight=("dead", "first"),
    )
    table["parent_track_id"] = pd.array([pd.NA] * len(table), dtype="Int64")
    last, cell = table["last_frame"].to_numpy(), table["cell"].to_numpy() - 1
    after = np.minimum(last + 1, len(world.time_min) - 1)
    centre = view.centre_px[after, cell]
    room = np.minimum(centre + 0.5, view.size_px - 0.5 - centre).min(axis=1, initial=np.inf)
    # No longer seen, it is cut by the border or beyond it; else others of its kind hide it.
    beyond = room < reach(world.radius_um[after, cell], world.coefs[after, cell]) / (
        view.pixel_size_um
    )
    gone = np.where(beyond, "border", "lost")
    table["end_reason"] = np.where(last == len(world.time_min) - 1, "film_end", gone)
    return schemas.conform(schemas.Tracks, table)


def _touches(world: World, view: View) -> TableOf[schemas.Contacts]:
    pairs = world.contacts
    frame, i, j = (pairs[name].to_numpy(dtype=np.int64) for name in ("frame", "i", "j"))
    same = world.is_target[i] == world.is_target[j]
    track_i, track_j = view.track_id[frame, i], view.track_id[frame, j]
    swap = same & (track_i > track_j)  # side a: effectors first, then the smaller track
    a, b = np.where(swap, j, i), np.where(swap, i, j)
    pixel = view.pixel_size_um
    table = pd.DataFrame(
        {
            "fov": view.fov,
            "frame": frame,
            "time_min": world.time_min[frame],
            "population_a": _population(world, view, a),
            "track_id_a": view.track_id[frame, a],
            "population_b": _population(world, view, b),
            "track_id_b": view.track_id[frame, b],
            "distance_px": pairs["gap_um"].to_numpy() / pixel,
            "distance_um": pairs["gap_um"].to_numpy(),
            "contact_length_px": pairs["length_um"].to_numpy() / pixel,
            "contact_length_um": pairs["length_um"].to_numpy(),
            "overlap_px": pairs["overlap_um2"].to_numpy() / pixel**2,
        }
    )
    table = table[(table["track_id_a"] > 0) & (table["track_id_b"] > 0)]
    return schemas.conform(schemas.Contacts, table.sort_values(schemas.Contacts.key()))


def _deaths(world: World, view: View, rise_min: float) -> TableOf[schemas.Deaths]:
    onset = world.fate.onset
    frame = np.searchsorted(world.time_min, onset)  # first frame at or after the break
    cell = np.flatnonzero((frame > 0) & (frame < len(world.time_min)))
    frame = frame[cell]
    track = view.track_id[frame, cell]
    seen = (track > 0) & (view.track_id[frame - 1, cell] == track)
    cell, frame, track = cell[seen], frame[seen], track[seen]
    half = np.searchsorted(world.time_min, onset[cell] + rise_min * np.log(2))
    attack = world.fate.cause[cell] == killing.ATTACK
    table = pd.DataFrame(
        {
            "fov": view.fov,
            "population": _population(world, view, cell),
            "track_id": track,
            "frame": frame,
            "time_min": world.time_min[frame],
            "n_killers": 0,
            "cause": np.array(killing.CAUSES, dtype=object)[world.fate.cause[cell]],
            "marker_onset": frame,
            "marker_onset_min": onset[cell],
            "marker_half_frame": _nullable(half, half < len(world.time_min)),
            "hit_frame": _nullable(world.fate.fatal_frame[cell], attack),
            "cell": cell + 1,
        }
    )
    return schemas.conform(schemas.Deaths, table.sort_values(["population", "track_id"]))


def _nullable(values: NDArray[np.int64], valid: NDArray[np.bool_]) -> pd.Series:
    return pd.Series(values, dtype="Int64").where(pd.Series(valid, dtype=bool))


def _hits(world: World, view: View) -> pd.DataFrame:
    """All hits: the two tracks (0 where not in view), the target cell, the weight."""
    blank = np.zeros(0, dtype=np.int64)
    hits = [
        (np.full(len(who), frame), who, whom, weight)
        for frame, who, whom, weight in world.fate.hits
    ]
    parts = zip(*[(blank, blank, blank, blank.astype(float)), *hits], strict=True)
    frame, who, whom, weight = (np.concatenate(part) for part in parts)
    return pd.DataFrame(
        {
            "effector_track_id": view.track_id[frame, who],
            "track_id": view.track_id[frame, whom],
            "cell": whom + 1,
            "weight": weight,
        }
    )


def _kills(
    world: World, view: View, deaths: pd.DataFrame, touches: pd.DataFrame
) -> TableOf[schemas.Kills]:
    """One row per death by attack and effector, of the hits with both in view.

    `share` is of the damage done in view (it sums to 1 per death); `damage_share` of all damage.
    """
    dead = deaths[deaths["cause"] == "attack"][["cell", "track_id", "frame", "time_min"]]
    hits = _hits(world, view)
    hits["all"] = hits.groupby("cell")["weight"].transform("sum")
    table = hits[hits["effector_track_id"] > 0].merge(dead, on=["cell", "track_id"])
    by = ["track_id", "effector_track_id", "frame", "time_min", "all"]
    table = table.groupby(by, as_index=False).agg(weight=("weight", "sum"))
    seen = table.groupby("track_id")["weight"].transform("sum")
    table["share"] = (table["weight"] / seen).clip(upper=1.0)
    table["damage_share"] = table["weight"] / table["all"]
    contact = touches[touches["population_a"] != touches["population_b"]]
    contact = contact[["frame", "track_id_a", "track_id_b"]].rename(
        columns={"frame": "at", "track_id_a": "effector_track_id", "track_id_b": "track_id"}
    )
    table = table.merge(contact, on=["effector_track_id", "track_id"])
    table = table[table["at"] <= table["frame"]]
    by = ["track_id", "effector_track_id", "frame", "time_min", "share", "damage_share"]
    table = table.groupby(by, as_index=False).agg(
        contact_frames=("at", "size"),
        first_contact_frame=("at", "min"),
        last_contact_frame=("at", "max"),
    )
    table = table.rename(
        columns={"track_id": "target_track_id", "frame": "death_frame", "time_min": "death_min"}
    )
    table["fov"] = view.fov
    table["effector_population"], table["target_population"] = view.populations
    return schemas.conform(schemas.Kills, table)
