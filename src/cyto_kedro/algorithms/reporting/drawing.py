"""Drawing on frames: arrays in, RGB uint8 arrays (Y, X, 3) out.

A frame is first brought to a legible size (`resize`); what is drawn on it is given in the film's
own pixels and the factor `scale`. The centre of the film's top-left pixel is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.core.groups import of_role
from cyto_kedro.core.style import FILM_COLOURS, drawn_on, pixel_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Limits = tuple[float, float]
TRAIL_FRAMES = 12
SIGNAL = 12.0  # times the noise: what is brighter is shown as signal
Image = Mapping[str, np.ndarray]


def display_limits(image: np.ndarray) -> Limits:
    """Values shown as black and as full: percentiles 25 and 99.8 of the finite pixels, or (0, 1).

    Where the brighter one is no more than `SIGNAL` times the noise above the background (median), it is
    put there: a channel that holds nothing stays dark, its noise is not stretched into specks.
    """
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    black, middle, full = np.percentile(finite, [25, 50, 99.8])
    full = max(full, middle + SIGNAL * noise_of(image))
    return float(black), float(full) if full > black else float(black) + 1.0


def noise_of(image: np.ndarray) -> float:
    """Standard deviation of what differs from pixel to pixel (..., Y, X), which structure does not.

    Of differences between neighbours, by their median size; where most are 0 (counts of few photons),
    by the standard deviation of the pixels below the 99th percentile.
    """
    step = np.diff(np.asarray(image, dtype=float), axis=-1)
    step = np.abs(step[np.isfinite(step)])
    noise = 1.4826 * float(np.median(step)) / np.sqrt(2) if step.size else 0.0
    if noise > 0:
        return noise
    finite = np.asarray(image, dtype=float)[np.isfinite(image)]
    return float(np.std(finite[finite <= np.percentile(finite, 99)]))


def composite(
    image: Image, tints: Mapping[str, np.ndarray], limits: Mapping[str, Limits]
) -> np.ndarray:
    """Add the channels of a frame, each in its colour, to RGB uint8 (Y, X, 3). NaN is black.

    Where the sum is too bright for the screen it is scaled down as a whole, which keeps its hue.
    """
    total: Any = 0.0
    for channel, plane in image.items():
        low, high = limits[channel]
        share = np.clip((np.asarray(plane, dtype=float) - low) / (high - low), 0, 1)
        total = total + np.nan_to_num(share)[..., None] * tints[channel]
    total = total / np.maximum(total.max(axis=-1, keepdims=True), 1.0)
    return (255 * total).round().astype(np.uint8)


def resize(rgb: np.ndarray, side_px: int) -> tuple[np.ndarray, float]:
    """Bring the shorter side near `side_px` by a whole factor; return the factor (<1: shrunk).

    Enlarging repeats pixels; shrinking averages blocks of them, cutting an incomplete rim.
    """
    side = min(rgb.shape[:2])
    if side <= side_px:
        k = max(1, round(side_px / side))
        return rgb.repeat(k, axis=0).repeat(k, axis=1), float(k)
    k = max(1, round(side / side_px))
    height, width = rgb.shape[0] // k, rgb.shape[1] // k
    blocks = rgb[: height * k, : width * k].reshape(height, k, width, k, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8), 1 / k


def outlines(label: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Pixels of a cell that are within `thickness` of another label or the background (4-connected).

    The image's edge is no boundary. `label` (Y, X) -> bool (Y, X).
    """
    inner = label > 0
    padded = np.pad(label, thickness, mode="edge")
    height, width = label.shape
    for shift in range(1, thickness + 1):
        for dy, dx in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)):
            y, x = thickness + dy, thickness + dx
            inner &= padded[y : y + height, x : x + width] == label
    return (label > 0) & ~inner


def segmentation_overlay(
    rgb: np.ndarray,
    label: Image,
    roles: Mapping[str, str],
    scale: float = 1.0,
    dead: Mapping[str, Sequence[int]] | None = None,
) -> np.ndarray:
    """Draw the outline of every cell in its population's colour.

    Parameters
    ----------
    rgb
        uint8 (Y, X, 3), the frame after `resize`.
    label
        {population: (Y, X)} at the film's own size.
    scale
        The factor of `resize`.
    dead
        {population: labels} to be outlined in the colour of death.
    """
    drawn = rgb.copy()
    rows = np.minimum(((np.arange(rgb.shape[0]) + 0.5) / scale).astype(int), _last(label, 0))
    columns = np.minimum(((np.arange(rgb.shape[1]) + 0.5) / scale).astype(int), _last(label, 1))
    for population, mask in label.items():
        big = np.asarray(mask)[np.ix_(rows, columns)]
        edge = outlines(big, max(1, round(scale * 0.5)))
        colour = FILM_COLOURS[roles.get(population, "other")]
        drawn[edge] = np.multiply(_rgb(colour), 255).astype(np.uint8)
        if dead and population in dead:
            gone = edge & np.isin(big, np.asarray(dead[population], dtype=np.int64))
            drawn[gone] = np.multiply(_rgb(FILM_COLOURS["death"]), 255).astype(np.uint8)
    return drawn


def _last(label: Image, axis: int) -> int:
    return max((np.asarray(mask).shape[axis] - 1 for mask in label.values()), default=0)


