"""Which events of a field to film, and where the camera is: tables in, places out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import between, of_role

BODY = 0.5  # weight of a death known by its body alone
LEAST = 0.1  # a death of less doubt is not shown


@dataclass(frozen=True)
class Shot:
    """An event to film: who, with whom, from which first contact, until which frame."""

    event: str
    population: str
    track_id: int
    first_frame: int
    frame: int
    weight: float
    by_population: str = ""
    by_track_id: int = 0
    p_background: float = np.nan

    @property
    def doubt(self) -> float:
        """Of the chance of background: `doubt_of`."""
        return doubt_of(self.p_background)

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Population and track of the target, and of its partner where it has one."""
        both = [(self.population, self.track_id), (self.by_population, self.by_track_id)]
        return both if self.by_population else both[:1]


@dataclass(frozen=True)
class Camera:
    """Frames that are shown, and where the picture is: a square of one size in all of them.

    Attributes
    ----------
    frames
        Numbers of the film's frames, in order.
    corners
        (len(frames), 2): y and x of the square's first pixel; it may lie outside of the film.
    side
        Pixels.
    """

    frames: tuple[int, ...]
    corners: np.ndarray
    side: int


def clip_id(fov: str, population: str, track_id: int) -> str:
    """A word for a target's clip that may stand in an address: letters, digits, ``-_.~``.

    Examples
    --------
    >>> clip_id("A 1", "CancerCell", 12)
    'clip-A.201-CancerCell-12'
    """
    return re.sub(
        "%", ".", "-".join(["clip", *(quote(str(x), "") for x in (fov, population)), ""])
    ) + str(track_id)


def doubt_of(p_background: float) -> float:
    """1 where a death's chance of background is one half, 0 where it is certain or unknown."""
    return 0.0 if np.isnan(p_background) else 2 * min(p_background, 1 - p_background)


def shots(
    deaths: pd.DataFrame,
    kills: pd.DataFrame,
    bouts: pd.DataFrame,
    roles: Mapping[str, str],
    most: int,
    contacts: int,
) -> list[Shot]:
    """The events to film, the weightiest first; at most `most`, of which `contacts` are contacts.

    A kill weighs what is attributed to its pair; of equal ones (to a tenth) the more doubtful is
    first. A death that nobody is held responsible for weighs its doubt, or `BODY` where a body is all
    that is known of it.
    The longest contacts come last: those of pairs of which no kill is shown.
    """
    targets = of_role(roles, "target")
    found = [_kill(row) for row in kills.itertuples()]
    killed = {(shot.population, shot.track_id) for shot in found}
    row: Any
    for row in deaths[deaths["population"].isin(targets)].itertuples():
        if (row.population, row.track_id) in killed:
            continue
        p = float(getattr(row, "p_background", np.nan))
        weight = max(doubt_of(p), BODY * (getattr(row, "evidence", "") == "body"))
        if weight >= LEAST:
            frame, who = int(row.frame), (str(row.population), int(row.track_id))
            found.append(Shot("death", *who, frame, frame, weight, p_background=p))
    found.sort(key=lambda shot: (-round(shot.weight, 1), -shot.doubt, shot.frame, shot.track_id))
    met = between(bouts, roles).sort_values(
        ["n_frames", "start_frame"], ascending=[False, True], kind="stable"
    )
    pairs = {tuple(shot.cells) for shot in found}
    longest = [
        shot
        for row in met.itertuples()
        if tuple((shot := _contact(row, targets)).cells) not in pairs
    ]
    longest = list({tuple(shot.cells): shot for shot in reversed(longest)}.values())[::-1][
        :contacts
    ]
    return [*found[: max(most - len(longest), 0)], *longest][:most]


def _kill(row: Any) -> Shot:
    return Shot(
        "kill",
        str(row.target_population),
        int(row.target_track_id),
        int(row.first_contact_frame),
        int(row.death_frame),
        float(row.share),
        str(row.effector_population),
        int(row.effector_track_id),
        float(getattr(row, "p_background", np.nan)),
    )


