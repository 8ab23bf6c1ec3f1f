"""Linking by linear assignment, with gap closing, division and merging by laptrack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from pydantic import Field

from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.algorithms.tracking.masks import best_pairs
from cyto_kedro.core.units import PositiveLength
from cyto_kedro.errors import ConfigError, unknown


class LAP(Linker):
    """Link by two linear assignment problems (Jaqaman et al., Nature Methods 2008; TrackMate).

    The first joins detections of neighbouring frames into segments; the second closes gaps between
    segments and, if asked, lets a segment of at least two detections start from the middle of
    another by division or end in it by merging. Alternatives cost what they do in TrackMate. The
    cost of a link is

        (distance · (1 + Σ 3 w |a - b| / (a + b) + overlap_weight · (1 - share)))²

    summed over `penalties`, for features a and b of the two cells (TrackMate's feature penalties;
    Tinevez et al., Methods 2017); `share` is the part of the smaller mask that lies on the other,
    and counts between neighbouring frames. As in TrackMate, a link that costs more than the square
    of its largest distance is not made, so penalties shorten the reach. They are not applied to
    division and merging, where cells differ in size; the overlap is. Unlike TrackMate, a cell
    seen in one frame only may close a gap.

    Inputs, outputs and errors are those of `Linker`; besides, ConfigError if a penalty names no
    column of the cells.

    Examples
    --------
    >>> label = np.zeros((3, 8, 20), int)
    >>> label[0, 2:5, 2:5] = label[1, 2:5, 4:7] = label[2, 2:5, 6:9] = 1
    >>> made = LAP(max_distance_px=3)(label=label)
    >>> made["track_points"][["frame", "track_id", "x_px"]].values.tolist()
    [[0.0, 1.0, 3.0], [1.0, 1.0, 5.0], [2.0, 1.0, 7.0]]
    """

    max_distance: PositiveLength = Field(description="largest step")
    penalties: dict[str, float] = Field(
        {},
        description="column of the cells (area_px, TCell_mean, …) -> weight w: how much a "
        "difference in it adds to the cost; 1 is a moderate weight",
    )
    overlap_weight: float = Field(
        0.0, ge=0, description="how much masks that do not overlap add to the cost; 0: not compared"
    )
    gap_closing_max_frames: int = Field(
        2,
        ge=0,
        description="largest difference in frame number bridged, as in TrackMate: 2 is one frame "
        "not seen; below 2 no gap is bridged",
    )
    gap_closing_max_distance: PositiveLength | None = Field(
        None, description="largest distance bridged; default max_distance"
    )
    splitting: bool = Field(False, description="let cells divide")
    splitting_max_distance: PositiveLength | None = Field(
        None, description="largest distance from mother to daughter; default max_distance"
    )
    merging: bool = Field(False, description="let cells merge")
    merging_max_distance: PositiveLength | None = Field(
        None, description="largest distance to what a cell merges into; default max_distance"
    )

    @property
    def mask_lag(self) -> int:
        return int(self.overlap_weight > 0)

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        import networkx as nx

        size, frame, position = detections.pixel_size_um, detections.frame, detections.position
        reach = self.max_distance.in_px("max_distance", size)
        gap, split, merge = (
            reach if length is None else length.in_px(name, size)
            for name, length in (
                ("gap_closing_max_distance", self.gap_closing_max_distance),
                ("splitting_max_distance", self.splitting_max_distance),
                ("merging_max_distance", self.merging_max_distance),
            )
        )
        cost = _Cost(detections, self.penalties, self.overlap_weight)
        numbers = np.arange(frame[0], frame[-1] + 1)
        start = np.append(np.searchsorted(frame, numbers), len(frame))
        tree = nx.Graph()
        local = np.stack([frame - frame[0], np.arange(len(frame)) - start[frame - frame[0]]], 1)
        node = [tuple(each) for each in local.tolist()]
        tree.add_nodes_from(node)
        before, after = np.zeros((2, len(frame)), bool)
        for a, b, c in zip(start[:-2], start[1:-1], start[2:], strict=True):
            pairs = _neighbours(position, slice(a, b), slice(b, c), reach, cost)
            tree.add_edges_from((node[i], node[j]) for i, j in zip(*pairs, strict=True))
            after[pairs[0]] = before[pairs[1]] = True
        coded = not cost.plain or self.splitting or self.merging
        # Of a detection laptrack's metrics see its position, or its row where that is not enough.
        seen = np.arange(len(frame), dtype=float)[:, None] if coded else position
        tree = second_problem(
            np.split(seen, start[1:-1]),
            tree,
            gap_closing_cutoff=_limit(gap) if self.gap_closing_max_frames > 1 else False,
            gap_closing_max_frame_count=self.gap_closing_max_frames,
            splitting_cutoff=_limit(split) if self.splitting else False,
            merging_cutoff=_limit(merge) if self.merging else False,
            # TrackMate's quantile, at p (n + 1)
            alternative_cost_percentile_interpolation="weibull",
            **(cost.metrics(before, after) if coded else {}),
        )
        edges = np.array(list(tree.edges), np.int64).reshape(-1, 2, 2)
        row = np.sort(start[edges[:, :, 0]] + edges[:, :, 1], axis=1)
        return row[:, 0], row[:, 1]


def second_problem(blocks: list[np.ndarray], tree: Any, **options: Any) -> Any:
    """laptrack's closing of gaps, divisions and mergers, on segments that are given.

    The one place that calls a private method of laptrack: its public ``predict`` cannot be told
    what links of the first problem cost.

    `blocks`: per frame (n, m), what its metrics see of a detection. `tree`: graph of the segments
    on nodes (frame, number within the frame).
    """
    from laptrack import LapTrack

    return LapTrack(**options)._predict_gap_split_merge(blocks, tree, [], [])


def _limit(reach: float) -> float:
    """The cost below which a link is made, so that one of exactly `reach` is."""
    return reach**2 * (1 + 1e-9)


class _Cost:
    """Cost of links between rows of detections; see `LAP`."""

    def __init__(
        self, detections: Detections, penalties: dict[str, float], overlap_weight: float
    ) -> None:
        cells = detections.cells
        for column in penalties:
            if column not in cells.columns or cells[column].dtype.kind not in "iuf":
                numeric = cells.select_dtypes("number").columns
                raise ConfigError(
                    f"{detections.name}: LAP penalties: {unknown('column', column, numeric)}"
                )
        self.position = detections.position
        self.features = [
            (weight, cells[column].to_numpy(np.float64)) for column, weight in penalties.items()
        ]
        self.overlap_weight = overlap_weight
        self.frame = detections.frame
        self.key = self.share = np.zeros(0)
        if overlap_weight:
            pairs = detections.masks()
            self.key = pairs.source * len(cells) + pairs.target
            order = np.argsort(self.key)
            self.key, self.share = self.key[order], pairs.share[order]

    def __call__(self, i: np.ndarray, j: np.ndarray, alike: bool = True) -> np.ndarray:
        """Cost of links from rows `i` to later rows `j`; `alike`: with the feature penalties."""
        square = ((self.position[i] - self.position[j]) ** 2).sum(axis=-1)
        factor = np.ones(np.shape(square))
        for weight, values in self.features if alike else ():
            a, b = values[i], values[j]
            total = np.abs(a) + np.abs(b)
            # a feature that was not measured says nothing
            part = np.divide(np.abs(a - b), total, out=np.zeros_like(total), where=total > 0)
            factor += 3 * weight * np.nan_to_num(part)
        if self.overlap_weight:
            key = i * len(self.frame) + j
            at = np.minimum(np.searchsorted(self.key, key), max(len(self.key) - 1, 0))
            share = np.zeros(np.shape(square))
            if len(self.key):
                share = np.where(self.key[at] == key, self.share[at], 0.0)
            next_frame = self.frame[j] == self.frame[i] + 1
            factor += np.where(next_frame, self.overlap_weight * (1 - share), 0.0)
        return square * factor**2

    @property
    def plain(self) -> bool:
        """Whether position alone counts."""
        return not (self.features or self.overlap_weight)

    def metrics(
        self, before: np.ndarray, after: np.ndarray
    ) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
        """laptrack's metrics of the second problem, on rows.

        Of a detection `before` and `after`, (n,) bool, say whether it is linked to the frame before
        and after. As in TrackMate, a segment starts from or ends in the middle of another (at its
        ends there are gaps to close), and one that is a single detection does neither.
        """
        middle, single = before & after, ~(before | after)

        def gap(one: np.ndarray, two: np.ndarray) -> float:
            return float(self(one.astype(np.int64), two.astype(np.int64))[0])

        def branch(one: np.ndarray, two: np.ndarray) -> float:
            end, other = int(one[0]), int(two[0])
            if single[end] or not middle[other]:
                return np.inf
            row = np.array([min(end, other)]), np.array([max(end, other)])  # the earlier first
            return float(self(*row, alike=False)[0])

        return {"gap_closing_metric": gap, "splitting_metric": branch, "merging_metric": branch}


def _neighbours(
    position: np.ndarray, now: slice, then: slice, reach: float, cost: _Cost
) -> tuple[list[int], list[int]]:
    """Links between two neighbouring frames, rows `now` and `then`, of least total cost.

    As in TrackMate's matrix, not to link costs 1.05 times what the dearest link does.
    """
    trees = (scipy.spatial.cKDTree(position[rows]) for rows in (now, then))
    wide = reach * (1 + 1e-9)
    pairs = next(trees).sparse_distance_matrix(next(trees), wide, output_type="ndarray")
    i, j = pairs["i"] + now.start, pairs["j"] + then.start
    price = cost(i, j)
    able = price <= _limit(reach)
    i, j, price = i[able], j[able], price[able]
    if len(price) == 0:
        return [], []
    source, target = best_pairs(i, j, 1.05 * price.max() - price + 1e-9)
    return source.tolist(), target.tolist()
