"""Pictures of a film with what was found in it: outlines, paths, deaths and kills.

Images are (Y, X) of one frame; colours and marks are chosen to be told apart without relying on
hue alone (deaths are crosses, kills dashed lines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting import captions
from cyto_kedro.algorithms.reporting.drawing import (
    annotate,
    composite,
    display_limits,
    montage,
    resize,
    segmentation_overlay,
    track_overlay,
)
from cyto_kedro.algorithms.reporting.plots import Drawn, Roles
from cyto_kedro.core.contract import Images, Labels
from cyto_kedro.core.groups import of_role
from cyto_kedro.core.style import FILM_COLOURS, rgb_png
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.images import Picture
from cyto_kedro.schemas import Deaths, Frames, Kills, TableOf, TrackPoints, Viability


class Montages(Drawn, total=False):
    """The pictures, each by its own name too."""

    segmentation: Picture
    tracks: Picture


class Overlays(Algorithm):
    """Montages of one field: segmentation, and tracks with deaths and kills.

    Arrays may be Dask: only the frames shown are read.

    Examples
    --------
    >>> film = np.random.default_rng(0).poisson(20, (2, 64, 64))
    >>> label = np.zeros((2, 64, 64), int)
    >>> label[:, 20:40, 20:40] = 1
    >>> drawn = Overlays(side_px=64)(
    ...     image={"TCell": film}, label={"TCell": label}, roles={"TCell": "effector"})
    >>> drawn["segmentation"].title
    'Segmentation'
    """

    n_frames: int = Field(default=4, ge=1, description="frames shown, evenly spaced, ends included")
    columns: int = Field(default=2, ge=1, description="panels side by side")
    side_px: int = Field(default=560, ge=64, description="a panel's shorter side, about, in px")
    kill_frames: int = Field(default=6, ge=0, description="frames a kill's line is shown for")

    def run(
        self,
        image: Images,
        roles: Roles,
        label: Labels | None = None,
        channel_roles: Mapping[str, str] | None = None,
        track_points: TableOf[TrackPoints] | None = None,
        deaths: TableOf[Deaths] | None = None,
        kills: TableOf[Kills] | None = None,
        viability: TableOf[Viability] | None = None,
        frames: TableOf[Frames] | None = None,
        pixel_size_um: float | None = None,
        frame_start: int = 0,
    ) -> Montages:
        """Draw ``segmentation``, and ``tracks`` where `track_points` are given; tables of this field.

        `channel_roles` says what a channel shows: a role, ``death`` or ``grey``. One named like a
        population has that one's role, any other is grey.

        Raises
        ------
        InputError
            If images and labels differ in shape.
        ConfigError
            If a channel or population has a role that does not exist.
        """
        label = label or {}
        of_role(roles, "target")
        n = check_shapes(image, label)
        tints = channel_colours(image, roles, channel_roles or {})
        chosen = np.unique(np.linspace(0, n - 1, min(self.n_frames, n)).round().astype(int))
        shown = {c: np.stack([np.asarray(image[c][t]) for t in chosen]) for c in image}
        limits = {c: display_limits(stack) for c, stack in shown.items()}
        panels: dict[str, list[np.ndarray]] = {"segmentation": [], "tracks": []}
        for i, t in enumerate(chosen):
            frame = int(t) + frame_start
            rgb = composite({c: shown[c][i] for c in shown}, tints, limits)
            masks = {p: np.asarray(label[p][t]) for p in label}
            big, scale = resize(rgb, self.side_px)
            outlined = segmentation_overlay(big, masks, roles, scale, dead_labels(viability, frame))
            stamp = time_stamp(frames, frame)
            panels["segmentation"].append(annotate(outlined, scale, pixel_size_um, stamp))
            if track_points is not None:
                panels["tracks"].append(
                    track_overlay(
                        big,
                        track_points,
                        frame,
                        roles,
                        scale=scale,
                        deaths=deaths,
                        kills=kills,
                        kill_frames=self.kill_frames,
                        pixel_size_um=pixel_size_um,
                        stamp=stamp,
                    )
                )
        words = {"segmentation": captions.SEGMENTATION, "tracks": captions.TRACKS}
        key = "  ".join(f"{name}: {roles[name]}" for name in roles)
        pictures = {
            name: Picture(
                rgb_png(montage(made, self.columns)),
                words[name][0],
                f"{words[name][1]} Populations: {key}. Effectors green, targets blue, death orange.",
                words[name][2],
            )
            for name, made in panels.items()
            if made
        }
        return {"figures": pictures, **pictures}  # type: ignore[typeddict-item]


def check_shapes(image: Mapping[str, Any], label: Mapping[str, Any]) -> int:
    """Number of frames of the field.

    Raises InputError: without a channel, or if one array is not (T, Y, X) like the first.
    """
    if not image:
        raise InputError("overlays: 'image' has no channel, so there is nothing to draw on")
    first, shape = next((name, tuple(stack.shape)) for name, stack in image.items())
    for kind, stacks in (("channel", image), ("labels of", label)):
        for name, stack in stacks.items():
            if tuple(stack.shape) != shape or len(shape) != 3:
                raise InputError(
                    f"overlays: {kind} {name!r} has shape {tuple(stack.shape)}, channel {first!r} "
                    f"{shape}; all must be equal and (T, Y, X) to lie over each other"
                )
    return int(shape[0])


def channel_colours(
    channels: Sequence[str] | Mapping[str, Any],
    roles: Mapping[str, str],
    channel_roles: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """RGB (0 to 1) of each channel, by its role. Raises ConfigError if a role has no colour."""
    from matplotlib.colors import to_rgb

    found = {}
    for channel in channels:
        role = channel_roles.get(channel, roles.get(channel, "grey"))
        if role not in FILM_COLOURS:
            raise ConfigError(f"channel {channel!r}: {unknown('role', role, FILM_COLOURS)}")
        found[channel] = np.array(to_rgb(FILM_COLOURS[role]))
    return found


def dead_labels(viability: pd.DataFrame | None, frame: int) -> dict[str, list[int]]:
    """{population: labels called dead in `frame`}."""
    if viability is None:
        return {}
    gone = viability[(viability["frame"] == frame) & viability["dead"]]
    return {str(name): list(labels) for name, labels in gone.groupby("population")["label"]}


def time_stamp(frames: pd.DataFrame | None, frame: int) -> str:
    """``frame 12 · 0:24 h`` where the time is known, else ``frame 12``."""
    text = f"frame {frame}"
    if frames is None:
        return text
    time = frames.loc[frames["frame"] == frame, "time_s"].dropna()
    if time.empty:
        return text
    minutes = round(float(time.iloc[0]) / 60)
    return f"{text} · {minutes // 60}:{minutes % 60:02d} h"
