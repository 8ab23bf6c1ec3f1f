"""Smoothed columns of tracks and their rates of change."""

from __future__ import annotations

from typing import Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.contacts.trajectories import KEYS
from cyto_kedro.core.contract import TableOf
from cyto_kedro.core.keys import divide, fov_of, run_ids, starts_of
from cyto_kedro.errors import ConfigError, InputError, unknown

SIGMAS = 4.0  # a Gaussian window ends here


class Smoothed(TypedDict):
    """A row for every frame of a track, first to last.

    For each column c also ``c_smoothed``, ``c_gradient_per_frame``, ``c_gradient_per_min`` and
    ``c_interpolated``.
    """

    smoothed_steps: TableOf[schemas.SmoothedSteps]


class TrackSmoothing(Algorithm):
    """Smooth columns along each track, with their gradients; missing frames interpolated and marked.

    Examples
    --------
    >>> rows = {"track_id": 1, "frame": [0, 1, 3], "speed_px_per_frame": [1.0, 2.0, 4.0]}
    >>> steps = schemas.filled(schemas.Steps, rows)
    >>> made = TrackSmoothing(columns=("speed_px_per_frame",))(steps=steps)["smoothed_steps"]
    >>> made["speed_px_per_frame_smoothed"].round(6).tolist()
    [1.0, 2.0, 3.0, 4.0]

    Notes
    -----
    Each value is that of a polynomial fitted to the window around its frame by (weighted) least
    squares, its gradient that polynomial's slope: Savitzky & Golay 1964 (Anal. Chem. 36:1627). Within a
    track of even times this is scipy's `savgol_filter`, near its ends scipy's mode ``interp``: the
    window stays whole, the value is read off beside its middle. `moving_average` is a line through
    the window (in its middle: the mean), `gaussian` a line with Gaussian weights. Where frame times
    are known the fit is over real minutes, so uneven ones do no harm. Tracks shorter than the window
    use all they have.

    A frame without a value (not seen, or null) between two with one is interpolated linearly over
    time, and marked; before the first and after the last value, and in gaps longer than
    `max_gap_frames`, nothing is made up, and values on either side are smoothed apart.
    """

    columns: tuple[str, ...] = Field(default=(), description="what to smooth; none: an empty table")
    method: Literal["savitzky_golay", "gaussian", "moving_average"] = Field(
        default="savitzky_golay", description="how"
    )
    window_frames: int = Field(
        default=5, ge=3, description="length of the window, odd; not for gaussian"
    )
    polynomial: int = Field(default=2, ge=1, le=5, description="degree; for savitzky_golay")
    sigma_frames: float = Field(
        default=1.0, gt=0, description="standard deviation; for gaussian, whose window is 4 of them"
    )
    max_gap_frames: int = Field(default=5, ge=0, description="longest gap that is interpolated")

    @model_validator(mode="after")
    def _fits(self) -> TrackSmoothing:
        if self.window_frames % 2 == 0:
            raise ConfigError(
                f"window_frames={self.window_frames} has no middle frame: give an odd number"
            )
        if self.method == "savitzky_golay" and self.polynomial >= self.window_frames:
            raise ConfigError(
                f"polynomial={self.polynomial} passes through every point of a window of "
                f"{self.window_frames} frames, so it would smooth nothing: give a longer window"
            )
        return self

    def run(self, steps: TableOf[schemas.Steps]) -> Smoothed:
        """Smooth the tracks of one field.

        Parameters
        ----------
        steps
            One row per track and frame, with the columns, such as those of `schemas.Cells`.

        Raises
        ------
        InputError
            If tables of several fields are given, a track has a frame twice, or a column is not
            numeric.
        ConfigError
            If a column is not in the table.
        """
        table: pd.DataFrame = steps
        fov_of(table)
        for column in self.columns:
            if column not in table.columns:
                raise ConfigError(
                    f"TrackSmoothing.columns: {unknown('column', column, table.columns)}"
                )
            if len(table) and not pd.api.types.is_numeric_dtype(table[column]):
                raise InputError(f"column {column!r} holds no numbers, so it cannot be smoothed")
        if not len(table) or not self.columns:
            empty = schemas.empty(schemas.SmoothedSteps)
            names = (name for column in self.columns for name in _names(column))
            flags = {n: bool if n.endswith("_interpolated") else float for n in names}
            for name, kind in flags.items():
                empty[name] = pd.Series(dtype=kind)
            return {"smoothed_steps": empty}
        table = table.sort_values([*KEYS, "frame"], ignore_index=True)
        rows, run, keys = _every_frame(table)
        time = keys["time_min"].to_numpy(float)
        for column in self.columns:
            value = np.full(len(keys), np.nan)
            value[rows] = table[column].to_numpy(float, na_value=np.nan)
            made = dict(zip(_names(column), self._smoothed(value, run, keys, time), strict=True))
            keys = keys.assign(**made)
        return {"smoothed_steps": schemas.conform(schemas.SmoothedSteps, keys)}

    def _smoothed(
        self, value: np.ndarray, run: np.ndarray, keys: pd.DataFrame, time: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Value, gradient per frame and per minute, and what was interpolated, (n,) each."""
        frame = keys["frame"].to_numpy(float)
        known = np.flatnonzero(~np.isnan(value))
        out = [np.full(len(value), np.nan) for _ in range(4)]
        if not len(known):
            return out[0], out[1], out[2], np.zeros(len(value), bool)
        axis = frame if np.isnan(time).any() else time
        # a piece: values of one track without a gap that is too long
        jump = (run[known[1:]] != run[known[:-1]]) | (
            frame[known[1:]] - frame[known[:-1]] - 1 > self.max_gap_frames
        )
        piece = np.full(len(value), -1)
        number = np.append(0, np.cumsum(jump))
        before = np.searchsorted(known, np.arange(len(value)), side="right") - 1
        after = np.minimum(before + 1, len(known) - 1)
        inside = (before >= 0) & (
            (known[before] == np.arange(len(value))) | (number[before] == number[after])
        )
        inside[known[-1] + 1 :] = False
        piece[inside] = number[before[inside]]
        filled = np.full(len(value), np.nan)
        filled[known] = value[known]
        between = inside & np.isnan(value)
        a, b = known[before[between]], known[after[between]]
        share = (axis[between] - axis[a]) / (axis[b] - axis[a])
        filled[between] = value[a] + share * (value[b] - value[a])
        at = np.flatnonzero(inside)
        smooth, slope = self._local_fit(filled[at], axis[at], starts_of(piece[at]))
        out[0][at] = smooth
        if axis is time:
            out[2][at] = slope
            _, slope = self._local_fit(filled[at], frame[at], starts_of(piece[at]))
        out[1][at] = slope
        return out[0], out[1], out[2], between

    def _local_fit(
        self, y: np.ndarray, x: np.ndarray, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Value and slope at each point of the polynomial through its window, piece by piece."""
        n = len(y)
        size = np.diff(np.append(first, n))
        piece = run_ids(first, n)
        gaussian = self.method == "gaussian"
        half = int(SIGMAS * self.sigma_frames + 0.5) if gaussian else self.window_frames // 2
        degree = self.polynomial if self.method == "savitzky_golay" else 1
        here = np.arange(n)
        low, high = first[piece], (first + size - 1)[piece]
        # the window keeps its length near the ends of a piece; a Gaussian one is centred
        start = (
            here - half if gaussian else np.clip(here - half, low, np.maximum(high - 2 * half, low))
        )
        points = np.stack([start + k for k in range(2 * half + 1)], axis=1)
        valid = (points >= low[:, None]) & (points <= high[:, None])
        points = np.clip(points, 0, n - 1)
        off = np.where(valid, x[points] - x[:, None], 0.0)
        scale = np.abs(off).max(axis=1)
        scale[scale == 0] = 1.0
        off /= scale[:, None]
        weight = valid.astype(float)
        if gaussian:
            weight *= np.exp(-0.5 * ((points - here[:, None]) / self.sigma_frames) ** 2)
        # fewer points than coefficients: a lower degree
        use = np.arange(degree + 1)[None, :] < valid.sum(axis=1)[:, None]
        powers = off[:, :, None] ** np.arange(degree + 1) * use[:, None, :]
        normal = np.einsum("nwi,nw,nwj->nij", powers, weight, powers, optimize=True)
        right = np.einsum("nwi,nw,nw->ni", powers, weight, y[points], optimize=True)
        normal += np.eye(degree + 1) * ~use[:, :, None]
        solved = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        slope = np.where(use[:, 1], divide(solved[:, 1], scale), np.nan)
        return solved[:, 0], slope


def _names(column: str) -> tuple[str, str, str, str]:
    ends = ("smoothed", "gradient_per_frame", "gradient_per_min", "interpolated")
    return tuple(f"{column}_{end}" for end in ends)  # type: ignore[return-value]


def _every_frame(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Rows for every frame of each track of a sorted table.

    Returns where the rows of `table` stand, (m,); the track of each row, (n,); the rows' keys and
    time.
    """
    first = starts_of(*(table[key].to_numpy() for key in KEYS))
    frame = table["frame"].to_numpy(np.int64)
    last = np.append(first[1:], len(table)) - 1
    length = frame[last] - frame[first] + 1
    begin = np.cumsum(length) - length
    rows = begin[run_ids(first, len(table))] + frame - frame[first][run_ids(first, len(table))]
    if (np.diff(rows) <= 0).any():
        at = int(np.flatnonzero(np.diff(rows) <= 0)[0]) + 1
        row = table.iloc[at]
        raise InputError(
            f"{row['population']} track {row['track_id']} has frame {row['frame']} twice, so which "
            f"value to smooth is not known"
        )
    run = np.repeat(np.arange(len(first)), length)
    keys = table[["fov", *KEYS]].iloc[first[run]].reset_index(drop=True)
    keys["frame"] = frame[first][run] + np.arange(len(run)) - begin[run]
    seen = np.zeros(len(run), bool)
    seen[rows] = True
    # the film's clock tells the time of a frame in which this cell was not seen
    times = table.dropna(subset="time_min").drop_duplicates("frame").sort_values("frame")
    minutes = np.full(len(run), np.nan)
    if len(times):
        known = times["frame"].to_numpy(float)
        minutes = np.interp(keys["frame"], known, times["time_min"].to_numpy(float))
    keys["time_min"] = minutes
    keys["interpolated"] = ~seen
    if "interpolated" in table:
        keys.loc[rows, "interpolated"] = table["interpolated"].to_numpy(bool)
    return rows, run, keys
