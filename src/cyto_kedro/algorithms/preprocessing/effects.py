"""What each step of a chain did: numbers, and pictures before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step
from cyto_kedro.algorithms.preprocessing.chain import chain_halo
from cyto_kedro.algorithms.preprocessing.denoise import noise_sd
from cyto_kedro.algorithms.preprocessing.parts import repeated, shown_in
from cyto_kedro.images import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 320  # of a panel, pixels


@dataclass(frozen=True)
class Effect:
    """One frame of one channel, (Y, X), before and after step number `step` (from 1)."""

    step: int
    name: str
    channel: str
    frame: int
    before: np.ndarray | None
    after: np.ndarray


def step_effects(
    steps: Sequence[Step],
    states: Sequence[State],
    open_frames: Callable[[int, int], Data],
    n_frames: int,
    frames: Sequence[int],
) -> list[Effect]:
    """What every step did to the channels it changed, in each of `frames`.

    `open_frames`: ``open_frames(start, stop)`` is the data of these frames; a frame is opened with
    the chain's halo, so that it is what a run makes of it. `n_frames`: of the film.
    """
    halo, found = chain_halo(steps), []
    for frame in frames:
        data = open_frames(max(0, frame - halo), min(n_frames, frame + halo + 1))
        at = frame - int(data.get("frame_start", 0))
        for number, (step, state) in enumerate(zip(steps, states, strict=True), 1):
            done = step.apply(data, state)
            for channel, stack in done["image"].items():
                was = data["image"].get(channel)
                if stack is was or (
                    was is not None and step.channels and _same(was[at], stack[at])
                ):
                    continue
                before = None if was is None else np.asarray(was[at])
                found.append(
                    Effect(
                        number, type(step).__name__, channel, frame, before, np.asarray(stack[at])
                    )
                )
            data = done
    return found


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))


def measure(frame: np.ndarray | None) -> dict[str, float]:
    """Numbers of a frame (Y, X) that steps are meant to change; NaN of a channel that was not there.

    ``mean``, ``sd`` (over n) and ``noise`` (`noise_sd`) in grey levels; ``background``, the median;
    ``unevenness``: standard deviation of the medians of 4 x 4 equal parts, in grey levels, 0 for an
    even background.
    """
    if frame is None:
        return dict.fromkeys(("mean", "sd", "noise", "background", "unevenness"), np.nan)
    shown = shown_in(frame)
    # pixels that were never filmed do not count
    values = np.where(True if shown is None else shown, frame, np.nan).astype(np.float64)
    parts = [
        np.nanmedian(part)
        for rows in np.array_split(values, 4)
        for part in np.array_split(rows, 4, axis=1)
        if np.isfinite(part).any()
    ]
    pixels = values[np.isfinite(values)]
    return {
        "mean": float(pixels.mean()),
        "sd": float(pixels.std()),
        "noise": noise_sd(repeated(frame.astype(np.float32), shown), shown),
        "background": float(np.median(pixels)),
        "unevenness": float(np.std(parts)),
    }


def effect_table(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row per effect: step, step_name, channel, frame, and every number of `measure` twice."""
    rows: list[dict[str, Any]] = []
    for each in effects:
        numbers = {"before": measure(each.before), "after": measure(each.after)}
        rows.append(
            {
                "step": each.step,
                "step_name": each.name,
                "channel": each.channel,
                "frame": each.frame,
            }
            | {f"{key}_{when}": x for when, found in numbers.items() for key, x in found.items()}
        )
    names = [f"{key}_{when}" for when in ("before", "after") for key in measure(None)]
    return pd.DataFrame(rows, columns=["step", "step_name", "channel", "frame", *names])


def shift_table(
    steps: Sequence[Step], states: Sequence[State], pixel_size_um: float | None
) -> pd.DataFrame:
    """Shifts that registration found: one row per frame (drift) or per channel (offset, frame null).

    Columns: step, step_name, channel, frame, shift_y_px, shift_x_px, shift_y_um, shift_x_um, jump
    (seen but not believed), and the region that no shift moved in from outside, valid_y0_px,
    valid_x0_px, valid_y1_px, valid_x1_px (ends not included).
    """
    tables = []
    for number, (step, state) in enumerate(zip(steps, states, strict=True), 1):
        if "shift_yx_px" not in state:
            continue
        shift = state["shift_yx_px"]
        if isinstance(shift, dict):
            by = {"channel": list(shift), "frame": pd.NA, "jump": False}
            shift = np.array(list(shift.values()), float).reshape(-1, 2)
        else:
            frames = state["first_frame"] + np.arange(len(shift))
            by = {"channel": getattr(step, "channel", ""), "frame": frames, "jump": state["jump"]}
        y0, y1, x0, x1 = state["valid_yx"]
        scale = np.nan if pixel_size_um is None else pixel_size_um
        tables.append(
            pd.DataFrame(
                {
                    "step": number,
                    "step_name": type(step).__name__,
                    "shift_y_px": shift[:, 0],
                    "shift_x_px": shift[:, 1],
                    "shift_y_um": shift[:, 0] * scale,
                    "shift_x_um": shift[:, 1] * scale,
                    **by,
                    **{"valid_y0_px": y0, "valid_x0_px": x0, "valid_y1_px": y1, "valid_x1_px": x1},
                }
            ).astype({"frame": "Int64"})
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def draw_effects(effects: Sequence[Effect], title: str) -> Picture:
    """A row per step and channel, before beside after, each at its own contrast."""
    from cyto_kedro.core.style import figure, png, styled

    rows = list(effects)
    with styled():
        fig = figure(6.4, 3.6 * max(1, len(rows)))
        fig.set_layout_engine("none")
        for i, each in enumerate(rows):
            y, height = 1 - (i + 0.99) / len(rows), 0.86 / len(rows)
            before = f"{each.channel}: before {each.step} {each.name}"
            _panel(fig.add_axes((0.01, y, 0.485, height)), each.before, before)
            _panel(fig.add_axes((0.505, y, 0.485, height)), each.after, "after")
        if not rows:
            fig.text(0.5, 0.5, "No steps: the images are the raw ones", ha="center")
        image = png(fig, dpi=100)
    steps = ", ".join(dict.fromkeys(f"{each.step} {each.name}" for each in rows)) or "none"
    frame = f" of frame {rows[0].frame}" if rows else ""
    return Picture(
        png=image,
        title=title,
        caption=f"Each step's effect{frame}: {steps}. Black and white of each picture are its 0.5th and "
        "99.8th percentiles, given above it with noise (n) in grey levels.",
        alt=f"Pairs of pictures before and after the steps of preprocessing: {steps}.",
    )


def _panel(ax: Axes, image: np.ndarray | None, title: str) -> None:
    ax.axis("off")
    if image is None:
        ax.set_title("(not there before)", fontsize=8)
        return
    shown = shown_in(image)
    image = repeated(image, shown)
    low, high = np.percentile(image if shown is None else image[shown], (0.5, 99.8))
    step = max(1, -(-max(image.shape) // SIDE))
    high = high if high > low else low + 1
    ax.imshow(image[::step, ::step], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    words = f"{title}\n{low:.4g} to {high:.4g}, n {noise_sd(image, shown):.3g}"
    ax.set_title(words, fontsize=8, fontweight="normal")
