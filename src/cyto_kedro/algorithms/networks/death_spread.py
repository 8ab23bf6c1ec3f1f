"""Does a death make deaths near it likelier? Deaths held against the cells at risk beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
import pandas as pd
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.networks.field import FieldCells
from cyto_kedro.algorithms.networks.measures import lengths, triangulate
from cyto_kedro.core.clock import Clock
from cyto_kedro.core.keys import MISSING, divide, fov_of
from cyto_kedro.core.units import Lengths, PositiveDuration
from cyto_kedro.schemas import TableOf

# fewer deaths than this say next to nothing
_FEW = 10


class Spread(TypedDict):
    """One row per pair of populations with fates, distance and kind of comparison."""

    death_spread: TableOf[schemas.DeathSpread]


class DeathSpread(Algorithm):
    """Whether cells near a death die sooner than others, against chance among cells at risk.

    Notes
    -----
    A cell is exposed from the frame after a death of population a within `max_distance` of it,
    centre to centre in the frame of that death (where each was last seen by then), until the window
    has passed. With `near` ``neighbours`` it must besides share an edge of the Delaunay triangulation
    of all tracks in view with it: who is next to a death does not depend on how dense the cells lie.
    At each frame with
    deaths of population b, those that die are held against all of b at risk: alive, seen before, not
    yet lost. If deaths do not spread, each of these is as likely to be the one, so the number of
    exposed among D deaths is hypergeometric, and their sum over frames has an exact distribution,
    from which `p_value` comes (one-sided; the permutation of deaths among cells at risk, all of them
    counted). `hazard_ratio` is Mantel & Haenszel's over the frames, with the interval of Robins,
    Breslow & Greenland (1986). `knox_pairs` counts pairs of deaths near in space and time (Knox
    1964); its p-value is by `n_permutations` drawn ones.

    Deaths also cluster where the killers are. Compared within "frame and contact", a death is held
    against cells that are alike in having been touched by an effector in the window before, or not.
    What else differs from place to place is not made up for, and deaths in one frame, whose order is
    unknown, do not expose each other.

    Examples
    --------
    Of four targets one dies at frame 1, its neighbour at frame 2, the two far away live on:

    >>> points = pd.DataFrame({"frame": np.repeat(range(4), 4), "track_id": [1, 2, 3, 4] * 4})
    >>> points = points.assign(fov="A1", population="T", x_px=points["track_id"].map(
    ...     {1: 0.0, 2: 1.0, 3: 50.0, 4: 60.0}), y_px=0.0, time_min=np.nan)
    >>> fates = pd.DataFrame({"track_id": [1, 2, 3, 4], "death_frame": [1, 2, None, None]}).assign(
    ...     fov="A1", population="T", first_frame=0, last_frame=3, dead_at_first_sight=False)
    >>> fates = fates.assign(died=fates["death_frame"].notna())
    >>> spread = DeathSpread(max_distances_px=(5,), window_frames=2)
    >>> row = spread(track_points=points, fates=fates)["death_spread"].iloc[0]
    >>> int(row["n_exposed"]), round(float(row["expected_exposed"]), 2)
    (1, 0.33)
    """

    version: ClassVar[int] = 3

    max_distances: Lengths = Field(description="reach of a death, one or more")
    window: PositiveDuration = Field(description="how long a death acts")
    near: Literal["distance", "neighbours"] = Field(
        default="distance",
        description="near a death is: within max_distances, or a neighbour in the triangulation of the "
        "cells in view, at most that far",
    )
    n_permutations: int = Field(default=999, ge=1, description="for the Knox test")
    seed: int = Field(default=0, ge=0, description="of these")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        fates: TableOf[schemas.Fates],
        contacts: TableOf[schemas.Contacts] | None = None,
        populations: Mapping[str, str] | None = None,
        fov: str | None = None,
        pixel_size_um: float | None = None,
    ) -> Spread:
        """Compare the deaths of one field; `populations` says which are effectors (name -> role).

        Raises
        ------
        InputError
            If tables of several fields are given.
        ConfigError
            If distances are in µm and the field is not calibrated, or the window is in minutes and
            times are unknown.
        """
        fov_of(track_points, fates)
        cells = FieldCells(track_points, fov, pixel_size_um=pixel_size_um)
        reach = self.max_distances.in_px("max_distances", pixel_size_um)
        film = _Film(cells, fates, self._back(cells, track_points))
        groups = {"frame": np.zeros((len(film.frames), len(film.track)), bool)}
        if contacts is not None and populations and "effector" in populations.values():
            groups["frame and contact"] = film.touched(contacts, populations)
        rows = [
            {
                "population_a": a,
                "population_b": b,
                "max_distance_px": limit,
                "compared_within": within,
                **self._compare(film, film.exposed(a, b, limit, self.near), group, a, b),
            }
            for a in film.populations
            for b in film.populations
            for limit in reach
            for within, group in groups.items()
        ]
        if not rows:
            return {"death_spread": schemas.empty(schemas.DeathSpread)}
        table = pd.DataFrame(rows).assign(
            fov=cells.fov,
            window_frames=self.window.frames,
            window_min=self.window.min,
            near=self.near,
            max_distance_um=lambda t: t["max_distance_px"] * cells.pixel_size_um,
        )
        return {"death_spread": schemas.conform(schemas.DeathSpread, table)}

    def _back(self, cells: FieldCells, points: pd.DataFrame) -> Any:
        """A function of frames: the first one that is no more than the window before each."""
        time = Clock(points)(np.arange(int(cells.frame.max(initial=-1)) + 1))
        known = np.flatnonzero(~np.isnan(time))
        window, timed = self.window.timed("window", not np.isnan(time[cells.frame]).any())
        if not timed:
            return lambda frame: np.maximum(frame - int(window), 0)

        def first(frame: np.ndarray) -> np.ndarray:
            earliest = time[frame] - window - 1e-9
            return known[np.searchsorted(time[known], earliest)]

        return first

    def _compare(
        self, film: _Film, exposure: np.ndarray, group: np.ndarray, a: str, b: str
    ) -> dict[str, Any]:
        """All numbers of one row; `exposure` and `group` are (death frames, tracks)."""
        risk, dies = film.risk & (film.population == b), film.dies & (film.population == b)
        # one 2 x 2 table for each frame and each of the two kinds of cells in it
        kinds = np.stack([risk & ~group, risk & group])
        n = kinds.sum(axis=2).ravel()
        m = (kinds & (exposure > 0)).sum(axis=2).ravel()
        d = (kinds & dies).sum(axis=2).ravel()
        x = (kinds & dies & (exposure > 0)).sum(axis=2).ravel()
        held = (d > 0) & (n > d)
        n, m, d, x = n[held], m[held], d[held], x[held]
        kinds = kinds.reshape(-1, len(film.track))[held]
        counts = np.tile(exposure, (2, 1))[held]
        knox = [
            row[kind & die]
            for row, kind, die in zip(counts, kinds, np.tile(dies, (2, 1))[held], strict=True)
        ]
        pairs = int(sum(each.sum() for each in knox))
        at_risk = [row[kind] for row, kind in zip(counts, kinds, strict=True)]
        knox_expected = float(sum(k * each.mean() for k, each in zip(d, at_risk, strict=True)))
        expected = float((d * m / n).sum())
        ratio, low, high = _mantel_haenszel(x, m - x, d - x, n - m - d + x)
        informative = bool(((m > 0) & (m < n)).any())
        sources, deaths = int((film.died & (film.population == a)).sum()), int(d.sum())
        return {
            "n_sources": sources,
            "n_deaths": deaths,
            "n_exposed": int(x.sum()),
            "expected_exposed": expected,
            "ratio": float(divide(x.sum(), expected)),
            "hazard_ratio": ratio,
            "hazard_ratio_low": low,
            "hazard_ratio_high": high,
            "p_value": _exact_p(x, n, m, d) if informative else np.nan,
            "knox_pairs": pairs,
            "knox_expected": knox_expected,
            "knox_ratio": float(divide(pairs, knox_expected)),
            "knox_p": self._drawn_p(pairs, at_risk, d) if informative else np.nan,
            "note": _note(sources, deaths, informative),
        }

    def _drawn_p(self, pairs: int, at_risk: list[np.ndarray], d: np.ndarray) -> float:
        """Share of permutations, the real one among them, with at least as many pairs."""
        rng = np.random.default_rng(self.seed)
        total = np.zeros(self.n_permutations, np.int64)
        for counts, k in zip(at_risk, d.tolist(), strict=True):
            if not counts.any():
                continue
            if k == 1:
                total += counts[rng.integers(len(counts), size=len(total))]
            else:
                order = rng.random((len(total), len(counts))).argpartition(k - 1, axis=1)[:, :k]
                total += counts[order].sum(axis=1)
        return float((1 + (total >= pairs).sum()) / (1 + len(total)))


class _Film:
    """Tracks with a fate, and who was at risk and who died at each frame with deaths.

    Attributes
    ----------
    frames
        (F,) frames with deaths.
    track, population, died
        (N,) of each track.
    since, until
        (N,) first and last frame of each, dead ones too.
    risk, dies
        (F, N) truth values.
    """

    def __init__(self, cells: FieldCells, fates: pd.DataFrame, back: Any) -> None:
        fates = fates.sort_values(["population", "track_id"], ignore_index=True)
        self.cells = cells
        self.population = fates["population"].to_numpy(object)
        self.populations: list[str] = sorted(set(self.population))
        self.track = fates["track_id"].to_numpy(np.int64)
        self.died = fates["died"].to_numpy(bool)
        death = fates["death_frame"].astype("Int64").fillna(MISSING).to_numpy(np.int64)
        self.death = np.where(self.died, death, MISSING)
        self.since = first = fates["first_frame"].to_numpy(np.int64)
        self.until = fates["last_frame"].to_numpy(np.int64)
        last = np.where(self.died, self.death, fates["last_frame"].to_numpy(np.int64))
        alive = ~fates["dead_at_first_sight"].to_numpy(bool)
        self.frames = np.unique(self.death[self.died])
        now = self.frames[:, None]
        # who dies at `now` was seen alive before it
        self.risk = alive & (first < now) & (now <= last)
        self.dies = self.risk & (self.death == now)
        self.first = back(self.frames) if len(self.frames) else self.frames

    def exposed(self, a: str, b: str, limit: float, by: str) -> np.ndarray:
        """Number (F, N) of deaths of a near each track of b in the window before each frame.

        By ``distance``, or by edges of the triangulation of all tracks in view (``neighbours``).
        """
        from scipy.spatial import cKDTree

        found = np.zeros((len(self.frames), len(self.track)), np.int64)
        here = self._rows()
        for i, frame in enumerate(self.frames):
            at = here[i]
            dying = np.flatnonzero((self.death == frame) & (self.population == a) & (at != MISSING))
            others = np.flatnonzero((self.population == b) & (at != MISSING))
            if not len(dying) or not len(others):
                continue
            xy = self.cells.xy
            if by == "neighbours":
                hit = self._neighbours(xy[at], (at != MISSING) & self.there(frame), dying, limit)
                hit[self.population != b] = 0
            else:
                near = cKDTree(xy[at[others]]).query_ball_point(xy[at[dying]], limit)
                hit = np.bincount(
                    np.concatenate([others[np.array(each, np.int64)] for each in near]),
                    minlength=len(self.track),
                )
                hit[dying] -= self.population[dying] == b  # none is near itself
            later = (self.frames > frame) & (self.first <= frame)
            found[later] += hit
        return found

    def there(self, frame: int) -> np.ndarray:
        """(N,) whether each track is in view at `frame`, a dying one among them, dead or alive."""
        seen = (self.since <= frame) & (frame <= self.until)
        return seen | (self.death == frame)

    def _neighbours(
        self, xy: np.ndarray, there: np.ndarray, dying: np.ndarray, limit: float
    ) -> np.ndarray:
        """(N,) how many of `dying` each track is joined to by an edge no longer than `limit`."""
        who = np.flatnonzero(there)
        edges = triangulate([xy[who]], np.array([0, len(who)]))
        edges = edges[lengths(xy[who], edges) <= limit * (1 + 1e-9)]
        both = np.concatenate([edges, edges[:, ::-1]])
        of_dying = np.isin(who[both[:, 0]], dying)
        return np.bincount(who[both[of_dying, 1]], minlength=len(self.track))

    def touched(self, contacts: pd.DataFrame, roles: Mapping[str, str]) -> np.ndarray:
        """(F, N) whether an effector touched the track in the window up to each frame."""
        found = np.zeros((len(self.frames), len(self.track)), bool)
        place = pd.MultiIndex.from_arrays([self.population, self.track])
        for one, other in ("ab", "ba"):
            by = contacts[contacts[f"population_{other}"].map(roles) == "effector"]
            at = place.get_indexer(
                pd.MultiIndex.from_arrays([by[f"population_{one}"], by[f"track_id_{one}"]])
            )
            frame = by["frame"].to_numpy()
            for i, (first, now) in enumerate(zip(self.first, self.frames, strict=True)):
                found[i, at[(at != MISSING) & (frame >= first) & (frame <= now)]] = True
        return found

    def _rows(self) -> np.ndarray:
        """Row (F, N) of each track among the cells, at each frame with deaths or last before it.

        A death may be known by a body alone: the dying track ended before, where it was last seen.
        """
        wanted = pd.DataFrame(
            {
                "population": np.tile(self.population, len(self.frames)),
                "track_id": np.tile(self.track, len(self.frames)),
                "frame": np.repeat(self.frames, len(self.track)),
            }
        )
        return self.cells.rows_of(wanted, or_before=True).reshape(len(self.frames), len(self.track))


def _exact_p(x: np.ndarray, n: np.ndarray, m: np.ndarray, d: np.ndarray) -> float:
    """Chance that sums of hypergeometric numbers reach ``x.sum()``, by convolution."""
    from scipy.stats import hypergeom

    whole = np.ones(1)
    for size, marked, drawn in zip(n, m, d, strict=True):
        whole = np.convolve(whole, hypergeom.pmf(np.arange(drawn + 1), size, marked, drawn))
    return float(np.clip(whole[int(x.sum()) :].sum(), 0, 1))


def _mantel_haenszel(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> tuple[float, float, float]:
    """Common odds ratio of 2 x 2 tables, and its 95 % interval; null where it cannot be known."""
    n = a + b + c + d
    r, s = a * d / n, b * c / n
    if not r.sum() or not s.sum():
        return (0.0 if s.sum() else float("nan")), float("nan"), float("nan")
    p, q = (a + d) / n, (b + c) / n
    ratio = float(r.sum() / s.sum())
    variance = (
        (p * r).sum() / (2 * r.sum() ** 2)
        + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
        + (q * s).sum() / (2 * s.sum() ** 2)
    )
    width = float(np.exp(1.959964 * np.sqrt(variance)))
    return ratio, ratio / width, ratio * width


def _note(sources: int, deaths: int, informative: bool) -> str:
    if not sources or not deaths:
        return "no deaths that could spread" if not sources else "no deaths with others at risk"
    if not informative:
        return "at no death were cells both with and without an earlier death near them at risk"
    return f"fewer than {_FEW} deaths" if deaths < _FEW else ""