def _contact(row: Any, targets: Iterable[str]) -> Shot:
    sides = [
        (str(row.population_a), int(row.track_id_a)),
        (str(row.population_b), int(row.track_id_b)),
    ]
    if sides[0][0] not in targets:
        sides.reverse()
    target, partner = sides
    return Shot("contact", *target, int(row.start_frame), int(row.end_frame), 0.0, *partner)


def camera(
    shot: Shot,
    points: pd.DataFrame,
    extents: pd.DataFrame,
    around: tuple[int, int],
    n_frames: int,
    excluded: Iterable[int] = (),
    most_frames: int = 40,
) -> Camera | None:
    """Where the camera is. None where a cell was never seen, or no frame is left.

    The square is as large as it must be to hold the masks of both cells from first contact to the
    event, and four cells wide at least. It is centred between the cells, without their jitter. Frames
    before and after are shown while both cells are in it. Where a cell was not seen, its place is
    interpolated; before its first and after its last frame it stays where it was.

    Parameters
    ----------
    points
        `schemas.TrackPoints` of the field.
    extents
        Of `extents_of`.
    around
        Frames shown before first contact and after the event, at most.
    excluded
        Frames that are not shown.
    most_frames
        Of longer ones, frames are left out evenly, but not that of first contact, nor the event's.
    """
    frames = np.arange(max(shot.first_frame - around[0], 0), shot.frame + around[1] + 1)
    frames = frames[frames < n_frames]
    places, reach = [], []
    for population, track_id in shot.cells:
        mine = points[(points["population"] == population) & (points["track_id"] == track_id)]
        if mine.empty:
            return None
        mine = mine.sort_values("frame")
        frames = frames[(frames >= mine["frame"].iloc[0]) | (frames >= shot.first_frame)]
        places.append(mine)
        within = mine[mine["frame"].isin(frames)].merge(
            extents, on=["population", "frame", "label"]
        )
        reach.append(float(within["extent_px"].max()) if len(within) else 8.0)
    if not len(frames):
        return None
    at = np.stack(
        [
            np.column_stack([np.interp(frames, p["frame"], p[each]) for each in ("y_px", "x_px")])
            for p in places
        ]
    )
    centre = _steadied(at.mean(axis=0))
    need = (np.abs(at - centre).max(axis=2) + np.array(reach)[:, None]).max(axis=0)
    inner = (frames >= shot.first_frame) & (frames <= shot.frame)
    half = int(np.ceil(max(need[inner].max(initial=0.0), 4 * np.mean(reach)))) + 1
    fits = (need <= half - 1) | inner
    place = int(np.argmax(inner)) if inner.any() else 0
    start = place - _run(fits[:place][::-1])
    stop = place + _run(fits[place:])
    shown = np.arange(start, stop)[~np.isin(frames[start:stop], list(excluded))]
    if not len(shown):
        return None
    if len(shown) > most_frames:
        even = np.linspace(0, len(shown) - 1, most_frames).round().astype(int)
        must = np.flatnonzero(np.isin(frames[shown], (shot.first_frame, shot.frame)))
        shown = shown[np.union1d(even, must)]
    corners = np.floor(centre[shown] + 0.5).astype(int) - half
    return Camera(tuple(int(t) for t in frames[shown]), corners, 2 * half + 1)


def extents_of(cells: pd.DataFrame) -> pd.DataFrame:
    """population, frame, label, and how far the mask reaches from its centre along an axis."""
    reach = np.maximum.reduce(
        [
            cells["y_px"] - cells["bbox_y0_px"],
            cells["bbox_y1_px"] - 1 - cells["y_px"],
            cells["x_px"] - cells["bbox_x0_px"],
            cells["bbox_x1_px"] - 1 - cells["x_px"],
        ]
    )
    return cells[["population", "frame", "label"]].assign(extent_px=reach)


def _steadied(centre: np.ndarray) -> np.ndarray:
    """The mean of five frames around each; (T, 2)."""
    padded = np.pad(centre, ((2, 2), (0, 0)), mode="edge")
    return np.mean([padded[i : i + len(centre)] for i in range(5)], axis=0)


def _run(true: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(true) if true.all() else int(np.argmin(true))
