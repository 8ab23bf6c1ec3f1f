"""The simulated world: where every cell is, its outline, its contacts and its death."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cyto_kedro.algorithms.simulation import killing, motion, outlines
from cyto_kedro.algorithms.simulation.params import Cells, Effectors, Killing, Targets

_HARMONIC_SD = np.array([1.0, 0.45, 0.3])
_DEAD_SPEED = 0.05  # a dead cell is only jostled
_BURN_IN_FRAMES = 10


@dataclass(frozen=True)
class World:
    """T frames of n cells in a periodic square of `side_um`; effectors come first."""

    side_um: float
    margin_um: float
    #: (T,) from the first frame
    time_min: NDArray[np.float64]
    #: (T, n, 2) as (y, x), the view starting at `margin_um`
    position_um: NDArray[np.float64]
    #: radius_um, coefs: (T, n) and (T, n, 3): the outlines (see `outlines`)
    radius_um: NDArray[np.float64]
    coefs: NDArray[np.complex128]
    #: (T, n) death dye taken up, 0 to 1
    marker: NDArray[np.float64]
    #: (n,) bool
    is_target: NDArray[np.bool_]
    #: death clocks and hits
    fate: killing.Fate
    #: pairs of cells, i < j, whose outlines are within reach: frame, i, j, gap_um, length_um,
    #: overlap_um2
    contacts: pd.DataFrame


@dataclass
class _State:
    """What moves: positions, velocities, outline coefficients, and who sticks to whom."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    coefs: NDArray[np.complex128]
    bound: NDArray[np.int64]
    clinging: NDArray[np.int64]  # pairs of one kind, i * n + j, i < j, in order
    rested_at: NDArray[np.float64]


