"""The contract of a preprocessing step: estimate over the whole film, apply block by block.

Results do not depend on how a film is cut into blocks: what needs the whole film is estimated once
from a stream of its blocks, one in memory at a time; a step that looks at neighbouring frames says
how many (`Step.halo`) and is given them (`chain`); the rest is done frame by frame.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, TypedDict

import numpy as np
from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm, Data
from cyto_kedro.algorithms.preprocessing.parts import Part, blanked, shown_in
from cyto_kedro.core.contract import Images
from cyto_kedro.errors import ConfigError, InputError, unknown

State = dict[str, Any]


def channel_stack(data: Data, channel: str) -> np.ndarray:
    """One channel of ``data["image"]`` ({channel: (T, Y, X)}), as an array.

    Raises ConfigError if there is no such channel. Raises InputError if it is not (T, Y, X).
    """
    image: Mapping[str, Any] = data["image"]
    if channel not in image:
        raise ConfigError(unknown("channel", channel, image))
    stack = image[channel]
    if stack.ndim != 3:
        raise InputError(
            f"channel {channel}: expected an array (T, Y, X), got shape {stack.shape}; put a "
            f"length-1 time axis before a still image: image[None]"
        )
    return np.asarray(stack)


def excluded_of(data: Data) -> frozenset[int]:
    """Film numbers of the frames (``excluded``) that take no part in any estimate."""
    return frozenset(int(number) for number in data.get("excluded") or ())


def part_of(data: Data, index: int, channel: str) -> Part:
    """Frame `index` of `channel` in a block, and what of it was filmed: ``valid``, else looked for.

    Raises InputError if a filmed pixel is NaN or infinite.
    """
    frame, valid = channel_stack(data, channel)[index], data.get("valid")
    if valid is not None and valid.ndim == 3:
        valid = valid[index]
    where = f"channel {channel}, frame {int(data.get('frame_start', 0)) + index}"
    return Part.of(frame, shown_in(frame, valid), where, "nothing can be estimated from it")


def iter_frames(blocks: Iterable[Data], channel: str) -> Iterator[tuple[int, Part]]:
    """(frame number, frame) of `channel` over all `blocks`, without ``excluded`` frames.

    Raises InputError if a filmed pixel is NaN or infinite: an estimate over the film would be
    undefined.
    """
    for data in blocks:
        start, left_out = int(data.get("frame_start", 0)), excluded_of(data)
        for i in range(len(channel_stack(data, channel))):
            if start + i not in left_out:
                yield start + i, part_of(data, i, channel)


def over_gaps(numbers: Sequence[int], values: np.ndarray) -> np.ndarray:
    """A value for each frame from the first of `numbers` to the last, those between as before them.

    So frames that were left out of an estimate get what the frame before them has.
    """
    first, last = numbers[0], numbers[-1]
    at = np.searchsorted(numbers, np.arange(first, last + 1), side="right") - 1
    return np.asarray(values)[at]


def peek(blocks: Iterable[Data]) -> tuple[Data, Iterator[Data]]:
    """The first block, and an iterator over all blocks with it.

    Raises InputError if there are none.
    """
    rest = iter(blocks)
    first = next(rest, None)
    if first is None:
        raise InputError("the film has no blocks, so nothing can be estimated from it")
    return first, chain([first], rest)


class Preprocessed(TypedDict):
    """What steps make."""

    image: Images


class Step(Algorithm):
    """One step of preprocessing, in two halves: `estimate` over the film, `apply` block by block.

    Blocks are data dicts, as `run` declares them: ``image``, ``frame_start``, ``pixel_size_um``,
    ``valid`` (what was filmed), ``excluded`` (numbers of frames that no estimate looks at) and
    ``reference`` (given images). Processed channels come out as float32; others pass untouched.
    Pixels that were never filmed take no part in statistics, and hold one value afterwards.
    """

    version: ClassVar[int] = 2  # statistics of filmed pixels and frames that are not excluded

    #: may it touch images on which intensities are measured?
    measurement_safe: ClassVar[bool] = False

    channels: list[str] | None = Field(
        default=None, description="channels it applies to; null: every channel"
    )

    @property
    def halo(self) -> int:
        """Frames before and after a frame that its result depends on.

        `apply` is given that many more at each side of a block, fewer at the film's ends only, and
        returns all frames it was given; the chain cuts the added ones off again.
        """
        return 0

    @property
    def quick(self) -> bool:
        """Whether a frame's result hangs on that frame alone, and is about as soon made as read.

        Images that only such steps made need not be stored.
        """
        return False

    @property
    def makes(self) -> tuple[str, ...]:
        """Channels the step adds."""
        return ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Channels that `apply` looks at, beside those that it changes."""
        return ()

    @property
    def references(self) -> tuple[str, ...]:
        """Names of given images that `estimate` finds in ``data["reference"]`` ({name: (Y, X)})."""
        return ()

    @property
    def reads(self) -> tuple[str, ...] | None:
        """Channels the step needs; None: whichever there are."""
        return None if self.channels is None else tuple(self.channels)

    def chosen(self, data: Data) -> list[str]:
        """Channels of `data` the step applies to.

        Raises ConfigError if a channel of the parameters is not there: names it and the nearest
        match.
        """
        image = data["image"]
        for name in self.reads or ():
            if name not in image:
                raise ConfigError(f"{type(self).__name__}: {unknown('channel', name, image)}")
        return list(image) if self.channels is None else list(self.channels)

    def estimate(self, blocks: Iterable[Data]) -> State:
        """What `apply` needs of the whole film, from its blocks in order; plain and picklable."""
        return {}

    @abstractmethod
    def apply(self, data: Data, state: State) -> Data:
        """The step's result for one block."""

    def run(
        self,
        image: Images,
        frame_start: int = 0,
        pixel_size_um: float | None = None,
        valid: np.ndarray | None = None,
        excluded: Collection[int] | None = None,
        reference: Mapping[str, np.ndarray] | None = None,
    ) -> Preprocessed:
        """Estimate on `image` and apply to it, as if it were the whole film."""
        block: Data = {
            **{"image": image, "frame_start": frame_start, "pixel_size_um": pixel_size_um},
            **{"valid": valid, "excluded": excluded, "reference": reference or {}},
        }
        return {"image": self.apply(block, self.estimate([block]))["image"]}

    def _map(self, data: Data, change: Callable[[Part, str, int], np.ndarray]) -> Data:
        """Replace every frame of the chosen channels by ``change(frame, channel, number)``."""
        start = int(data.get("frame_start", 0))
        image = dict(data["image"])
        for channel in image if self.channels is None else self.channels:
            stack = channel_stack(data, channel)
            out = np.empty(stack.shape, np.float32)
            for i in range(len(stack)):
                part = part_of(data, i, channel)
                out[i] = blanked(change(part, channel, start + i), part.filmed)
            image[channel] = out
        return {**data, "image": image}


def at_frame(
    values: np.ndarray,
    first: int,
    number: int,
    what: str,
    left_out: frozenset[int] = frozenset(),
) -> Any:
    """Entry of a per-frame state for frame `number`; of the nearest one for a frame `left_out`.

    Raises InputError if the state was estimated on a film without that frame.
    """
    if number in left_out:
        number = min(max(number, first), first + len(values) - 1)
    if not 0 <= number - first < len(values):
        raise InputError(
            f"{what}: frame {number} is not among the frames {first} to {first + len(values) - 1} "
            f"it was estimated on; estimate again over the whole film"
        )
    return values[number - first]


class FilmMoments:
    """Count, mean and sum of squared deviations over frames, merged frame by frame in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, pixels: np.ndarray) -> None:
        """Merge the pixels of a frame (Chan, Golub and LeVeque 1983)."""
        if not pixels.size:
            return
        values = pixels.astype(np.float64)
        mean, count = float(values.mean()), self.count + values.size
        delta = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum())
        self.squares += delta**2 * self.count * values.size / count
        self.mean += delta * values.size / count
        self.count = count

    @property
    def sd(self) -> float:
        """Population standard deviation."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0
