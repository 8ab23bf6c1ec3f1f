"""Run steps one after the other: estimate each on the film as the steps before it leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step


def estimate_chain(
    steps: Sequence[Step], open_blocks: Callable[[], Iterable[Data]]
) -> list[State]:
    """The state of each step; the film is streamed once per step that needs an estimate."""
    states: list[State] = []
    for number, step in enumerate(steps):
        before = steps[:number]

        def blocks(before: Sequence[Step] = before) -> Iterator[Data]:
            for block in open_blocks():
                yield apply_chain(before, states, block)

        states.append(step.estimate(blocks()) if step.needs_estimate else None)
    return states


def apply_chain(steps: Sequence[Step], states: Sequence[State], data: Data) -> Data:
    """Apply `steps` with their `states` to one block."""
    for step, state in zip(steps, states, strict=False):
        data = step.apply(data, state)
    return data
