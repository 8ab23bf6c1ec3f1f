"""Run a chain of steps over a film that is opened block by block.

A chain's halo is the sum of its steps' halos: with that many frames added at each side of a block,
the block's own frames come out as if the whole film had been given, since each step spoils at most
its own halo at a side where frames are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step


def chain_halo(steps: Iterable[Step]) -> int:
    """Frames that have to be added at each side of a block."""
    return sum(step.halo for step in steps)


def apply_chain(steps: Sequence[Step], states: Sequence[State], data: Data) -> Data:
    """Apply `steps` in order to one block, each with its state.

    With a halo, `data` holds the block with `chain_halo` more frames at each side (at the ends of
    the film: as many as there are); cut the result with `trim`.
    """
    for step, state in zip(steps, states, strict=True):
        data = step.apply(data, state)
    return data


def serving(steps: Sequence[Step], wanted: Collection[str]) -> tuple[dict[int, Step], set[str]]:
    """The steps that the channels `wanted` hang on, by their place, and all channels these read.

    Steps that name channels are cut down to those that are needed; channels that a step makes are among
    those read.
    """
    found: dict[int, Step] = {}
    needed = set(wanted)
    for place in reversed(range(len(steps))):
        step = steps[place]
        if step.channels is not None and not step.makes:
            kept = [channel for channel in step.channels if channel in needed]
            step = step.model_copy(update={"channels": kept})
            if not kept:
                continue
        if step.makes and needed.isdisjoint(step.makes):
            continue
        found[place] = step
        needed.update(step.beside)
    return dict(sorted(found.items())), needed


def trim(data: Data, start: int, stop: int) -> Data:
    """The frames `start` to `stop` (not included; film numbers) of `data`."""
    first = int(data.get("frame_start", 0))
    image = {name: stack[start - first : stop - first] for name, stack in data["image"].items()}
    cut = {**data, "image": image, "frame_start": start}
    if _by_frame(data):
        cut["valid"] = data["valid"][start - first : stop - first]
    return cut


def estimate_chain(steps: Sequence[Step], open_blocks: Callable[[], Iterable[Data]]) -> list[State]:
    """States of all `steps`, each estimated on the film as the steps before it leave it.

    `open_blocks`: opens the film afresh and yields its blocks in order, without halo. Called once
    per step that needs an estimate; memory holds one block and its halo.
    """
    states: list[State] = []
    for k, step in enumerate(steps):
        states.append(step.estimate(apply_film(steps[:k], states, open_blocks())))
    return states


def apply_film(
    steps: Sequence[Step], states: Sequence[State], blocks: Iterable[Data]
) -> Iterator[Data]:
    """A film's `blocks`, in order, as `steps` leave them; nothing is read before it is asked for."""
    halo, done = chain_halo(steps), list(states)
    for data, start, stop in with_halo(blocks, halo):
        result = apply_chain(steps, done, data)
        yield trim(result, start, stop) if halo else result


def with_halo(blocks: Iterable[Data], halo: int) -> Iterator[tuple[Data, int, int]]:
    """Each of a film's `blocks` with up to `halo` frames of its neighbours at each side.

    Yields ``(block with its halo, first own frame, end of its own frames)``. Memory holds a block,
    its halo, and the block in which the halo ends.
    """
    held: list[Data] = []
    waiting: list[Data] = []

    def complete(end: int | None) -> Iterator[tuple[Data, int, int]]:
        while waiting and (end is None or _range(waiting[0])[1] + halo <= end):
            block = waiting.pop(0)
            start, stop = _range(block)
            while _range(held[0])[1] <= start - halo:
                held.pop(0)
            first = max(start - halo, _range(held[0])[0])
            last = min(stop + halo, _range(held[-1])[1])
            yield _join(held, block, first, last), start, stop

    for data in blocks:
        held.append(data)
        waiting.append(data)
        yield from complete(_range(data)[1])
    yield from complete(None)


def _by_frame(data: Data) -> bool:
    """Whether the block says frame by frame what was filmed."""
    valid = data.get("valid")
    return valid is not None and valid.ndim == 3


def _range(data: Data) -> tuple[int, int]:
    start = int(data.get("frame_start", 0))
    return start, start + len(next(iter(data["image"].values())))


def _join(held: Sequence[Data], block: Data, first: int, last: int) -> Data:
    """The frames `first` to `last` of neighbouring blocks, with all else as in `block`."""
    if (first, last) == _range(block):
        return block
    parts = [
        trim(data, max(first, _range(data)[0]), min(last, _range(data)[1]))
        for data in held
        if _range(data)[0] < last and _range(data)[1] > first
    ]
    joined: dict[str, Any] = {
        name: np.concatenate([part["image"][name] for part in parts]) for name in block["image"]
    }
    valid = {}
    if _by_frame(block):
        valid["valid"] = np.concatenate([part["valid"] for part in parts])
    return {**block, **valid, "image": joined, "frame_start": first}
