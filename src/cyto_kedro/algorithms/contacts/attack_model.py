"""A likelihood of who dies when, given who was touched when; fitted to all targets of an assay.

Contact does harm. A target takes a fatal hit when its contact time, summed over effectors, passes a
threshold drawn from a gamma distribution with mean ``lethal_min`` and shape ``hits``; it is seen
dead a delay later, drawn from a gamma distribution with mean ``delay_min`` and coefficient of
variation ``delay_cv``. Besides, targets die by themselves at a constant rate, ``background``.

A gamma threshold of shape k is the law of the k-th hit of a Poisson process (Ross 2014,
Introduction to Probability Models, section 5.3), so ``hits`` = 1 says that every minute of contact
carries the same chance of a fatal hit, and larger values that damage adds up (additive
cytotoxicity: Weigelin et al. 2021, doi:10.1038/s41467-021-25282-3), up to a fixed dose.

With D(t) the contact time up to t, F the law of the threshold and G that of the delay, the part of
frame m in the fatal hit is ``p_m = F(D after m) - F(D before m)``, and for a target watched from
``entry`` on::

    dies in (a, b]    exp(-background (a - entry)) [A + (1 - exp(-background (b - a))) S(a)]
    lives up to c     exp(-background (c - entry)) S(c)

    A = sum_m p_m [G(b - t_m) - G(a - t_m)],    S(t) = 1 - sum_m p_m G(t - t_m)

where t_m is the middle of what frame m stands for. Targets out of contact, and all frames before
a contact, count with their time at risk: nobody is selected by outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from cyto_kedro.algorithms.contacts.exposure import Exposure, moments_of

_TINY = 1e-12
_STARTS = 3  # of six places, those of least cost
_FREE = ("lethal_min", "hits", "delay_min", "delay_cv", "background_per_min")


@dataclass(frozen=True)
class AttackModel:
    """The five numbers of the model, times in minutes."""

    lethal_min: float
    hits: float
    delay_min: float
    delay_cv: float
    background_per_min: float

    def fatal(self, contact: np.ndarray) -> np.ndarray:
        """Chance that the threshold lies below this much contact (F)."""
        return scipy.special.gammainc(self.hits, self.hits * contact / self.lethal_min)

    def seen(self, since: np.ndarray) -> np.ndarray:
        """Chance that a target is seen dead this long after a fatal hit (G)."""
        shape = self.delay_cv**-2
        return scipy.special.gammainc(shape, shape * np.maximum(since, 0) / self.delay_min)


@dataclass(frozen=True)
class Priors:
    """Log-normal priors: median and sd of the logarithm of each number, by name."""

    median: AttackModel
    log_sd: dict[str, float]

    def cost(self, model: AttackModel) -> float:
        """Minus the log density, up to a constant."""
        z = [
            np.log(getattr(model, name) / getattr(self.median, name)) / sd
            for name, sd in self.log_sd.items()
        ]
        return 0.5 * float(np.sum(np.square(z)))


class _Few:
    """Columns of minutes, of which many are equal: a function is evaluated once for each value.

    Frames come at equal steps in most films, so an assay has a hundred times as many rows as values.
    They are rounded to 1e-7 min, since equal steps differ in the last digits of their sums.
    """

    def __init__(self, *columns: np.ndarray) -> None:
        stacked = np.round(np.concatenate(columns), 7)
        self._values, places = np.unique(stacked, return_inverse=True)
        self._places = np.split(places.astype(np.int32), len(columns))
        self._found: dict[tuple[float, ...], list[np.ndarray]] = {}

    def of(
        self, function: Callable[[np.ndarray], np.ndarray], numbers: tuple[float, ...]
    ) -> list[np.ndarray]:
        """What `function` says of each row of each column; kept for the last `numbers` it hangs on.

        A gradient by differences moves one number at a time, so most are what they were.
        """
        if numbers not in self._found:
            while len(self._found) > 2:
                del self._found[next(iter(self._found))]
            found = function(self._values)
            self._found[numbers] = [found[places] for places in self._places]
        self._found[numbers] = self._found.pop(numbers)  # the last used goes last
        return self._found[numbers]


class Histories:
    """The arrays of the likelihood, of one field or several."""

    def __init__(self, exposures: Sequence[Exposure]) -> None:
        starts = np.cumsum([0, *(len(each.targets) for each in exposures)])
        attacks = [
            each.attacks.assign(target=each.attacks["target"] + start)
            for each, start in zip(exposures, starts[:-1], strict=True)
        ]
        self.targets = pd.concat([each.targets for each in exposures], ignore_index=True)
        self.attacks = pd.concat(attacks, ignore_index=True)
        self.entry, self.before, self.at = (
            self.targets[name].to_numpy(float) for name in ("entry", "before", "at")
        )
        self.died = self.targets["died"].to_numpy(bool)
        self.moments = moments_of(self.attacks)
        target, time = self.moments["target"], self.moments["time"]
        self._contact = _Few(self.moments["low"], self.moments["high"])
        self._since = _Few(self.before[target] - time, self.at[target] - time)

    def __len__(self) -> int:
        return len(self.targets)

    def parts(self, model: AttackModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per moment its part in the attack, per target A (0 where it lives) and S(before)."""
        moments = self.moments
        low, high = self._contact.of(model.fatal, (model.hits, model.lethal_min))
        fatal = high - low
        before, at = self._since.of(model.seen, (model.delay_cv, model.delay_min))
        part, n = fatal * (at - before), len(self)
        attack = np.bincount(moments["target"], part, minlength=n)
        done = np.bincount(moments["target"], fatal * before, minlength=n)
        return part, attack, np.maximum(1 - done, _TINY)

    def background(self, model: AttackModel, alive: np.ndarray) -> np.ndarray:
        """Chance of each target to die by itself in its interval, given S(before)."""
        return -np.expm1(-model.background_per_min * (self.at - self.before)) * alive

    def log_likelihood(self, model: AttackModel) -> float:
        """Of all targets."""
        _, attack, alive = self.parts(model)
        own = self.background(model, alive)
        event = np.where(self.died, attack + own, alive)
        risk = model.background_per_min * (self.before - self.entry)
        return float(np.log(np.maximum(event, _TINY)).sum() - risk.sum())


