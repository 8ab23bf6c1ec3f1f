"""Who is hit, who dies, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cyto_kedro.algorithms.simulation.params import Killing

NONE, SPONTANEOUS, ATTACK = 0, 1, 2
CAUSES = ("none", "spontaneous", "attack")


@dataclass
class Fate:
    """Death clocks of all cells, in minutes from the first frame (inf: never).

    `onset` is the moment the membrane breaks: the death dye begins to enter. `hits` holds, per
    frame, arrays (effector, target, weight); `fatal_frame` is -1 before the fatal hit.
    """

    onset: NDArray[np.float64]
    cause: NDArray[np.int64]
    fatal_frame: NDArray[np.int64]
    damage: NDArray[np.float64]
    hits: list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = field(
        default_factory=list
    )


def draw_fate(
    rng: np.random.Generator, rate_per_h: NDArray[np.float64], dead_at_start: NDArray[np.float64]
) -> Fate:
    """Spontaneous deaths at a constant rate; some cells died two hours before the film."""
    n = len(rate_per_h)
    waiting = rng.standard_exponential(n)
    dead = rng.random(n) < dead_at_start
    mean = np.divide(60.0, rate_per_h, out=np.full(n, np.inf), where=rate_per_h > 0)
    onset = np.where(dead, -120.0, waiting * mean)
    cause = np.where(np.isfinite(onset), SPONTANEOUS, NONE)
    return Fate(onset, cause, np.full(n, -1), np.zeros(n))


def attack(
    rng: np.random.Generator,
    rule: Killing,
    fate: Fate,
    frame: int,
    now: float,
    dt: float,
    effector: NDArray[np.int64],
    target: NDArray[np.int64],
) -> None:
    """Let effectors in contact with targets at `frame` hit them; updates `fate`.

    `now`, `dt`: time of the frame and time since the frame before, minutes. `effector`, `target`:
    (p,) cells in contact.
    """
    if rule.rule == "spontaneous_only":
        return
    able = (fate.onset[effector] > now) & (fate.onset[target] > now)
    able &= fate.fatal_frame[target] < 0
    effector, target = effector[able], target[able]
    if rule.rule == "additive_hits":
        weight = np.full(len(target), dt)
        fate.damage += np.bincount(target, weight, minlength=len(fate.damage))
        dying = np.unique(target[fate.damage[target] >= rule.threshold_contact_min])
    else:
        hit = rng.random(len(target)) < -np.expm1(-rule.hit_rate_per_min * dt)
        order = rng.permutation(np.flatnonzero(hit))  # of two hits in a frame, either may be first
        dying, first = np.unique(target[order], return_index=True)
        effector, target = effector[order[first]], dying
        weight = np.ones(len(target))
    if len(target):
        fate.hits.append((frame, effector, target, weight))
    shape = rule.delay_cv**-2
    onset = now + rng.gamma(shape, rule.mean_delay_min / shape, len(dying))
    fate.fatal_frame[dying] = frame
    sooner = onset < fate.onset[dying]
    fate.onset[dying[sooner]] = onset[sooner]
    fate.cause[dying[sooner]] = ATTACK


def marker(onset: NDArray[np.float64], now: float, rise_min: float) -> NDArray[np.float64]:
    """Death dye in a cell, 0 to 1: ``1 - exp(-(now - onset) / rise)`` from the break on."""
    return -np.expm1(-np.maximum(now - onset, 0) / rise_min)


def own_dye(onset: NDArray[np.float64], now: float, rule: Killing) -> NDArray[np.float64]:
    """What is left of a cell's own dye, 1 while it lives."""
    return 1 - rule.fade * marker(onset, now, rule.fade_min)


def rounding(onset: NDArray[np.float64], now: float, rule: Killing) -> NDArray[np.float64]:
    """How far a dying cell has rounded up and shrunk, 0 to 1."""
    since = np.maximum(now - onset + rule.rounding_lead_min, 0)
    return -np.expm1(-since / rule.rounding_min)
