"""Clips of single events: a kill, a doubtful death, a long contact, with the pair in the middle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.drawing import (
    annotate,
    composite,
    film_limits,
    segmentation_overlay,
)
from cyto_kedro.algorithms.reporting.moving import webp
from cyto_kedro.algorithms.reporting.overlays import channel_colours, check_shapes, time_stamp
from cyto_kedro.algorithms.reporting.plots import Roles
from cyto_kedro.algorithms.reporting.shots import (
    Camera,
    Shot,
    camera,
    clip_id,
    extents_of,
    shots,
)
from cyto_kedro.core.contract import Images, Labels
from cyto_kedro.core.style import FILM_COLOURS, drawn_on, pixel_figure, styled
from cyto_kedro.core.units import Duration
from cyto_kedro.images import Clip
from cyto_kedro.schemas import Bouts, Cells, Deaths, Frames, Kills, TableOf, TrackPoints, Viability

CURVE_PX = 56  # height of the curve below the picture
LEFT, RIGHT = 8, 8  # px beside it
QUALITIES = (60, 40, 25, 12)  # tried in this order until a clip is small enough
GROUND = "#14181b"


class Clips(TypedDict):
    """The clips of a field, the weightiest first."""

    clips: Sequence[Clip]


class EventClips(Algorithm):
    """Film a field's kills, doubtful deaths and longest contacts, each cropped around its pair.

    The pair is outlined in the colours of its roles, a dead target in that of death; other cells are
    dimmed. Below, the death marker's signal of the target over the frames shown (times go from the left
    to the right edge), the contacts of the pair (bars), the death (dotted) and the frame shown (white).
    The film is read once, frame by frame, and only in frames that a clip shows.

    Examples
    --------
    >>> from cyto_kedro.schemas import Bouts, Cells, Deaths, Kills, TrackPoints, empty
    >>> tables = {"track_points": empty(TrackPoints), "cells": empty(Cells), "bouts": empty(Bouts)}
    >>> film, label = {"T": np.zeros((2, 8, 8))}, {"T": np.zeros((2, 8, 8), int)}
    >>> EventClips()(fov="A1", image=film, label=label, roles={"T": "target"},
    ...     deaths=empty(Deaths), kills=empty(Kills), **tables)["clips"]
    []
    """

    most: int = Field(default=12, ge=0, description="clips a field")
    contacts: int = Field(default=2, ge=0, description="of these, longest contacts without a kill")
    before: Duration = Field(
        default=Duration(min=10, frames=5), description="shown before first contact, at most"
    )
    after: Duration = Field(
        default=Duration(min=10, frames=5), description="shown after the event, at most"
    )
    most_frames: int = Field(
        default=40, ge=2, description="frames a clip; of longer ones some are left out"
    )
    side_px: int = Field(default=240, ge=96, le=1000, description="width of a clip")
    frame_ms: int = Field(default=150, ge=20, description="how long a frame is shown")
    most_kb: float = Field(default=100.0, gt=0, description="size of a clip, about, at most")

    def run(
        self,
        fov: str,
        image: Images,
        label: Labels,
        roles: Roles,
        track_points: TableOf[TrackPoints],
        cells: TableOf[Cells],
        deaths: TableOf[Deaths],
        kills: TableOf[Kills],
        bouts: TableOf[Bouts],
        viability: TableOf[Viability] | None = None,
        frames: TableOf[Frames] | None = None,
        channel_roles: Mapping[str, str] | None = None,
        pixel_size_um: float | None = None,
        excluded: Sequence[int] = (),
    ) -> Clips:
        """Film them; all tables are of this field, arrays of its whole film.

        Raises
        ------
        InputError
            If images and labels differ in shape.
        ConfigError
            If a channel or population has a role that does not exist.
        """
        n_frames = check_shapes(image, label)
        tints = channel_colours(image, roles, channel_roles or {})
        extents, around = extents_of(cells), self._around(frames)
        planned = [
            (shot, where)
            for shot in shots(deaths, kills, bouts, roles, self.most, self.contacts)
            if (
                where := camera(
                    shot, track_points, extents, around, n_frames, excluded, self.most_frames
                )
            )
        ]
        if not planned:
            return {"clips": []}
        shown_in: dict[int, list[int]] = defaultdict(list)
        for number, (_, where) in enumerate(planned):
            for t in where.frames:
                shown_in[t].append(number)
        every = sorted(shown_in)
        five = np.linspace(0, len(every) - 1, 5).round().astype(int)
        limits = film_limits(image, [every[i] for i in five])
        labels_of = track_points.dropna(subset=["label"]).set_index(
            ["population", "track_id", "frame"]
        )["label"]
        dead = _dead(deaths, track_points)
        strips = [
            curve_strip(shot, where, self.side_px, signal_of(shot, viability, track_points), bouts)
            for shot, where in planned
        ]
        pictures: list[list[np.ndarray]] = [[] for _ in planned]
        for t in sorted(shown_in):
            planes = {name: np.asarray(stack[t]) for name, stack in image.items()}
            masks = {name: np.asarray(stack[t]) for name, stack in label.items()}
            stamp = time_stamp(frames, t)
            for number in shown_in[t]:
                shot, where = planned[number]
                corner = where.corners[where.frames.index(t)]
                pair = {
                    population: int(labels_of.get((population, track_id, t), 0))
                    for population, track_id in shot.cells
                }
                cut = {name: crop(plane, corner, where.side) for name, plane in planes.items()}
                cut_masks = {name: crop(mask, corner, where.side) for name, mask in masks.items()}
                rgb = composite(cut, tints, limits)
                drawn = self._frame(rgb, cut_masks, pair, roles, dead.get(t, {}))
                scale = self.side_px / where.side
                pictures[number].append(
                    np.vstack(
                        [
                            annotate(drawn, scale, pixel_size_um, stamp),
                            with_cursor(*strips[number], where.frames.index(t)),
                        ]
                    )
                )
        return {"clips": self._finished(fov, planned, pictures, frames)}

    def _around(self, frames: pd.DataFrame | None) -> tuple[int, int]:
        """Frames before and after, off the median interval."""
        times = (
            frames["time_s"].dropna().sort_values()
            if frames is not None
            else pd.Series(dtype=float)
        )
        minutes = float(times.diff().median()) / 60 if len(times) > 1 else 0.0
        lengths = []
        for name in ("before", "after"):
            value, in_minutes = getattr(self, name).timed(name, minutes > 0)
            lengths.append(round(value / minutes if in_minutes else value))
        return lengths[0], lengths[1]

    def _frame(
        self,
        rgb: np.ndarray,
        masks: Mapping[str, np.ndarray],
        pair: Mapping[str, int],
        roles: Mapping[str, str],
        dead: Mapping[str, Sequence[int]],
    ) -> np.ndarray:
        """A crop enlarged, the pair outlined, other cells dimmed."""
        from PIL import Image

        mine = {
            name: np.where(masks[name] == each, masks[name], 0)
            for name, each in pair.items()
            if each
        }
        other = np.any([mask > 0 for mask in masks.values()], axis=0)
        for mask in mine.values():
            other &= mask == 0
        rgb[other] = (rgb[other] * 0.45).astype(np.uint8)
        side = (self.side_px, self.side_px)
        big = np.asarray(Image.fromarray(rgb).resize(side, Image.Resampling.BILINEAR))
        return segmentation_overlay(big, mine, roles, self.side_px / len(rgb), dead)

    def _finished(
        self,
        fov: str,
        planned: Sequence[tuple[Shot, Camera]],
        pictures: Sequence[list[np.ndarray]],
        frames: pd.DataFrame | None,
    ) -> list[Clip]:
        made, named = [], dict[str, int]()
        for (shot, where), shown in zip(planned, pictures, strict=True):
            name = clip_id(fov, shot.population, shot.track_id)
            named[name] = named.get(name, 0) + 1
            title, caption = _words(shot, where, frames)
            made.append(
                Clip(
                    self._small(shown),
                    name if named[name] == 1 else f"{name}.{named[name]}",
                    title,
                    f"{fov}, {caption}",
                    fov=fov,
                    event=shot.event,
                    frame=shot.first_frame if shot.event == "contact" else shot.frame,
                    population=shot.population,
                    track_id=shot.track_id,
                    by_population=shot.by_population,
                    by_track_id=shot.by_track_id,
                    weight=shot.weight,
                )
            )
        return made

    def _small(self, shown: list[np.ndarray]) -> bytes:
        """The clip at the best quality that is small enough, else with every other frame, and so on."""
        ms = self.frame_ms
        while True:
            for quality in QUALITIES:
                times = [*[ms] * (len(shown) - 1), ms + 900]  # the end is looked at
                made = webp(shown, len(shown), times, quality)
                if len(made) <= 1000 * self.most_kb:
                    return made
            if len(shown) <= 8:
                return made
            shown, ms = shown[::2], 2 * ms


def crop(plane: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """A square of `plane` (Y, X) from `corner` on; 0 where it lies outside."""
    out = np.zeros((side, side), plane.dtype)
    y, x = (int(each) for each in corner)
    rows = slice(max(y, 0), max(min(y + side, plane.shape[0]), 0))
    columns = slice(max(x, 0), max(min(x + side, plane.shape[1]), 0))
    part = plane[rows, columns]
    if part.size:
        out[rows.start - y : rows.start - y + len(part)][
            :, columns.start - x : columns.start - x + part.shape[1]
        ] = part
    return out


def signal_of(shot: Shot, viability: pd.DataFrame | None, points: pd.DataFrame) -> pd.Series:
    """The death marker's signal of the target, by frame; empty where it was not measured."""
    if viability is None:
        return pd.Series(dtype=float)
    mine = points[(points["population"] == shot.population) & (points["track_id"] == shot.track_id)]
    found = mine[["population", "frame", "label"]].merge(
        viability, on=["population", "frame", "label"]
    )
    return found.set_index("frame")["marker_signal"].sort_index()


