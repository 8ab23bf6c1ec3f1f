"""A random forest as plain arrays: saved without pickles, the same under every version of libraries."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.errors import InputError

_CHUNK = 1 << 16  # rows at a time: their nodes stay in the cache


@dataclass(frozen=True)
class Forest:
    """Decision trees over float32 features; `card` says what they were learnt from.

    `left`, `right`, `feature` and `threshold` are of all nodes of all trees, one tree after the other
    (`roots`); a leaf's `left` is -1. `share` (nodes, classes) holds the share of each class in a leaf.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    share: np.ndarray
    card: dict[str, Any]

    @classmethod
    def of(cls, fitted: Any, card: dict[str, Any]) -> Forest:
        """The trees of a fitted ``sklearn.ensemble.RandomForestClassifier``."""
        trees = [each.tree_ for each in fitted.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        moved: dict[str, list[np.ndarray]] = {"left": [], "right": []}
        for tree, start in zip(trees, starts, strict=False):
            for side, child in (("left", tree.children_left), ("right", tree.children_right)):
                moved[side].append(np.where(child < 0, -1, child + start))
        share = np.concatenate([tree.value[:, 0] for tree in trees])
        return cls(
            roots=starts[:-1].astype(np.int32),
            left=np.concatenate(moved["left"]).astype(np.int32),
            right=np.concatenate(moved["right"]).astype(np.int32),
            feature=np.concatenate([tree.feature for tree in trees]).astype(np.int16),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            share=(share / share.sum(axis=1, keepdims=True)).astype(np.float32),
            card=card,
        )

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Mean share of each class over the trees, (rows, classes) float32, of (rows, features)."""
        found = np.zeros((len(rows), self.share.shape[1]), np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = np.ascontiguousarray(rows[start : start + _CHUNK])
            for root in self.roots:
                found[start : start + _CHUNK] += self.share[self._leaves(part, int(root))]
        return found / len(self.roots)

    def _leaves(self, rows: np.ndarray, root: int) -> np.ndarray:
        node = np.full(len(rows), root, np.int32)
        walking = np.flatnonzero(self.left[node] >= 0)
        while walking.size:
            at = node[walking]
            low = rows[walking, self.feature[at]] <= self.threshold[at]
            node[walking] = at = np.where(low, self.left[at], self.right[at])
            walking = walking[self.left[at] >= 0]
        return node

    def to_bytes(self) -> bytes:
        """The forest as an ``.npz`` file."""
        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        card = np.frombuffer(json.dumps(self.card, sort_keys=True).encode(), np.uint8)
        np.savez_compressed(file, card=card, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Forest:
        """Read what `to_bytes` wrote. Raises InputError if it is no such file."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                card = json.loads(held["card"].tobytes())
                return cls(**{name: held[name] for name in _ARRAYS}, card=card)
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{where} is no forest that was learnt here ({error}): train it again (docs/training.md)"
            ) from error


_ARRAYS = ("roots", "left", "right", "feature", "threshold", "share")


def rows_of(cells: pd.DataFrame, names: list[str], medians: list[float]) -> np.ndarray:
    """(cells, columns) float32, `medians` where a value is unknown."""
    values = cells[names].to_numpy(float, na_value=np.nan)
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, np.asarray(medians)), np.float32)


def read_forest(path: str) -> Forest:
    """The forest of a file, read once a process.

    Raises InputError if there is none, or it is no forest.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(
            f"there is no model at {file}: train one (docs/training.md), or give its path"
        )
    return _read(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> Forest:
    return Forest.from_bytes(file.read_bytes(), str(file))
