"""What linkers compute with: overlaps of masks, streamed over the film, and best pairings."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from cyto_kedro.core.stack import read_frame
from cyto_kedro.errors import InputError


@dataclass(frozen=True)
class Overlaps:
    """Pairs of detections, in different frames, whose masks share pixels.

    `source`, `target` (n,) int64, rows of the detections, the source in the earlier frame;
    `iou` (n,) shared pixels over those of either; `share` (n,) over those of the smaller mask,
    in (0, 1].
    """

    source: np.ndarray
    target: np.ndarray
    iou: np.ndarray
    share: np.ndarray


def overlaps_of(label: Any, keys: np.ndarray, where: str, lag: int = 1) -> Overlaps:
    """Compare the masks of every frame with those of the `lag` frames before it.

    `label`: (T, Y, X) integer, read frame by frame, of which `lag` + 1 are held. `keys`: (n, 2)
    int64, frame and label of every detection, in order of frame. Masks of other labels are left
    out. `where`: the field and population, for messages. Raises InputError if a detection has no
    mask.
    """
    numbers = np.unique(keys[:, 0])
    start = np.searchsorted(keys[:, 0], np.append(numbers, numbers[-1:] + 1))
    slices = {int(t): (start[i], start[i + 1]) for i, t in enumerate(numbers)}
    area = np.zeros(len(keys), np.int64)
    before: deque[np.ndarray] = deque(maxlen=lag)
    found: list[np.ndarray] = []
    n_frames = len(label)
    for t in range(n_frames):
        frame = read_frame(label, t, where)
        rows = np.full(int(frame.max(initial=0)) + 1, -1, np.int64)
        if t in slices:
            a, b = slices[t]
            labels = keys[a:b, 1]
            if labels.max() >= len(rows):
                raise _missing(where, t, labels.max())
            rows[labels] = np.arange(a, b)
        now = np.where(frame > 0, rows[frame], -1)
        if t in slices:
            area[a:b] = np.bincount(now[now >= 0] - a, minlength=b - a)
            if not area[a:b].all():
                raise _missing(where, t, labels[np.argmin(area[a:b])])
        for old in before:
            both = (old >= 0) & (now >= 0)
            pair, count = np.unique(old[both] * len(keys) + now[both], return_counts=True)
            found.append(np.stack([*np.divmod(pair, len(keys)), count]))
        before.append(now)
    if n_frames and len(keys) and numbers[-1] >= n_frames:
        raise _missing(where, int(numbers[-1]), keys[-1, 1])
    source, target, shared = np.concatenate(found, axis=1) if found else np.zeros((3, 0), np.int64)
    one, two = area[source], area[target]
    return Overlaps(source, target, shared / (one + two - shared), shared / np.minimum(one, two))


def _missing(where: str, frame: int, label: Any) -> InputError:
    return InputError(
        f"{where}: label {label} of frame {frame} has a row in the table of cells but no mask; the "
        "labels given are not those that the cells were measured on"
    )


def best_pairs(
    source: np.ndarray, target: np.ndarray, worth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs, each source and target in at most one, whose summed `worth` (> 0) is largest."""
    if len(source) == 0:
        return source, target
    one, i = np.unique(source, return_inverse=True)
    two, j = np.unique(target, return_inverse=True)
    # A dummy partner for each source and target at no gain lets either stay alone.
    n, m = len(one), len(two)
    rows = np.concatenate([i, np.arange(n), n + np.arange(m), n + j])
    columns = np.concatenate([j, m + np.arange(n), np.arange(m), m + i])
    top = 2 * worth.max()  # the library refuses weights of 0: count what is missed of `top`
    cost = np.concatenate([top - worth, np.full(n + m, top), np.full(len(i), top)])
    matrix = scipy.sparse.csr_matrix((cost, (rows, columns)), shape=(n + m, n + m))
    row, column = scipy.sparse.csgraph.min_weight_full_bipartite_matching(matrix)
    real = (row < n) & (column < m)
    return one[row[real]], two[column[real]]