def track_overlay(
    rgb: np.ndarray,
    points: pd.DataFrame,
    frame: int,
    roles: Mapping[str, str],
    *,
    scale: float = 1.0,
    deaths: pd.DataFrame | None = None,
    kills: pd.DataFrame | None = None,
    contacts: pd.DataFrame | None = None,
    kill_frames: int = 6,
    pixel_size_um: float | None = None,
    stamp: str = "",
) -> np.ndarray:
    """Draw each cell's path up to `frame`, contacts, crosses on dead targets, lines from killers.

    `points`: `schemas.TrackPoints` of this field; `deaths` and `kills` likewise. `kill_frames`: for how
    many frames from the death the line to the killer is shown. Paths go back `TRAIL_FRAMES`.
    """
    seen = points[(points["frame"] <= frame) & (points["frame"] >= frame - TRAIL_FRAMES)]
    now = points[points["frame"] == frame].set_index(["population", "track_id"])[["x_px", "y_px"]]

    def draw(ax: Axes) -> None:
        from matplotlib.collections import LineCollection

        for population, mine in seen.groupby("population"):
            colour = FILM_COLOURS[roles.get(str(population), "other")]
            mine = mine.sort_values(["track_id", "frame"])
            xy = mine[["x_px", "y_px"]].to_numpy()
            joined = mine["track_id"].to_numpy()[1:] == mine["track_id"].to_numpy()[:-1]
            segments = np.stack([xy[:-1], xy[1:]], axis=1)[joined]
            age = (frame - mine["frame"].to_numpy()[1:][joined]) / TRAIL_FRAMES
            fade = [(*_rgb(colour), 1 - 0.75 * float(a)) for a in age]
            ax.add_collection(LineCollection(list(segments), colors=fade, linewidths=1.6))
            here = mine[mine["frame"] == frame]
            ax.scatter(here["x_px"], here["y_px"], s=14, color=colour, edgecolor="black", lw=0.5)
        if contacts is not None:
            met = contacts[contacts["frame"] == frame]
            lines = _joined(
                met, now, ("population_a", "track_id_a"), ("population_b", "track_id_b")
            )
            ax.add_collection(LineCollection(lines, colors="white", linewidths=1.2))
        if deaths is not None:
            gone = deaths[
                (deaths["frame"] <= frame) & deaths["population"].isin(of_role(roles, "target"))
            ]
            at = gone.join(now, on=["population", "track_id"]).dropna(subset=["x_px"])
            for width, colour in ((4.2, "black"), (2.2, FILM_COLOURS["death"])):
                ax.scatter(at["x_px"], at["y_px"], marker="x", s=64, color=colour, lw=width)
        if kills is not None:
            new = kills[
                (kills["death_frame"] <= frame) & (frame - kills["death_frame"] < kill_frames)
            ]
            lines = _joined(
                new,
                now,
                ("effector_population", "effector_track_id"),
                ("target_population", "target_track_id"),
            )
            look: dict[str, Any] = {"linewidths": 2.0, "linestyles": (0, (3, 2))}
            ax.add_collection(LineCollection(lines, colors=FILM_COLOURS["death"], **look))

    # dimmed, so that the marks stand out
    return annotate((rgb * 0.6).astype(np.uint8), scale, pixel_size_um, stamp, draw)


def _joined(
    pairs: pd.DataFrame, now: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]
) -> list[np.ndarray]:
    """A line, (2, 2) of x and y, for each pair of cells that both have a place."""
    found = pairs.join(now, on=list(one)).join(now, on=list(other), rsuffix="_other")
    found = found.dropna(subset=["x_px", "x_px_other"])
    return list(found[["x_px", "y_px", "x_px_other", "y_px_other"]].to_numpy().reshape(-1, 2, 2))


def annotate(
    rgb: np.ndarray,
    scale: float = 1.0,
    pixel_size_um: float | None = None,
    stamp: str = "",
    draw: Callable[[Axes], None] | None = None,
) -> np.ndarray:
    """Add a time stamp, a scale bar (in µm; none where the pixel size is unknown) and `draw`.

    `draw` gets axes in the film's pixels.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    height, width = rgb.shape[:2]
    edge = [withStroke(linewidth=2.5, foreground="black")]
    with styled():
        fig = pixel_figure(width, height)
        if draw is not None:
            ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
            ax.axis("off")
            draw(ax)
            ax.set(xlim=(-0.5, width / scale - 0.5), ylim=(height / scale - 0.5, -0.5))
        words: Any = {"color": "white", "fontsize": 11, "path_effects": edge}
        if stamp:
            fig.text(10 / width, 1 - 10 / height, stamp, va="top", fontweight="bold", **words)
        if pixel_size_um is not None and np.isfinite(pixel_size_um):
            length_um = bar_length_um(width / scale * pixel_size_um)
            share = length_um / pixel_size_um * scale / width
            right, low = 1 - 14 / width, 16 / height
            bar = Line2D(
                [right - share, right],
                [low, low],
                color="white",
                lw=4,
                solid_capstyle="butt",
                path_effects=[withStroke(linewidth=6, foreground="black")],
            )
            fig.add_artist(bar)
            at = right - share / 2, low + 6 / height
            fig.text(*at, f"{length_um:g} µm", ha="center", va="bottom", **words)
        return drawn_on(fig, rgb)


def film_limits(image: Mapping[str, Any], chosen: Iterable[int]) -> dict[str, tuple[float, float]]:
    """Black and full (`display_limits`) of each channel's film, off the frames `chosen`."""
    frames = sorted(set(chosen))
    return {
        name: display_limits(np.stack([np.asarray(stack[t]) for t in frames]))
        for name, stack in image.items()
    }


def bar_length_um(width_um: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most a quarter of the width."""
    most = width_um / 4
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)) * power)


def montage(panels: Sequence[np.ndarray], columns: int = 2, gap_px: int = 6) -> np.ndarray:
    """Put equally large panels in rows of `columns`, on white."""
    height, width = panels[0].shape[:2]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    shape = (rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for i, panel in enumerate(panels):
        y, x = (i // columns) * (height + gap_px), (i % columns) * (width + gap_px)
        sheet[y : y + height, x : x + width] = panel
    return sheet


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