def fit(
    histories: Histories, priors: Priors, fixed: dict[str, float], least_hits: float = 1.0
) -> AttackModel:
    """The numbers of largest posterior density; those in `fixed` are given.

    The density may have several peaks (much contact and a short delay, or little and a long one),
    so the search starts from several places.
    """
    names = [name for name in _FREE if name not in fixed]
    base = replace(priors.median, **fixed)
    if not names or not len(histories):
        return base

    def made(logs: np.ndarray) -> AttackModel:
        return replace(base, **dict(zip(names, np.exp(logs).tolist(), strict=True)))

    def cost(logs: np.ndarray) -> float:
        model = made(logs)
        return priors.cost(model) - histories.log_likelihood(model)

    limits = {"hits": (np.log(least_hits), np.log(50.0)), "delay_cv": (np.log(0.1), np.log(2.0))}
    starts = []
    for delay in (0.4, 1.0, 3.0):
        for hits in (1.3, 8.0) if "hits" in names else (base.hits,):
            start = replace(base, hits=hits)
            if "delay_min" in names:
                start = replace(start, delay_min=base.delay_min * delay)
            starts.append(np.log([getattr(start, name) for name in names]))
    found = []
    for logs in sorted(starts, key=cost)[:_STARTS]:
        near = dict(zip(names, logs.tolist(), strict=True))
        bounds = [limits.get(name, (near[name] - 7, near[name] + 7)) for name in names]
        found.append(scipy.optimize.minimize(cost, logs, method="L-BFGS-B", bounds=bounds))
    return made(min(found, key=lambda each: float(each.fun)).x)