def curve_strip(
    shot: Shot, where: Camera, width: int, signal: pd.Series, bouts: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """What stands below a clip, (CURVE_PX, width, 3), and the column of the cursor in each frame."""
    first, last = where.frames[0], max(where.frames[-1], where.frames[0] + 1)
    share = (np.array(where.frames) - first) / (last - first)
    columns = np.round(LEFT + share * (width - LEFT - RIGHT - 1)).astype(int)
    with styled():
        fig = pixel_figure(width, CURVE_PX)
        fig.patch.set_facecolor(GROUND)
        # half a pixel: the axes' ends are the middles of the first and last column
        edges = (
            (LEFT + 0.5) / width,
            8 / CURVE_PX,
            (width - LEFT - RIGHT - 1) / width,
            32 / CURVE_PX,
        )
        ax = fig.add_axes(edges)
        ax.axis("off")
        ax.set_xlim(first, last)
        mine = signal[(signal.index >= first) & (signal.index <= last)].dropna()
        if len(mine):
            every = mine.reindex(range(int(mine.index[0]), int(mine.index[-1]) + 1))
            ax.plot(every.index, every, color=FILM_COLOURS["death"], lw=1.6, clip_on=False)
            ax.plot(mine.index, mine, ".", color=FILM_COLOURS["death"], ms=3, clip_on=False)
            low, high = float(mine.min()), float(mine.max())
            ax.set_ylim(low, high if high > low else low + 1)
        if shot.event != "contact":
            ax.axvline(shot.frame, color="white", lw=1, ls=(0, (1, 1.5)), clip_on=False)
        for start, stop in _spans(shot, bouts):
            left, right = max(start - 0.4, first), min(stop + 0.4, last)
            if right > left:
                ax.axvspan(left, right, -0.22, -0.08, color=FILM_COLOURS["effector"], clip_on=False)
        text = "death marker of the target" if len(mine) else "no death marker measured"
        fig.text(LEFT / width, 1 - 2 / CURVE_PX, text, va="top", fontsize=7, color="#cfd6db")
        return drawn_on(fig), columns


def with_cursor(strip: np.ndarray, columns: np.ndarray, place: int) -> np.ndarray:
    """`strip` with a white line in the column of the frame shown."""
    out = strip.copy()
    out[14:, columns[place]] = 255
    return out


def _spans(shot: Shot, bouts: pd.DataFrame) -> list[tuple[int, int]]:
    """First and last frame of each contact of the pair."""
    if not shot.by_population:
        return []
    sides = (zip(bouts[f"population_{s}"], bouts[f"track_id_{s}"], strict=True) for s in "ab")
    pair = set(shot.cells)
    mine = [{a, b} == pair for a, b in zip(*sides, strict=True)]
    return list(bouts.loc[mine, ["start_frame", "end_frame"]].itertuples(index=False, name=None))


def _dead(deaths: pd.DataFrame, points: pd.DataFrame) -> dict[int, dict[str, list[int]]]:
    """{frame: {population: labels}} of tracks from their death on."""
    gone = points.merge(
        deaths[["population", "track_id", "frame"]].rename(columns={"frame": "death_frame"}),
        on=["population", "track_id"],
    )
    gone = gone[(gone["frame"] >= gone["death_frame"]) & gone["label"].notna()]
    found: dict[int, dict[str, list[int]]] = {}
    rows = gone[["frame", "population", "label"]].itertuples(index=False, name=None)
    for frame, population, number in rows:
        found.setdefault(int(frame), {}).setdefault(str(population), []).append(int(number))
    return found


def _words(shot: Shot, where: Camera, frames: pd.DataFrame | None) -> tuple[str, str]:
    target, partner = (
        f"{population} {track_id}" for population, track_id in [*shot.cells, ("", 0)][:2]
    )
    told = [f"frames {where.frames[0]} to {where.frames[-1]}"]
    if shot.event == "contact":
        title = f"{target} in contact with {partner}"
        told.append(f"contact from frame {shot.first_frame} to {shot.frame}")
        return title, "; ".join(told)
    told.append(f"death in {time_stamp(frames, shot.frame)}")
    if shot.event == "kill":
        title = f"{target} killed by {partner}"
        told.insert(1, f"contact from frame {shot.first_frame}")
        told.append(f"share {shot.weight:.2f}")
    else:
        title = f"{target} dies; nobody is held responsible"
    if not np.isnan(shot.p_background):
        told.append(f"chance of background {shot.p_background:.2f}")
    return title, "; ".join(told)
