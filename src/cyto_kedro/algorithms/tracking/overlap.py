"""Linking by the overlap of masks."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.tracking.common import Detections, Linker
from cyto_kedro.algorithms.tracking.masks import best_pairs


class Overlap(Linker):
    """Link masks that lie on each other, for cells that move less than their size a frame.

    Of all ways to pair the masks of a film, each with at most one earlier and one later, the one
    with the largest summed intersection over union (IoU) is taken, first between neighbouring
    frames; ends that are left are then paired over gaps. Needs masks and no positions: `label`
    alone will do. Inputs, outputs and errors are those of `Linker`.

    Examples
    --------
    >>> label = np.zeros((3, 8, 20), int)
    >>> label[0, 2:5, 2:5] = label[1, 2:5, 3:6] = label[2, 2:5, 4:7] = 1
    >>> Overlap()(label=label)["tracks"][["track_id", "n_points"]].values.tolist()
    [[1, 3]]
    """

    min_iou: float = Field(0.1, gt=0, le=1, description="least IoU of two masks of one cell")
    max_gap_frames: int = Field(
        1, ge=0, description="frames a cell may be missing and keep its track"
    )
    splitting: bool = Field(False, description="let cells divide")
    merging: bool = Field(False, description="let cells merge")
    min_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="least part of a daughter's mask on its mother's, or of a merging cell's on "
        "what it merges into",
    )

    @property
    def mask_lag(self) -> int:
        return self.max_gap_frames + 1

    def link(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        pairs = detections.masks()
        n, frame = len(detections.cells), detections.frame
        later, earlier = np.full(n, -1), np.full(n, -1)
        lag = frame[pairs.target] - frame[pairs.source]
        for step in range(1, self.mask_lag + 1):
            free = (later[pairs.source] < 0) & (earlier[pairs.target] < 0)
            able = np.flatnonzero((lag == step) & free & (pairs.iou >= self.min_iou))
            source, target = best_pairs(pairs.source[able], pairs.target[able], pairs.iou[able])
            later[source], earlier[target] = target, source
        source = np.flatnonzero(later >= 0)
        target = later[source]
        close = np.flatnonzero((lag == 1) & (pairs.share >= self.min_share))
        one, two, share = pairs.source[close], pairs.target[close], pairs.share[close]
        if self.splitting:
            born = (earlier[two] < 0) & (later[one] >= 0)
            mother, daughter = _best_of(two[born], one[born], share[born])
            source, target = np.append(source, mother), np.append(target, daughter)
        if self.merging:
            gone = (later[one] < 0) & (earlier[two] >= 0)
            into, merging = _best_of(one[gone], two[gone], share[gone])
            source, target = np.append(source, merging), np.append(target, into)
        return source, target


def _best_of(
    key: np.ndarray, other: np.ndarray, worth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For every distinct `key` the `other` worth most: (others, keys)."""
    order = np.lexsort((other, -worth, key))
    keys, first = np.unique(key[order], return_index=True)
    return other[order][first], keys
