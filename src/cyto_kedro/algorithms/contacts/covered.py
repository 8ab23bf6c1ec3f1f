"""Cells that lie on a dead cell of another population: whose death marker is it?

An effector on the target that it has just killed is lit by the target's dye. It is judged by the
pixels that are its own alone (`tabulation.own_pixels`, columns of `schemas.Touches`). Where too few of
these are left no statistic of its pixels tells whether it is dead itself: that is unknown, not dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

#: own pixels from which on they decide, and their least share of the mask
LEAST_OWN_PX = 12
LEAST_OWN_SHARE = 0.1
#: of the light of the dead cell beside it: less is its halo, not a death of the cell's own
LEAST_OWN_LIGHT = 0.25
#: without own pixels (tables made by hand): share of a mask over a dead cell's from which on the
#: others no longer decide the median: at a quarter it is the 2/3 quantile of those
MOST_COVERED = 0.25
#: share of an outline within reach of a dead cell's mask: more is a cell within it, where one
#: population's mask was taken out of the other's, so that no pixel is shared
MOST_EMBEDDED = 0.5
_KEY = ["fov", "population", "frame", "label"]
#: judges cells of one population anew: its name, rows of `schemas.Cells` -> `schemas.Viability`
Judge = Callable[[str, pd.DataFrame], pd.DataFrame]


def covered_by_dead(
    cells: pd.DataFrame, viability: pd.DataFrame, touches: pd.DataFrame
) -> pd.DataFrame:
    """Cells called dead of which nobody can say so, since a dead cell's light lies on them.

    Of two cells of different populations within reach, both called dead, one is lit by the other if
    it has too few pixels of its own (of two such, the smaller), or if its marker stands out by less
    than a quarter of what the other's does. Without light of own pixels in `touches`: if it is the
    smaller, and much of it is covered or its marker stands out by less than that.

    Parameters
    ----------
    cells
        `schemas.Cells` of all populations; only keys and `area_px` are read.
    viability
        `schemas.Viability` of the same cells. Background is the median of the living of a
        population, or its least signal where none lives.
    touches
        `schemas.Touches` of the same frames.

    Returns
    -------
    pandas.DataFrame
        fov, population, frame, label; a cell once.

    Examples
    --------
    >>> cells = pd.DataFrame({"population": ["T", "N"], "label": 1, "area_px": [300.0, 80.0]})
    >>> cells = cells.assign(fov="A", frame=0)
    >>> viability = cells.assign(dead=True, marker_signal=[300.0, 240.0])
    >>> touches = pd.DataFrame({"fov": ["A"], "frame": 0, "population_a": "T", "label_a": 1,
    ...     "population_b": "N", "label_b": 1, "overlap_px": 60.0})
    >>> covered_by_dead(cells, viability, touches)["population"].tolist()
    ['N']
    """
    sides = _both_dead(cells, viability, touches)
    return sides.loc[sides["lit"], _KEY].drop_duplicates(ignore_index=True)


def without_covered(
    viability: Mapping[str, pd.DataFrame],
    cells: pd.DataFrame,
    touches: pd.DataFrame,
    judge: Judge | None = None,
) -> tuple[dict[str, pd.DataFrame], int]:
    """`schemas.Viability` by population without the cells of `covered_by_dead`, and their number.

    With `judge`, cells beside a dead one of another population are judged by their own pixels first,
    so that a living cell on a dead one is alive.
    """
    if judge is None:
        touches = touches.drop(columns=[name for name in touches if "_own_" in str(name)])
    else:
        viability = _by_own_light(viability, cells, touches, judge)
    together = pd.concat(viability.values(), ignore_index=True)
    unknown = pd.MultiIndex.from_frame(covered_by_dead(cells, together, touches))
    kept = {
        name: table[~pd.MultiIndex.from_frame(table[_KEY]).isin(unknown)].reset_index(drop=True)
        for name, table in viability.items()
    }
    return kept, len(unknown)


def _by_own_light(
    viability: Mapping[str, pd.DataFrame],
    cells: pd.DataFrame,
    touches: pd.DataFrame,
    judge: Judge,
) -> dict[str, pd.DataFrame]:
    """Viability in which cells beside dead ones, with pixels enough, are judged by these."""
    sides = _both_dead(cells, pd.concat(viability.values(), ignore_index=True), touches)
    channels = [str(name)[:-4] for name in sides if str(name).endswith("_own")]
    sides = sides[~sides["few"]]
    if not channels or sides.empty:
        return dict(viability)
    # of several dead neighbours the darkest own pixels are freest of all of them
    own = sides.groupby(_KEY)[[f"{channel}_own" for channel in channels]].min()
    judged = dict(viability)
    for name, table in viability.items():
        mine = own[own.index.get_level_values("population") == name]
        if mine.empty:
            continue
        again = cells.merge(mine.reset_index(), on=_KEY)
        for channel in channels:
            for stat in ("median", "mean"):
                again[f"{channel}_{stat}"] = again[f"{channel}_own"]
        found = judge(name, again.drop(columns=mine.columns)).set_index(_KEY)
        place = pd.MultiIndex.from_frame(table[_KEY])
        rest = table[~place.isin(found.index)]
        both = pd.concat([rest, found.reset_index()[table.columns]], ignore_index=True)
        judged[name] = both.sort_values(["frame", "label"], ignore_index=True)
    return judged


def _both_dead(cells: pd.DataFrame, viability: pd.DataFrame, touches: pd.DataFrame) -> pd.DataFrame:
    """Both sides of each pair of dead cells of different populations, a row each.

    Columns of the cell (`_KEY`), ``<channel>_own`` where `touches` has them, `few` (too few
    own pixels) and `lit` (its death cannot be told).
    """
    across = touches[touches["population_a"].to_numpy() != touches["population_b"].to_numpy()]
    light = viability[[*_KEY, "dead"]].assign(light=_above_background(viability))
    state = cells[[*_KEY, "area_px"]].merge(light, on=_KEY)
    state = state[state["dead"].astype(bool)].set_index(_KEY)[["area_px", "light"]]
    ends = {side: state.reindex(_named(across, side)) for side in "ab"}
    area = {side: end["area_px"].to_numpy(float) for side, end in ends.items()}
    light_of = {side: end["light"].to_numpy(float) for side, end in ends.items()}
    # both are called dead: one of the two may only be lit
    both = ~np.isnan(area["a"]) & ~np.isnan(area["b"])
    over = across["overlap_px"].to_numpy(float)
    columns = {side: [name for name in across if name.endswith(f"_own_{side}")] for side in "ab"}
    told = bool(columns["a"])
    n_own = {
        side: across[f"own_px_{side}"].to_numpy(float) if told else np.full(len(across), np.nan)
        for side in "ab"
    }
    few = {
        side: (n_own[side] < LEAST_OWN_PX) | (n_own[side] < LEAST_OWN_SHARE * area[side])
        for side in "ab"
    }
    parts = []
    for side, other in ("ab", "ba"):
        smaller = area[side] < area[other]
        dim = light_of[side] < LEAST_OWN_LIGHT * light_of[other]
        if told:
            lit = (few[side] & (smaller | ~few[other])) | (dim & ~few[side])
        else:
            covered = over / area[side] > MOST_COVERED
            covered |= (over == 0) & (_outline(across, side) > MOST_EMBEDDED)
            lit = (covered | dim) & smaller
        found = _named(across, side).to_frame(index=False).set_axis(_KEY, axis=1)
        found[[name[:-2] for name in columns[side]]] = across[columns[side]].to_numpy(float)
        parts.append(found.assign(few=few[side], lit=lit)[both])
    return pd.concat(parts, ignore_index=True)


def _above_background(viability: pd.DataFrame) -> pd.Series:
    """Marker signal of each cell above that of the living of its population."""
    signal, dead = viability["marker_signal"].astype(float), viability["dead"].astype(bool)
    by = viability["population"]
    living = signal.where(~dead).groupby(by).transform("median")
    return signal - living.fillna(signal.groupby(by).transform("min"))


def _named(touches: pd.DataFrame, side: str) -> pd.MultiIndex:
    names = ["fov", f"population_{side}", "frame", f"label_{side}"]
    return pd.MultiIndex.from_frame(touches[names], names=_KEY)


def _outline(touches: pd.DataFrame, side: str) -> np.ndarray:
    """Share of the outline of each cell of `side` within reach of the other; 0 where not measured."""
    name = f"perimeter_share_{side}"
    if name not in touches:
        return np.zeros(len(touches))
    return np.nan_to_num(touches[name].to_numpy(float))
