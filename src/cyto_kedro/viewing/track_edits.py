"""Tracks corrected by hand: tables of track points in, tables out, nothing else.

Each function takes the `schemas.TrackPoints` of one population of a field. No point of a cell that was
seen is ever lost, but by `delete`; ids stay unique.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cyto_kedro.core.keys import is_repaired
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.schemas import TrackPoints, conform

_KEY = ["track_id", "frame"]


def _of(points: pd.DataFrame, track_id: int) -> pd.DataFrame:
    found = points[points["track_id"] == track_id]
    if not len(found):
        known = points["track_id"].drop_duplicates().astype(str)
        raise InputError(unknown("track", str(track_id), known))
    return found.sort_values("frame")


def _formed(*parts: pd.DataFrame) -> pd.DataFrame:
    held = [each for each in parts if len(each)]
    if any("repaired" in each for each in held):  # a person's rows are no repairs of a step
        held = [each.assign(repaired=is_repaired(each)) for each in held]
    rows: list[pd.DataFrame] = [conform(TrackPoints, each) for each in held]
    rows = rows or [parts[0]]
    whole = pd.concat(rows, ignore_index=True).sort_values(_KEY, ignore_index=True)
    return conform(TrackPoints, whole)


def new_id(points: pd.DataFrame) -> int:
    """A number that no track has."""
    return int(points["track_id"].max()) + 1 if len(points) else 1


def join(points: pd.DataFrame, first: int, second: int) -> pd.DataFrame:
    """Track `second` goes on as `first`; frames between them get interpolated points.

    Raises
    ------
    InputError
        If the two are one, one is unknown, or both were seen in the same frame.
    """
    if first == second:
        raise InputError(f"track {first} cannot be joined to itself: choose another one")
    a, b = _of(points, first), _of(points, second)
    if a["frame"].min() > b["frame"].min():
        a, b = b, a
    seen_a, seen_b = (each[each["label"].notna()] for each in (a, b))
    both = set(seen_a["frame"]) & set(seen_b["frame"])
    if both:
        raise InputError(
            f"tracks {first} and {second} are both seen in frame {min(both)}, so they are two cells: "
            "cut one of them first"
        )
    one = pd.concat([seen_a, seen_b, a[a["label"].isna()], b[b["label"].isna()]])
    one = one.drop_duplicates("frame").sort_values("frame").assign(track_id=first)
    others = points[~points["track_id"].isin([first, second])]
    return _formed(others, one, _between(one, points))


def _between(one: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Interpolated points of the frames that a track lacks, on straight lines."""
    frame = one["frame"].to_numpy()
    lacking = np.setdiff1d(np.arange(frame.min(), frame.max() + 1), frame)
    times = points.drop_duplicates("frame").set_index("frame")["time_min"]
    filled = pd.DataFrame({"frame": lacking, "label": pd.NA, "interpolated": True})
    for name in ("x_px", "y_px", "x_um", "y_um"):
        filled[name] = np.interp(lacking, frame, one[name].to_numpy(float))
    guessed = np.interp(lacking, frame, one["time_min"].to_numpy(float))
    filled["time_min"] = times.reindex(lacking).to_numpy(float)
    filled["time_min"] = filled["time_min"].where(filled["time_min"].notna(), guessed)
    keys = {key: one[key].iloc[0] for key in ("fov", "population", "track_id")}
    return filled.assign(**keys)


def cut(points: pd.DataFrame, track_id: int, frame: int) -> pd.DataFrame:
    """From `frame` on the track is another one, with a new number.

    Raises
    ------
    InputError
        If the track is unknown, or has no point before `frame` or none from it on.
    """
    mine = _of(points, track_id)
    after = (points["track_id"] == track_id) & (points["frame"] >= frame)
    if not after.any() or after.sum() == len(mine):
        raise InputError(
            f"track {track_id} goes from frame {mine['frame'].min()} to {mine['frame'].max()}, so it "
            f"cannot be cut before frame {frame}: give a frame after its first"
        )
    return _formed(points.assign(track_id=points["track_id"].mask(after, new_id(points))))


def swap(points: pd.DataFrame, one: int, other: int, frame: int) -> pd.DataFrame:
    """From `frame` on the two tracks exchange their cells.

    Raises
    ------
    InputError
        If one is unknown, they are one, or neither has a point from `frame` on.
    """
    if one == other:
        raise InputError(f"track {one} cannot be swapped with itself: choose another one")
    _of(points, one), _of(points, other)
    later = points["frame"] >= frame
    is_one, is_other = (later & (points["track_id"] == each) for each in (one, other))
    if not (is_one | is_other).any():
        raise InputError(f"tracks {one} and {other} have both ended before frame {frame}")
    ids = points["track_id"].mask(is_one, other).mask(is_other, one)
    return _formed(points.assign(track_id=ids))


def delete(points: pd.DataFrame, track_id: int) -> pd.DataFrame:
    """Without the track; its masks stay.

    Raises
    ------
    InputError
        If it is unknown.
    """
    _of(points, track_id)
    return _formed(points[points["track_id"] != track_id])


def fitted_to_masks(
    points: pd.DataFrame, changed: Mapping[int, np.ndarray], pixel_size_um: float | None
) -> pd.DataFrame:
    """Points of frames whose masks were changed, as the masks are now.

    A point whose label is gone keeps its place and is interpolated; one whose mask is there gets its
    centre. A mask of no track gets a track of its own, to be joined.

    Parameters
    ----------
    changed
        Frame -> labels (Y, X).
    """
    parts, fresh = [points[~points["frame"].isin(list(changed))]], new_id(points)
    times = points.drop_duplicates("frame").set_index("frame")["time_min"]
    for frame, labels in changed.items():
        mine = points[points["frame"] == frame].copy()
        there, y, x = _centres(labels)
        place = pd.Series(np.arange(len(there)), there)
        at = place.reindex(mine["label"].astype("Float64").fillna(0).astype(int)).to_numpy()
        known = ~np.isnan(at)
        where = at[known].astype(int)
        mine.loc[known, "y_px"], mine.loc[known, "x_px"] = y[where], x[where]
        mine.loc[~known, "label"] = pd.NA
        mine["interpolated"] = ~known
        free = np.setdiff1d(np.arange(len(there)), where)
        new = pd.DataFrame(
            {
                "label": there[free],
                "y_px": y[free],
                "x_px": x[free],
                "frame": frame,
                "track_id": np.arange(fresh, fresh + len(free)),
                "time_min": times.get(frame, np.nan),
                "interpolated": False,
                **{key: points[key].iloc[0] for key in ("fov", "population")},
            }
        )
        fresh += len(free)
        both = pd.concat([mine, new]) if len(new) else mine
        for axis in "xy":
            both[f"{axis}_um"] = both[f"{axis}_px"] * (pixel_size_um or np.nan)
        parts.append(both)
    return _formed(*[each for each in parts if len(each)])


def _centres(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of a frame, and y and x of their centres."""
    y, x = np.nonzero(labels)
    there, inverse = np.unique(labels[y, x], return_inverse=True)
    n = np.bincount(inverse)
    return there.astype(int), np.bincount(inverse, y) / n, np.bincount(inverse, x) / n
