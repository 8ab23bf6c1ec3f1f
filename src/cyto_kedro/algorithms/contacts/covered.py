"""Cells that lie on a dead cell of another population: whose death marker is it?

An effector on the target that it has just killed is lit by the target's dye. Where much of a mask
lies over a dead cell's, no statistic of its pixels tells whether it is dead itself: that is unknown,
not dead.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

#: share of a mask over a dead cell's from which on its own pixels no longer decide the median: at a
#: quarter the median is the 2/3 quantile of the pixels that are the cell's own alone
MOST_COVERED = 0.25
#: share of an outline within reach of a dead cell's mask: more is a cell within it, where one
#: population's mask was taken out of the other's, so that no pixel is shared
MOST_EMBEDDED = 0.5
#: of the light of the dead cell beside it: less is its halo, not a death of the cell's own
LEAST_OWN_LIGHT = 0.25
_KEY = ["fov", "population", "frame", "label"]


def covered_by_dead(
    cells: pd.DataFrame, viability: pd.DataFrame, touches: pd.DataFrame
) -> pd.DataFrame:
    """Cells called dead of which nobody can say so, since a dead cell's light lies on them.

    Of two cells within reach the smaller is lit by the other if much of it is covered, or if its
    marker stands out by less than a quarter of what the other's does.

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
    share = {side: over / area[side] for side in "ab"}
    found = []
    for side, other in ("ab", "ba"):
        lit = share[side] > MOST_COVERED
        lit |= (over == 0) & (_outline(across, side) > MOST_EMBEDDED)
        lit |= light_of[side] < LEAST_OWN_LIGHT * light_of[other]
        # the smaller of two is more covered
        lit &= both & (area[side] < area[other])
        found.append(_named(across[lit], side).to_frame(index=False))
    return pd.concat(found, ignore_index=True).set_axis(_KEY, axis=1).drop_duplicates()


def without_covered(
    viability: Mapping[str, pd.DataFrame], cells: pd.DataFrame, touches: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], int]:
    """`schemas.Viability` by population without the cells of `covered_by_dead`, and their number."""
    together = pd.concat(viability.values(), ignore_index=True)
    unknown = pd.MultiIndex.from_frame(covered_by_dead(cells, together, touches))
    kept = {
        name: table[~pd.MultiIndex.from_frame(table[_KEY]).isin(unknown)].reset_index(drop=True)
        for name, table in viability.items()
    }
    return kept, len(unknown)


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
