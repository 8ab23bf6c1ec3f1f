"""Viability of a cell in a frame from several markers, of the dying and of the living."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy
from pydantic import Field, model_validator

from cyto_kedro import schemas
from cyto_kedro.algorithms.contacts.viability import Dyes, ViabilityCaller
from cyto_kedro.core.contract import TableOf
from cyto_kedro.errors import ConfigError, InputError, missing, unknown

_LEAST_CONTROLS = 10


class LogisticViability(ViabilityCaller):
    """The chance that a cell lives as a logistic function of weighted markers.

    ``alive_probability = 1 / (1 + exp(-(intercept + sum_m w_m z_m)))``: a marker that enters the dying
    (propidium iodide, caspase substrates) has a negative weight, one that the living hold (calcein, a
    dye or protein they lose) a positive one. A cell is dead below `dead_below`. Works on stills.

    `marker_signal` is ``-(intercept + sum w z)``, all markers in one number that rises with death, 0 at
    even odds. Both `controls` are needed to estimate weights. The state has `markers`, `scale` (its
    kind), `zero` and `unit` of each marker in grey levels, `weights`, `intercept`, `n_live` and `n_dead`
    (cells of the controls; 0 where weights were stated).

    Notes
    -----
    *Scale.* ``grey``: z is the signal as measured, so weights hold for one exposure. ``robust``: grey
    levels in units of the spread of all cells of the plate, ``asinh((v - median) / (1.4826 MAD))``,
    straight near the median and logarithmic above. ``percentile``: from 0 at the 1st to 1 at the 99th
    percentile of the plate's cells, held within; with ``weights: {live: 10}`` and ``intercept: -5``,
    or ``{death: -10}`` and 5, that is the curve of slope 10 and middle 0.5 that pyCyto uses. The last
    two need living and dead cells on each plate.

    *Weights* are stated (`weights` and `intercept`), or estimated from control fields, those that the
    sample sheet marks ``live`` or ``dead`` in its column ``viability_control``, by logistic regression:
    maximum likelihood with an L2 `penalty` on weights (not on the intercept), so that groups that are
    apart have finite ones, both controls weighing the same, so that the share of dead cells among
    controls is not taken for that of the assay. A weight whose sign is not the marker's is refused: the
    controls do not tell what the marker should.

    Raises
    ------
    ConfigError
        If a marker is in no list, or weights are stated in part, or with the wrong sign.
    InputError
        If a marker's column is missing, a signal is not finite, controls are needed and missing or
        fewer than 10 cells, or they contradict a marker's meaning.

    Examples
    --------
    >>> grey = {"PI_median": [100.0, 900.0]}
    >>> cells = schemas.filled(schemas.Cells, {"label": [1, 2], **grey})
    >>> stated = LogisticViability(scale="grey", weights={"death": -0.01}, intercept=5)
    >>> made = stated(cells=cells, markers={"death": "PI"})["viability"]
    >>> made["alive_probability"].round(3).tolist()
    [0.982, 0.018]
    """

    death_markers: tuple[str, ...] = Field(
        default=("death",), description="names in assay.markers that rise in dying cells"
    )
    live_markers: tuple[str, ...] = Field(
        default=(), description="names in assay.markers that living cells hold"
    )
    weights: dict[str, float] | None = Field(
        default=None, description="marker -> weight in the logit; null: estimated from controls"
    )
    intercept: float | None = Field(
        default=None, description="logit where all scaled markers are 0; with `weights`"
    )
    stat: Literal["median", "mean", "max", "sum"] = Field(
        default="median", description="statistic of the markers within the mask"
    )
    scale: Literal["robust", "percentile", "grey"] = Field(
        default="robust", description="what markers are weighted in, see above"
    )
    dead_below: float = Field(
        default=0.5, gt=0, lt=1, description="alive_probability below which a cell is dead"
    )
    penalty: float = Field(
        default=1e-3, gt=0, description="of half the squared weights, against the mean loss a cell"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        markers = self.markers
        if not markers or len(set(markers)) < len(markers):
            raise ConfigError(
                f"LogisticViability: name each marker once, in death_markers or live_markers (got "
                f"{', '.join(markers) or 'none'})"
            )
        if (self.weights is None) != (self.intercept is None):
            raise ConfigError("LogisticViability: give weights and intercept, or neither")
        for name in self.weights or ():
            if name not in markers:
                raise ConfigError(f"LogisticViability.weights: {unknown('marker', name, markers)}")
        for name in markers:
            if self.weights is not None and name not in self.weights:
                raise ConfigError(f"LogisticViability.weights: no weight for the marker {name!r}")
            if self.weights is not None and self._sign(name) * self.weights[name] < 0:
                raise ConfigError(
                    f"LogisticViability.weights.{name}={self.weights[name]}: weights are those of "
                    "living, so a death marker's is negative and a live marker's positive"
                )
        return self

    @property
    def markers(self) -> tuple[str, ...]:
        """All markers, in the order of weights."""
        return (*self.death_markers, *self.live_markers)

    def reads(self, dyes: Dyes) -> tuple[str, ...]:
        """The markers' columns."""
        return tuple(f"{dyes.markers[each]}_{self.stat}" for each in self.markers)

    def _sign(self, marker: str) -> int:
        return -1 if marker in self.death_markers else 1

    def judge(
        self, cells: pd.DataFrame, dyes: Dyes, state: Mapping[str, Any]
    ) -> TableOf[schemas.Viability]:
        z = _scaled(self._signals(cells, dyes), state)
        logit = state["intercept"] + z @ np.asarray(state["weights"])
        alive = 1 / (1 + np.exp(-np.clip(logit, -700, 700)))
        table = cells[["fov", "population", "frame", "label"]].assign(
            marker_signal=-logit, alive_probability=alive, dead=alive < self.dead_below
        )
        return schemas.conform(schemas.Viability, table)

    def learn(
        self, cells: pd.DataFrame, dyes: Dyes, controls: Mapping[str, pd.DataFrame]
    ) -> dict[str, Any]:
        signals = self._signals(cells, dyes)
        zero, unit = self._zero_and_unit(signals)
        state: dict[str, Any] = {
            "markers": list(self.markers),
            "scale": self.scale,
            "zero": zero.tolist(),
            "unit": unit.tolist(),
        }
        if self.weights is not None and self.intercept is not None:
            weights = [self.weights[name] for name in self.markers]
            return state | {
                "weights": weights,
                "intercept": self.intercept,
                "n_live": 0,
                "n_dead": 0,
            }
        known = {}
        for kind in ("live", "dead"):
            n = len(controls[kind]) if kind in controls else 0
            if n < _LEAST_CONTROLS:
                raise InputError(
                    f"LogisticViability: {n} cells of control fields known to be {kind}, and at least "
                    f"{_LEAST_CONTROLS} are needed to estimate weights. Mark such fields (of each "
                    f"plate) with {kind!r} in the sample sheet's column viability_control, or state "
                    "weights and intercept"
                )
            known[kind] = _scaled(self._signals(controls[kind], dyes), state)
        weights_, intercept = fit_logistic(known["live"], known["dead"], self.penalty)
        for name, weight in zip(self.markers, weights_, strict=True):
            if self._sign(name) * weight < 0:
                what = "death" if name in self.death_markers else "live"
                raise InputError(
                    f"LogisticViability: by the controls, more of the {what} marker {name!r} means "
                    f"{'alive' if what == 'death' else 'dead'} (weight {weight:.3g}), beside the other "
                    "markers. Are the controls marked the right way round? Else leave the marker out"
                )
        return state | {
            "weights": weights_.tolist(),
            "intercept": float(intercept),
            "n_live": len(known["live"]),
            "n_dead": len(known["dead"]),
        }

    def _zero_and_unit(self, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = signals.shape[1]
        if self.scale == "grey" or not len(signals):
            return np.zeros(n), np.ones(n)
        if self.scale == "percentile":
            zero, one = np.percentile(signals, [1, 99], axis=0)
            unit = one - zero
        else:
            zero = np.median(signals, axis=0)
            unit = 1.4826 * np.median(np.abs(signals - zero), axis=0)
            unit = np.where(unit > 0, unit, signals.std(axis=0))
        return zero, np.where(unit > 0, unit, 1.0)

    def _signals(self, cells: pd.DataFrame, dyes: Dyes) -> np.ndarray:
        """(n, markers) float64, grey levels."""
        channels = dyes.markers
        found = np.empty((len(cells), len(self.markers)))
        for column, marker in enumerate(self.markers):
            if marker not in channels:
                raise InputError(
                    f"LogisticViability: {unknown('marker', marker, channels)} Name its channel under "
                    "assay.markers"
                )
            name = f"{channels[marker]}_{self.stat}"
            if name not in cells:
                have = [str(each) for each in cells if str(each).endswith(f"_{self.stat}")]
                raise InputError(f"LogisticViability: {missing('column', name, have)}")
            found[:, column] = cells[name].to_numpy(float)
            bad = np.flatnonzero(~np.isfinite(found[:, column]))
            if len(bad):
                row = cells.iloc[bad[0]]
                raise InputError(
                    f"field {row['fov']!r}, {row['population']}, frame {row['frame']}, label "
                    f"{row['label']}: {name} is {found[bad[0], column]}, so the cell can be called "
                    "neither alive nor dead; exclude the frame or correct its image"
                )
        return found


def _scaled(signals: np.ndarray, state: Mapping[str, Any]) -> np.ndarray:
    """Signals on the scale of `state`, (n, markers)."""
    z = (signals - np.asarray(state["zero"])) / np.asarray(state["unit"])
    if state["scale"] == "robust":
        return np.arcsinh(z)
    return np.clip(z, 0, 1) if state["scale"] == "percentile" else z


def fit_logistic(live: np.ndarray, dead: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights and intercept of the logit of being alive, both groups weighing the same.

    Minimises ``mean loss + penalty/2 |w|²``, the mean being over the two groups' means, by Newton's
    method in a trust region; scikit-learn's LogisticRegression with ``class_weight="balanced"`` and
    ``C = 1 / (n penalty)`` is the same.

    `live`, `dead`: (n, markers), scaled.
    """
    spread = np.concatenate([live, dead]).std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)  # grey levels of any size are as well conditioned
    x = np.concatenate([live, dead]) / spread
    x = np.column_stack([x, np.ones(len(x))])
    sign = np.repeat([1.0, -1.0], [len(live), len(dead)])
    share = np.repeat([0.5 / len(live), 0.5 / len(dead)], [len(live), len(dead)])
    ridge = np.append(penalty / spread**2, 0.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w)
        pull = -sign * share / (1 + np.exp(np.minimum(margin, 700)))
        value = share @ np.logaddexp(0, -margin) + 0.5 * ridge @ w**2
        return float(value), x.T @ pull + ridge * w

    def curvature(w: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-np.clip(x @ w, -700, 700)))
        return (x.T * (share * p * (1 - p))) @ x + np.diag(ridge)

    start = np.zeros(x.shape[1])
    found = scipy.optimize.minimize(
        loss, start, jac=True, hess=curvature, method="trust-exact", tol=1e-10
    ).x
    return found[:-1] / spread, float(found[-1])