class _Simulator:
    def __init__(
        self,
        rng: np.random.Generator,
        counts: tuple[int, int],
        effectors: Effectors,
        targets: Targets,
        rule: Killing,
        side_um: float,
        touch_um: float,
    ) -> None:
        self.rng, self.effectors, self.rule = rng, effectors, rule
        self.side, self.touch = side_um, touch_um
        self.is_target = np.repeat([False, True], counts)

        def per_cell(name: str) -> NDArray[np.float64]:
            return np.repeat([float(getattr(kind, name)) for kind in (effectors, targets)], counts)

        n = sum(counts)
        size = 1 + per_cell("diameter_cv") * np.clip(rng.standard_normal(n), -2, 2)
        self.radius = per_cell("diameter_um") / 2 * size
        self.speed = per_cell("speed_um_per_min")
        self.persistence = per_cell("persistence_min")
        self.mobility = per_cell("mobility")
        self.memory = per_cell("deformation_min")
        self.cling_rate, self.cling_min = per_cell("cling_rate_per_min"), per_cell("cling_min")
        self.pile = per_cell("pile")
        self.shape_sd = per_cell("irregularity")[:, None] * _HARMONIC_SD
        self.fate = killing.draw_fate(rng, per_cell("death_rate_per_h"), per_cell("dead_at_start"))
        spread = per_cell("speed_cv")
        if spread.any():
            self.speed = self.speed * np.exp(spread * rng.standard_normal(n))
        self.overlap = np.zeros(n)
        if effectors.overlap:
            self.overlap[: counts[0]] = effectors.overlap * rng.random(counts[0])
        sd = self.speed[:, None] / np.sqrt(2)
        shape = rng.standard_normal((2, n, 3))
        self.state = _State(
            position=self._placed(per_cell("cluster_size")),
            velocity=sd * rng.standard_normal((n, 2)),
            coefs=self.shape_sd * (shape[0] + 1j * shape[1]) / np.sqrt(2),
            bound=np.full(n, -1),
            clinging=np.zeros(0, np.int64),
            rested_at=np.full(n, -np.inf),
        )

    def _placed(self, cluster_size: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where cells are put down: anywhere, or about a cell of their kind put down before."""
        n, rng = len(cluster_size), self.rng
        position = rng.random((n, 2)) * self.side
        joins = 1 - 1 / cluster_size  # share that is not the first of its cluster
        if joins.any():
            chance, pick = rng.random((2, n))
            beside = 2 * self.radius[:, None] * rng.standard_normal((n, 2))
            for cell in np.flatnonzero(chance < joins).tolist():  # each may join those before it
                first = 0 if not self.is_target[cell] else int(np.argmax(self.is_target))
                if cell > first:
                    other = first + int(pick[cell] * (cell - first))
                    position[cell] = position[other] + beside[cell]
        return np.mod(position, self.side)

    def depth(self, pairs: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """How far the outlines of pairs may overlap; None: none may."""
        if not (self.pile.any() or self.overlap.any()):
            return None
        i, j = pairs[:, 0], pairs[:, 1]
        own = 2 * np.minimum(self.radius[i], self.radius[j]) * self.pile[i]
        return np.where(
            self.is_target[i] == self.is_target[j], own, 2 * self.radius[i] * self.overlap[i]
        )

    def shape(self, now: float) -> outlines.Shape:
        """Radii and outline coefficients at time `now`."""
        done = killing.rounding(self.fate.onset, now, self.rule)
        radius = self.radius * (1 - self.rule.shrink * done)
        return radius, outlines.limited(self.state.coefs) * (1 - 0.9 * done)[:, None]

    def pairs(self, shape: outlines.Shape, within: float) -> NDArray[np.int64]:
        """Pairs whose outlines may be at most `within` apart."""
        far = outlines.reach(*shape)
        if len(far) < 2:
            return np.zeros((0, 2), dtype=np.int64)
        near = motion.close_pairs(self.state.position, self.side, 2 * far.max() + within)
        delta = self.delta(near)
        reach = far[near].sum(axis=1) + within
        return near[np.hypot(delta[:, 0], delta[:, 1]) <= reach]

    def delta(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Vectors between the centres of pairs."""
        position = self.state.position
        return motion.nearest_image(position[pairs[:, 1]] - position[pairs[:, 0]], self.side)

    def relax(self, now: float, rounds: int) -> None:
        """Push overlapping cells apart."""
        shape, state = self.shape(now), self.state
        pairs = self.pairs(shape, 1.0)
        moved = motion.push_apart(
            state.position, shape, self.mobility, pairs, state.bound, self.side, rounds,
            np.isin(self._code(pairs), state.clinging), self.depth(pairs),
        )  # fmt: skip
        # Rounding keeps the last bits of sin and exp, which differ between processors, from
        # growing into another film.
        state.position = np.mod(moved, self.side).round(7)

    def step(self, now: float, dt: float) -> None:
        """Advance to time `now` by `dt` minutes."""
        state, rng = self.state, self.rng
        moved, velocity = motion.persistent_step(
            rng, state.velocity, self.speed, self.persistence, dt
        )
        dead = self.fate.onset <= now
        slow = np.where(state.bound >= 0, self.effectors.bound_speed_fraction, 1.0)
        moved *= np.where(dead, _DEAD_SPEED, slow)[:, None]
        state.position = np.mod(state.position + moved, self.side)
        state.velocity = velocity.round(9)
        coefs = motion.deform(rng, state.coefs, self.shape_sd, self.memory, dt)
        state.coefs = coefs.round(9)
        self.relax(now, rounds=4)
        self.stick(now, dt)
        if self.cling_rate.any():
            self.cling(now, dt)

    def _code(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        return pairs[:, 0] * len(self.is_target) + pairs[:, 1]

    def cling(self, now: float, dt: float) -> None:
        """Cells of one kind let go of each other, and stick where they touch."""
        state, shape = self.state, self.shape(now)
        first = state.clinging // len(self.is_target)
        stays = self.rng.random(len(first)) < np.exp(-dt / self.cling_min[first])
        pairs = self.pairs(shape, self.touch)
        pairs = pairs[self.is_target[pairs[:, 0]] == self.is_target[pairs[:, 1]]]
        sides = (outlines.take(shape, pairs[:, side]) for side in (0, 1))
        gap, _ = outlines.line_gaps(self.delta(pairs), *sides)
        chance = -np.expm1(-self.cling_rate[pairs[:, 0]] * dt)
        new = (gap <= self.touch) & (self.rng.random(len(pairs)) < chance)
        state.clinging = np.union1d(state.clinging[stays], self._code(pairs[new]))

    def stick(self, now: float, dt: float) -> None:
        """Effectors let go of targets, and stick to living ones that they touch."""
        state, dead = self.state, self.fate.onset <= now
        chance = self.rng.random((2, len(dead)))
        leave = (chance[0] < -np.expm1(-dt / self.effectors.dwell_min)) | dead
        leave &= state.bound >= 0
        state.bound[leave] = -1
        state.rested_at[leave] = now + self.effectors.rest_min
        shape = self.shape(now)
        pairs = self.pairs(shape, self.touch)
        mixed = pairs[self.is_target[pairs[:, 1]] & ~self.is_target[pairs[:, 0]]]
        effector, target = mixed[:, 0], mixed[:, 1]
        sides = outlines.take(shape, effector), outlines.take(shape, target)
        gap, _ = outlines.line_gaps(self.delta(mixed), *sides)
        free = (gap <= self.touch) & ~dead[effector] & ~dead[target] & (state.bound[effector] < 0)
        free &= state.rested_at[effector] <= now
        free &= chance[1][effector] < -np.expm1(-self.effectors.bind_rate_per_min * dt)
        nearest = np.argsort(gap[free], kind="stable")
        who, first = np.unique(effector[free][nearest], return_index=True)
        state.bound[who] = target[free][nearest][first]

    def touching(self, shape: outlines.Shape) -> pd.DataFrame:
        """All pairs of outlines within reach."""
        pairs = self.pairs(shape, self.touch)
        first, second = (outlines.take(shape, pairs[:, k]) for k in (0, 1))
        gap, length, overlap = outlines.contacts(self.delta(pairs), first, second, self.touch)
        near = gap <= self.touch
        return pd.DataFrame(
            {
                "i": pairs[near, 0],
                "j": pairs[near, 1],
                "gap_um": gap[near],
                "length_um": length[near],
                "overlap_um2": overlap[near],
            }
        )


def substeps(interval_min: float, kinds: tuple[Cells, ...]) -> int:
    """Steps per frame, so that a cell moves at most about a quarter of its diameter in one."""
    most = max(kind.speed_um_per_min / kind.diameter_um for kind in kinds)
    return max(2, int(np.ceil(4 * most * interval_min)))


def simulate(
    rng: np.random.Generator,
    time_min: NDArray[np.float64],
    counts: tuple[int, int],
    effectors: Effectors,
    targets: Targets,
    rule: Killing,
    side_um: float,
    margin_um: float,
    touch_um: float,
    interval_min: float,
) -> World:
    """Run the assay.

    Cells are put down at random, pushed apart and left to move for ten frames before the film
    starts; killing starts with the film. Hits happen at frames, between cells that the truth's
    contacts say are in touch.

    `counts`: number of effectors and of targets in the whole periodic plane. `time_min`: (T,) times
    of the frames. `interval_min`: nominal time between frames: of the burn-in, and before the first
    frame.
    """
    sim = _Simulator(rng, counts, effectors, targets, rule, side_um, touch_um)
    n_sub = substeps(interval_min, (effectors, targets))
    sim.relax(0.0, rounds=100)
    for _ in range(_BURN_IN_FRAMES * n_sub):
        sim.step(0.0, interval_min / n_sub)
    sim.state.rested_at[:] = -np.inf
    rows, touching = [], []
    for frame, now in enumerate(time_min):
        dt = now - time_min[frame - 1] if frame else interval_min
        n = n_sub * max(1, int(dt / interval_min))  # a pause takes more steps
        for sub in range(n if frame else 0):
            sim.step(now - dt * (1 - (sub + 1) / n), dt / n)
        shape = sim.shape(now)  # before the hits: what is filmed is what touched
        pairs = sim.touching(shape)
        touching.append(pairs.assign(frame=frame))
        i, j = pairs["i"].to_numpy(), pairs["j"].to_numpy()
        mixed = sim.is_target[j] & ~sim.is_target[i]
        killing.attack(rng, rule, sim.fate, frame, float(now), float(dt), i[mixed], j[mixed])
        rows.append(
            (sim.state.position, *shape, killing.marker(sim.fate.onset, now, rule.rise_min))
        )
    position, radius, coefs, marker = (np.stack(column) for column in zip(*rows, strict=True))
    return World(
        side_um, margin_um, time_min, position, radius, coefs, marker, sim.is_target, sim.fate,
        pd.concat(touching, ignore_index=True),
    )  # fmt: skip
