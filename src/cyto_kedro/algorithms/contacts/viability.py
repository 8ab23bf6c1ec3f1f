"""Viability of a cell in a frame from a death marker: works on stills, needs no tracks.

The threshold is estimated from the pooled distribution of the cells of one table (a field, or all
fields of a population that share an exposure), so no number has to be tuned by hand.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import TableOf
from cyto_kedro.errors import InputError, missing

# share of variance between the halves of Otsu's split: 0.64 for a normal and 0.75 for a flat
# distribution, so more than this is not one group
_SPLIT = 0.8
# least gain of log likelihood per cell, doubled, to split off a compact low group: below 0 for a
# normal distribution, 0 for a flat one
_GAIN = 0.2
_FEW = 20  # cells of a field from which its background can be told
_ALIKE = 0.15  # noise over what a background is off by, up to which all cells are off alike
_AT_BACKGROUND = np.log(999)  # logit of alive_probability 0.999


class Assessed(TypedDict):
    """Viability of each cell, and the estimate that it rests on."""

    viability: TableOf[schemas.Viability]
    state: dict[str, Any]


@dataclass(frozen=True)
class Dyes:
    """Channels by what they tell."""

    #: channel of the death marker, or None
    marker: str | None = None
    #: marker (as `assay.markers`) -> channel
    markers: Mapping[str, str] = field(default_factory=dict)


class ViabilityCaller(Algorithm):
    """Says of each cell of one population in a frame whether it lives, in two halves.

    `estimate` learns of many cells (a field, or all fields of a plate) what living ones look like;
    ``run`` judges cells by that ``state``, or by an estimate of their own without one.
    """

    @abstractmethod
    def learn(
        self, cells: pd.DataFrame, dyes: Dyes, controls: Mapping[str, pd.DataFrame]
    ) -> dict[str, Any]:
        """See `estimate`."""

    @abstractmethod
    def judge(
        self, cells: pd.DataFrame, dyes: Dyes, state: Mapping[str, Any]
    ) -> TableOf[schemas.Viability]:
        """See ``run``."""

    def estimate(
        self,
        cells: TableOf[schemas.Cells],
        marker: str | None = None,
        markers: Mapping[str, str] | None = None,
        controls: Mapping[str, pd.DataFrame] | None = None,
    ) -> dict[str, Any]:
        """What living cells look like; arguments as those of ``run``."""
        return self.learn(cells, Dyes(marker, markers or {}), controls or {})

    @property
    def markers(self) -> tuple[str, ...]:
        """What `assay.markers` must name."""
        return ()

    def can_tell(self, markers: Mapping[str, str]) -> bool:
        """Whether the channels of `markers` are all that it needs."""
        return set(self.markers) <= set(markers)

    def apart(self, by_field: Mapping[str, pd.DataFrame], dyes: Dyes) -> list[list[str]]:
        """Fields that can share an estimate, group by group, the largest first."""
        return [list(by_field)]

    def reads(self, dyes: Dyes) -> tuple[str, ...] | None:
        """Columns of cells that `estimate` reads besides their keys; None: any."""
        return None

    def run(
        self,
        cells: TableOf[schemas.Cells],
        marker: str | None = None,
        markers: Mapping[str, str] | None = None,
        controls: Mapping[str, pd.DataFrame] | None = None,
        state: dict[str, Any] | None = None,
    ) -> Assessed:
        """Judge the cells of one population.

        Parameters
        ----------
        cells
            With columns ``<channel>_<stat>``.
        marker
            Channel of the death marker.
        markers
            Marker -> channel, as `assay.markers`.
        controls
            ``{"live": cells, "dead": cells}`` that are known to be so; either may lack.
        state
            Of `estimate`, for a larger table.

        Raises
        ------
        InputError
            If a marker's column is missing, or a signal is not finite.
        """
        dyes = Dyes(marker, markers or {})
        state = state or self.learn(cells, dyes, controls or {})
        return {"viability": self.judge(cells, dyes, state), "state": state}


class MarkerThreshold(ViabilityCaller):
    """Call cells dead whose death-marker signal stands out from that of living cells.

    ``controls["live"]``, cells known to live, alone set the background. The state has `background`,
    `unit`, `threshold` (grey levels), `n_cells` and `n_dead`.

    Notes
    -----
    *Background*: the table is split in two and the upper part set aside, again and again, while
    Otsu's split (1979) explains more than 0.8 (plus 1/n) of the variance, as no split of a single
    hump does; or, where many cells are dead and their brightness varies, while a compact low group
    (at most 0.55 of the cells, and two standard deviations of the others below their mean) makes
    two normal distributions clearly more likely than one (the minimum error criterion of Kittler &
    Illingworth 1986). Median and 1.4826 MAD of what is left are background and noise. The unit is
    ``u = k_noise * noise`` and signals are seen as ``y = asinh((signal - background) / u)``:
    straight within the noise, logarithmic above. Where more than about 0.9 of the cells are dead,
    or fewer than 20 are given, a table cannot tell by itself: give live ``controls`` or ``state``.

    *Threshold*: half way, in y, between the background and the median of the cells above the
    threshold, iterated upwards from a floor. If the median of all cells beyond ``u`` lies beyond
    ``2 u``, dead cells are a group of their own and the floor is ``u``. Otherwise the living have
    a tail there and the floor is ``2 u``, so that a film without deaths has none.

    *Probability*: a logistic in y, 0.5 at the threshold and 0.999 at the background.

    The default statistic is the median: dye that spills from a dead neighbour lights one side of
    a living cell, which moves its mean and not its median until half of the cell is lit. Where the
    dye stains less than half of the mask (a nucleus in a whole-cell mask), use ``stat: mean``.

    Examples
    --------
    >>> grey = np.append(np.linspace(95, 105, 30), [900.0, 1100.0])
    >>> cells = schemas.filled(schemas.Cells, {"label": np.arange(1, 33), "PI_median": grey})
    >>> MarkerThreshold()(cells=cells, marker="PI")["viability"].query("dead")["label"].tolist()
    [31, 32]
    """

    stat: Literal["median", "mean", "max", "sum"] = Field(
        default="median", description="statistic of the marker within the mask"
    )
    threshold: float | None = Field(
        default=None, description="signal above which a cell is dead; default: estimated"
    )
    k_noise: float = Field(
        default=6.0, gt=0, description="noise levels above background that no living cell reaches"
    )

    def judge(
        self, cells: pd.DataFrame, dyes: Dyes, state: Mapping[str, Any]
    ) -> TableOf[schemas.Viability]:
        signal = self._signal(cells, dyes)
        y = np.arcsinh((signal - state["background"]) / state["unit"])
        at = np.arcsinh((state["threshold"] - state["background"]) / state["unit"])
        logit = np.clip(_AT_BACKGROUND * (1 - y / at), -700, 700)
        table = cells[["fov", "population", "frame", "label"]].assign(
            marker_signal=signal,
            alive_probability=1 / (1 + np.exp(-logit)),
            dead=signal > state["threshold"],
        )
        return schemas.conform(schemas.Viability, table)

    @property
    def markers(self) -> tuple[str, ...]:
        return ("death",)

    def reads(self, dyes: Dyes) -> tuple[str, ...]:
        return (f"{dyes.marker}_{self.stat}",)

    def learn(
        self, cells: pd.DataFrame, dyes: Dyes, controls: Mapping[str, pd.DataFrame]
    ) -> dict[str, Any]:
        signal = self._signal(cells, dyes)
        control = controls.get("live")
        if control is not None and len(control):
            living = self._signal(control, dyes)
        else:
            living = _background(signal)
        background = float(np.median(living)) if len(living) else 0.0
        unit = self.k_noise * _noise(living, background)
        level = np.arcsinh((signal - background) / unit)
        near, far = float(np.arcsinh(1.0)), float(np.arcsinh(2.0))
        candidates = level[level > near]
        grouped = len(candidates) > 0 and np.median(candidates) > far
        at = _between(level, near if grouped else far)
        threshold = background + unit * float(np.sinh(at))
        if self.threshold is not None:
            # the curve's zero stays below the threshold, else it would fall the wrong way
            threshold = self.threshold
            background = min(background, threshold - unit)
        return {
            "background": background,
            "unit": unit,
            "threshold": threshold,
            "n_cells": len(signal),
            "n_dead": int((signal > threshold).sum()),
        }

    def apart(self, by_field: Mapping[str, pd.DataFrame], dyes: Dyes) -> list[list[str]]:
        """Fields whose living cells are as bright in the marker, the largest group first.

        A field's background and noise are those of its own cells. It stands apart where its
        background is off by more than `k_noise` times the larger noise, and that is no death: the
        dead are never darker than the living, nor are they alike. So a darker field stands apart,
        and a brighter one whose noise is at most 0.15 of the difference.
        """
        level = {}
        for name, cells in by_field.items():
            living = _background(self._signal(cells, dyes)) if len(cells) >= _FEW else ()
            if len(living):
                middle = float(np.median(living))
                level[name] = middle, _noise(np.asarray(living), middle), len(cells)
        groups: list[list[str]] = []
        for name in sorted(level, key=lambda each: (-level[each][2], each)):
            here, noise, _ = level[name]
            for group in groups:
                there, other, _ = level[group[0]]
                off = here - there
                brighter = noise if off > 0 else other
                if abs(off) <= self.k_noise * max(noise, other) or brighter > _ALIKE * abs(off):
                    group.append(name)
                    break
            else:
                groups.append([name])
        groups = groups or [[]]
        groups[0] += [name for name in by_field if name not in level]  # too few cells to tell
        return sorted(groups, key=lambda group: -sum(len(by_field[name]) for name in group))

    def _signal(self, cells: pd.DataFrame, dyes: Dyes) -> np.ndarray:
        """(n,) what rises with death."""
        if dyes.marker is None:
            raise InputError(
                f"{type(self).__name__} needs 'marker', the channel of the death marker: name it at "
                "assay.markers.death, or take an algorithm that needs none (ShapeChange)"
            )
        return self._grey(cells, dyes.marker)

    def _grey(self, cells: pd.DataFrame, channel: str) -> np.ndarray:
        column = f"{channel}_{self.stat}"
        if column not in cells:
            have = [str(name) for name in cells if str(name).endswith(f"_{self.stat}")]
            raise InputError(
                f"viability: {missing('column', column, have)} The death marker must be a channel "
                f"that was measured at tabulation"
            )
        signal = cells[column].to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(signal))
        if len(bad):
            row = cells.iloc[bad[0]]
            raise InputError(
                f"field {row['fov']!r}, {row['population']}, frame {row['frame']}, label "
                f"{row['label']}: {column} is {signal[bad[0]]}, so the cell can be called neither "
                f"alive nor dead; exclude the frame or correct its image"
            )
        return signal


def _background(signal: np.ndarray) -> np.ndarray:
    """The lowest group of `signal`, split no further by either criterion of `_split`."""
    low = np.sort(signal)
    while (at := _split(low)) > 1:
        low = low[:at]
    return low


def _split(values: np.ndarray) -> int:
    """How many of the sorted `values` belong to the lower of two groups; 0 for one group."""
    n = len(values)
    if n < 4 or values[0] == values[-1]:
        return 0
    z = (values - values.mean()) / values.std()
    low = np.arange(1, n)
    total = np.cumsum(z)[:-1]
    between = total**2 * (1 / low + 1 / (n - low)) / n  # share of the variance
    best = int(np.argmax(between))
    if between[best] > _SPLIT + 1 / n:
        return int(low[best])
    squares = np.cumsum(z**2)[:-1]
    share = low / n
    # a spread of 0 (equal grey levels) would win any comparison of likelihoods
    sd_low = np.sqrt(np.maximum(squares / low - (total / low) ** 2, 1e-4))
    sd_high = np.sqrt(np.maximum((n - squares) / (n - low) - (total / (n - low)) ** 2, 1e-4))
    gain = -2 * (
        share * (np.log(sd_low) - np.log(share))
        + (1 - share) * (np.log(sd_high) - np.log(1 - share))
    )
    minority = (low >= max(4, 0.02 * n)) & (low <= 0.55 * n)
    # a skewed single group has a compact low part too, but its upper part begins right there
    apart = -total / (n - low) - total / low > 2 * sd_high
    gain = np.where(minority & apart, gain, -np.inf)
    best = int(np.argmax(gain))
    return int(low[best]) if gain[best] > _GAIN + 6 / n else 0


def _noise(living: np.ndarray, background: float) -> float:
    """Robust spread of living cells, in grey levels; 1 where all are equal."""
    if not len(living):
        return 1.0
    mad = 1.4826 * float(np.median(np.abs(living - background)))
    return mad or float(np.std(living)) or 1.0


def _between(level: np.ndarray, floor: float) -> float:
    """Half way from 0 to the median of the levels above it, iterated up from `floor`."""
    at = floor
    while (level > at).any():
        after = max(at, float(np.median(level[level > at])) / 2)
        if after == at:
            break
        at = after
    return at
