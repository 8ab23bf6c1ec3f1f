"""A film of labels or of one channel that is read frame by frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cyto_kedro.errors import InputError


class Blocks:
    """A film (T, Y, X) in blocks of frames, of which the one that is read is held.

    Parameters
    ----------
    opens
        For every block, in order, a function that returns it, (frames, Y, X).
    starts
        First frame of every block.
    shape
        (T, Y, X) of the whole.

    Examples
    --------
    >>> film = Blocks([lambda: np.zeros((2, 4, 4)), lambda: np.ones((1, 4, 4))], [0, 2], (3, 4, 4))
    >>> len(film), film[2].max(), film[1:].shape
    (3, np.float64(1.0), (2, 4, 4))
    """

    def __init__(
        self,
        opens: Sequence[Callable[[], Any]],
        starts: Sequence[int],
        shape: tuple[int, int, int],
    ) -> None:
        self._opens, self._starts, self.shape = list(opens), list(starts), shape
        self._held: tuple[int, Any] = (-1, None)

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def dtype(self) -> Any:
        """Type of a pixel (of the first block, which is opened for it)."""
        return self._block(0).dtype if self._opens else np.dtype(np.uint32)

    def __len__(self) -> int:
        """Frames."""
        return self.shape[0]

    def __getitem__(self, key: int | slice, /) -> np.ndarray:
        """One frame (Y, X), or several (n, Y, X)."""
        if isinstance(key, slice):
            frames = [self[each] for each in range(*key.indices(len(self)))]
            return np.stack(frames) if frames else np.zeros((0, *self.shape[1:]), self.dtype)
        index = range(len(self))[key]
        number = bisect_right(self._starts, index) - 1
        return np.asarray(self._block(number)[index - self._starts[number]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole film in memory."""
        return np.asarray(self[:], dtype)

    def _block(self, number: int) -> Any:
        if self._held[0] != number:
            self._held = number, self._opens[number]()
        return self._held[1]


@dataclass(frozen=True)
class ChosenFrames:
    """Those frames of a film (T, Y, X) that are `used`, read one by one; of each a window."""

    film: Any
    used: Sequence[int]
    rows: slice = field(default_factory=lambda: slice(None))
    columns: slice = field(default_factory=lambda: slice(None))
    ndim: int = 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, rows, columns."""
        rows, columns = (
            len(range(*part.indices(size)))
            for part, size in zip((self.rows, self.columns), self.film.shape[1:], strict=True)
        )
        return len(self.used), rows, columns

    @property
    def dtype(self) -> Any:
        """Type of a pixel."""
        return self.film.dtype

    def __len__(self) -> int:
        """Frames."""
        return len(self.used)

    def __getitem__(self, key: int | slice, /) -> np.ndarray:
        """One frame (Y, X), or several (n, Y, X)."""
        if isinstance(key, slice):
            return np.stack([self[each] for each in range(*key.indices(len(self)))])
        return np.asarray(self.film[self.used[key]])[self.rows, self.columns]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames."""
        return (self[index] for index in range(len(self)))


def read_frame(label: Any, index: int, where: str) -> np.ndarray:
    """Compute frame `index` of `label` (NumPy or Dask).

    Raises InputError if a label is negative.
    """
    frame = np.asarray(label[index])
    if frame.dtype.kind == "i" and frame.size and frame.min() < 0:
        raise InputError(f"labels of {where}: negative label {frame.min()}; background is 0")
    return frame
