"""Pictures of a film with what was found in it: outlines, paths, deaths and kills.

Images are (Y, X) of one frame; colours and marks are chosen to be told apart without relying on
hue alone (deaths are crosses, kills dashed lines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.reporting import captions
from cyto_kedro.algorithms.reporting.drawing import (
    Image,
    annotate,
    composite,
    display_limits,
    montage,
    resize,
    segmentation_overlay,
    track_overlay,
)
from cyto_kedro.algorithms.reporting.style import FILM_COLOURS, rgb_png
from cyto_kedro.core.groups import of_role
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.images import Picture


class Overlays(Algorithm):
    """Montages of one field: segmentation, and tracks with deaths and kills.

    Reads ``image`` {channel: (T, Y, X)}, ``roles`` {population: role}, and, each if there is one,
    ``label`` {population: (T, Y, X)}, ``channel_roles`` {channel: role, ``death`` or ``grey``} (a
    channel named like a population has that one's role, any other is grey), ``frames``,
    ``track_points``, ``deaths``, ``kills``, ``viability`` (of this field), ``pixel_size_um``
    and ``frame_start``. Arrays may be Dask: only the frames shown are read.

    Returns ``figures``: {``segmentation``, ``tracks``: `style.Picture`}, the second only where
    ``track_points`` is given.

    Raises
    ------
    InputError
        If images and labels differ in shape.
    ConfigError
        If a channel or population has a role that does not exist.
    """

    n_frames: int = Field(default=4, ge=1, description="frames shown, evenly spaced, ends included")
    columns: int = Field(default=2, ge=1, description="panels side by side")
    side_px: int = Field(default=560, ge=64, description="a panel's shorter side, about, in px")
    trail_frames: int = Field(default=12, ge=0, description="length of the paths, in frames")
    kill_frames: int = Field(default=6, ge=0, description="frames a kill's line is shown for")
    low_percentile: float = Field(
        default=25, ge=0, lt=100, description="this share of each channel's pixels, in %, is black"
    )
    high_percentile: float = Field(
        default=99.8, gt=0, le=100, description="pixels above this percentile are shown full"
    )

    def __call__(self, data: Data) -> Data:
        image, label = data["image"], data.get("label") or {}
        roles, start = data["roles"], int(data.get("frame_start", 0))
        of_role(roles, "target")
        n = check_shapes(image, label)
        tints = channel_colours(image, roles, data.get("channel_roles") or {})
        chosen = np.unique(np.linspace(0, n - 1, min(self.n_frames, n)).round().astype(int))
        shown = {c: np.stack([np.asarray(image[c][t]) for t in chosen]) for c in image}
        cut = self.low_percentile, self.high_percentile
        limits = {c: display_limits(stack, *cut) for c, stack in shown.items()}
        points = data.get("track_points")
        panels: dict[str, list[np.ndarray]] = {"segmentation": [], "tracks": []}
        for i, t in enumerate(chosen):
            frame = int(t) + start
            rgb = composite({c: shown[c][i] for c in shown}, tints, limits)
            masks = {p: np.asarray(label[p][t]) for p in label}
            big, scale = resize(rgb, self.side_px)
            outlined = segmentation_overlay(
                big, masks, roles, scale, dead_labels(data.get("viability"), frame)
            )
            stamp = time_stamp(data.get("frames"), frame)
            um = data.get("pixel_size_um")
            panels["segmentation"].append(annotate(outlined, scale, um, stamp))
            if points is not None:
                panels["tracks"].append(
                    track_overlay(
                        big,
                        points,
                        frame,
                        roles,
                        scale=scale,
                        deaths=data.get("deaths"),
                        kills=data.get("kills"),
                        trail_frames=self.trail_frames,
                        kill_frames=self.kill_frames,
                        pixel_size_um=um,
                        stamp=stamp,
                    )
                )
        words = {"segmentation": captions.SEGMENTATION, "tracks": captions.TRACKS}
        key = "  ".join(f"{name}: {roles[name]}" for name in roles)
        return {
            "figures": {
                name: Picture(
                    rgb_png(montage(made, self.columns)),
                    words[name][0],
                    f"{words[name][1]} Populations: {key}. Effectors green, targets blue, death "
                    "orange.",
                    words[name][2],
                )
                for name, made in panels.items()
                if made
            }
        }


def check_shapes(image: Image, label: Image) -> int:
    """Number of frames of the field.

    Raises
    ------
    InputError
        Without a channel, or if one array is not (T, Y, X) like the first.
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
    channels: Sequence[str] | Image, roles: Mapping[str, str], channel_roles: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """RGB (0 to 1) of each channel, by its role.

    Raises
    ------
    ConfigError
        If a role has no colour.
    """
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
