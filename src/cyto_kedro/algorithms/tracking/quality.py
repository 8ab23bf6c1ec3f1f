"""How far a track can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.links import Links, links_of
from cyto_kedro.algorithms.tracking.steps import Edited, TrackStep, measured, position_of, ratio
from cyto_kedro.core.contract import TableOf


class TrackQuality(TrackStep):
    """Judge every track; put it last, as other steps drop its columns.

    Adds to the points, and so to the table of tracks, of each track:

    - ``quality_seen``: share of the frames from its first to its last in which it was seen.
    - ``quality_size``: median over its steps of the smaller over the larger area (1: constant).
    - ``quality_margin``: median over its steps of 1 - d / e, at least 0: d is how far the cell went,
      e how far from where it was the nearest other cell of that frame is. 1: no other cell could
      have been meant; 0: another was as near.
    - ``quality_score``: the product of the three.

    Sizes, margins and scores of tracks seen once are null. With `min_score`, tracks of a lower
    score are dropped. Inputs, outputs and errors are those of `TrackStep`.

    Examples
    --------
    >>> label = np.zeros((3, 8, 20), int)
    >>> label[0, 2:5, 2:5] = label[1, 2:5, 4:7] = label[2, 2:5, 6:9] = 1
    >>> from cyto_kedro.algorithms.tabulation.features import Features
    >>> from cyto_kedro.algorithms.tracking.lap import LAP
    >>> cells = Features()({"label": label, "fov": "A1", "population": "T"})["dataframe"]
    >>> linked = LAP(max_distance_px=3)(cells=cells)
    >>> TrackQuality()(linked, cells=cells)["track_points"]["quality_score"].tolist()
    [1.0, 1.0, 1.0]
    """

    min_score: float = Field(0.0, ge=0, le=1, description="tracks of a lower score are dropped")

    def run(
        self,
        track_points: TableOf[schemas.TrackPoints],
        cells: TableOf[schemas.Cells] | None = None,
        pixel_size_um: float | None = None,
        time_min: Any = None,
    ) -> Edited:
        """See `TrackStep.run`."""
        points = super().run(track_points, cells, pixel_size_um, time_min)["track_points"]
        names = [f"quality_{name}" for name in ("seen", "size", "margin", "score")]
        if not len(points):
            empty = points.assign(**{name: np.zeros(0) for name in names})
            return {"track_points": schemas.conform(schemas.TrackPoints, empty)}
        table, links = links_of(points)
        judged = _judged(table, links, measured(table, "area_px", cells, "TrackQuality"))
        if (judged["quality_score"] < self.min_score).any():
            good = judged.index[~(judged["quality_score"] < self.min_score)]
            kept = points[points["track_id"].isin(good)].copy()
            for column in ("parent_track_id", "merged_into_track_id"):
                kept[column] = kept[column].where(kept[column].isin(good))
            return type(self)().run(kept, cells, pixel_size_um, time_min)
        joined = points.merge(judged[names], left_on="track_id", right_index=True)
        return {"track_points": schemas.conform(schemas.TrackPoints, joined)}


def _judged(table: pd.DataFrame, links: Links, area: np.ndarray) -> pd.DataFrame:
    """The columns by track_id."""
    track, frame = (table[key].to_numpy(np.int64) for key in ("track_id", "frame"))
    position = position_of(table)
    span = table.groupby("track_id")["frame"].agg(["min", "max", "size"])
    result = pd.DataFrame({"quality_seen": span["size"] / (span["max"] - span["min"] + 1)})
    own = track[links.source] == track[links.target]
    source, target = links.source[own], links.target[own]
    margin = np.ones(len(source))
    order = np.argsort(frame[target], kind="stable")
    start = np.searchsorted(frame, np.arange(frame[-1] + 2))
    cut = np.searchsorted(frame[target][order], np.arange(frame[-1] + 2))
    for t in np.unique(frame[target]):
        rows, which = slice(start[t], start[t + 1]), order[cut[t] : cut[t + 1]]
        if start[t + 1] - start[t] < 2:
            continue
        tree = scipy.spatial.cKDTree(position[rows])
        distance, near = tree.query(position[source[which]], k=2)
        mine = near + start[t] == target[which][:, None]
        other = np.where(mine[:, 0], distance[:, 1], distance[:, 0])
        gone = np.hypot(*(position[source[which]] - position[target[which]]).T)
        margin[which] = 1 - np.divide(gone, other, out=np.ones(len(other)), where=other > 0)
    steps = pd.DataFrame({"margin": margin.clip(0, 1), "size": ratio(area[source], area[target])})
    middle = steps.groupby(track[source]).median()
    result["quality_size"], result["quality_margin"] = middle["size"], middle["margin"]
    return result.assign(quality_score=result.prod(axis=1, skipna=False))
