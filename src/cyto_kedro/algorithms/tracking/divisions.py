"""Which tracks begin by the division of another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro.algorithms.tracking.links import Links
from cyto_kedro.algorithms.tracking.masks import best_pairs
from cyto_kedro.algorithms.tracking.steps import Linked, TrackStep, measured, position_of, ratio
from cyto_kedro.core.units import PositiveLength


class CallDivisions(TrackStep):
    """Call a division where a track begins beside another and the two look like daughters.

    A mother is a cell of the frame before, within reach of the new track's first detection, that
    goes on as the sister (its track is then cut), or ends, where a second track begins beside it.
    Daughters must be alike in the columns `alike`, each smaller than the mother, and lie on either
    side of her: the distance from her to their midpoint, over their distance from each other, is 0
    for a perfect division, and 0.5 where one cell stays and another turns up beside it. Each cell
    is part of at most one division, the best first. Divisions that the linker called are judged by
    the same tests: where they fail, the mother goes on as the nearer daughter.

    Inputs, outputs and errors are those of `TrackStep`; besides, ConfigError if `alike` names no
    column of the cells.

    Examples
    --------
    >>> label = np.zeros((4, 9, 30), int)
    >>> label[:2, 2:7, 8:18] = 1  # one cell, then two
    >>> label[2:, 2:7, 5:12], label[2:, 2:7, 14:21] = 1, 2
    >>> from cyto_kedro.algorithms.tabulation.features import Features
    >>> from cyto_kedro.algorithms.tracking.lap import LAP
    >>> cells = Features()({"label": label, "fov": "A1", "population": "T"})["dataframe"]
    >>> linked = LAP(max_distance_px=6)(cells=cells)
    >>> divided = CallDivisions(max_distance_px=6)(linked, cells=cells)["track_points"]
    >>> divided.groupby("track_id")["parent_track_id"].first().fillna(0).tolist()
    [0, 1, 1]
    """

    max_distance: PositiveLength = Field(description="largest distance from mother to daughter")
    alike: dict[str, float] = Field(
        {"area_px": 0.6},
        description="column of the cells -> least ratio of the smaller to the larger daughter's",
    )
    max_daughter_size: float = Field(
        0.9, gt=0, description="largest area of a daughter, as a share of the mother's"
    )
    max_offset: float = Field(
        0.35, gt=0, description="largest distance of mother and midpoint over that of the daughters"
    )
    min_points: int = Field(
        2, ge=1, description="a daughter that begins must have been seen in so many frames"
    )

    def edit(self, tracks: Linked) -> tuple[pd.DataFrame, Links]:
        table, links = tracks.table, tracks.links
        reach = self.max_distance.in_px("max_distance", tracks.pixel_size_um) * (1 + 1e-9)
        links = _one_each(links, position_of(table))
        mother, one, two = self._candidates(table, links, reach)
        cost, fit = self._judge(table, mother, one, two, tracks.cells)
        mother, one, two, cost = mother[fit], one[fit], two[fit], cost[fit]
        # Best sets of (mother, daughter) pairs, each cell once as either.
        chosen = pd.MultiIndex.from_arrays(best_pairs(mother, one, 1e-9 + 3.0 - cost))
        taken = pd.MultiIndex.from_arrays([mother, one]).isin(chosen)
        order = np.flatnonzero(taken)[np.argsort(cost[taken], kind="stable")]
        first = pd.Series(one[order]).isin(two[order]).to_numpy()
        clash = first & (pd.Series(two[order]).isin(one[order])).to_numpy()
        once = ~pd.Series(mother[order]).duplicated().to_numpy()
        once &= ~(pd.Series(two[order]).duplicated().to_numpy() | clash)
        mother, one, two = mother[order][once], one[order][once], two[order][once]
        joined = pd.MultiIndex.from_arrays([links.source, links.target])
        new = ~pd.MultiIndex.from_arrays([mother, two]).isin(joined)
        links = links.add(mother, one)
        return table, links.add(mother[new], two[new])

    def _candidates(
        self, table: pd.DataFrame, links: Links, reach: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mothers, daughters whose track begins, and their sisters: rows."""
        n, frame, position = len(table), table["frame"].to_numpy(np.int64), position_of(table)
        seen = table.groupby("track_id")["frame"].transform("size").to_numpy()
        begins = np.ones(n, bool)
        begins[links.target] = False
        begins &= seen >= self.min_points
        merges = np.bincount(links.target, minlength=n) > 1
        after = np.full(n, -1)
        after[links.source] = links.target
        daughter = np.flatnonzero(begins & (frame > 0))
        place = np.column_stack([position, frame * 3 * reach])  # other frames are out of reach
        tree = scipy.spatial.cKDTree(place)
        before = place[daughter] - [0, 0, 3 * reach]
        pairs = scipy.spatial.cKDTree(before).sparse_distance_matrix(
            tree, reach, output_type="ndarray"
        )
        one, mother = daughter[pairs["i"]], pairs["j"]
        sister = after[mother]
        goes_on = sister >= 0
        goes_on[goes_on] = ~merges[sister[goes_on]]
        goes_on &= (sister >= 0) & (frame[sister] == frame[one])
        found = [np.stack([mother, one, sister])[:, goes_on]]
        # A mother that ends: two tracks that begin beside her, the smaller row as the first.
        ended = pd.DataFrame({"mother": mother, "one": one})[after[mother] < 0]
        both = ended.merge(ended, on="mother", suffixes=("", "_2"))
        both = both[both["one"] < both["one_2"]]
        found.append(both[["mother", "one", "one_2"]].to_numpy(np.int64).T)
        mother, one, two = np.concatenate(found, axis=1)
        near = ((position[mother] - position[two]) ** 2).sum(axis=1) <= reach**2
        return mother[near], one[near], two[near]

    def _judge(
        self,
        table: pd.DataFrame,
        mother: np.ndarray,
        one: np.ndarray,
        two: np.ndarray,
        cells: pd.DataFrame | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """How unlike a division each is (0 to 2 or so), and whether it passes every test."""
        position = position_of(table)
        apart = np.hypot(*(position[one] - position[two]).T)
        off = np.hypot(*((position[one] + position[two]) / 2 - position[mother]).T)
        cost = np.divide(off, apart, out=np.full(len(off), np.inf), where=apart > 0)
        area = measured(table, "area_px", cells, "CallDivisions")
        fit = (cost <= self.max_offset) & (
            np.maximum(area[one], area[two]) <= self.max_daughter_size * area[mother]
        )
        for column, least in self.alike.items():
            values = measured(table, column, cells, "CallDivisions")
            likeness = ratio(values[one], values[two])
            fit &= likeness >= least
            cost = cost + (1 - likeness) / len(self.alike)
        return cost, fit


def _one_each(links: Links, position: np.ndarray) -> Links:
    """Of the links of a division, only that to the nearer daughter."""
    square = ((position[links.source] - position[links.target]) ** 2).sum(axis=1)
    order = np.lexsort((square, links.source))
    first = np.ones(len(order), bool)
    first[1:] = np.diff(links.source[order]) != 0
    keep = np.zeros(len(order), bool)
    keep[order[first]] = True
    return links.keep(keep)
