"""Run a chain of steps over a film that is opened block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cyto_kedro.algorithms.base import Data
from cyto_kedro.algorithms.preprocessing.base import State, Step


def apply_chain(steps: Sequence[Step], states: Sequence[State], data: Data) -> Data:
    """Apply `steps` in order to one block, each with its state."""
    for step, state in zip(steps, states, strict=True):
        data = step.apply(data, state)
    return data


def estimate_chain(steps: Sequence[Step], open_blocks: Callable[[], Iterable[Data]]) -> list[State]:
    """States of all `steps`, each estimated on the film as the steps before it leave it.

    Parameters
    ----------
    open_blocks
        Opens the film afresh and yields its blocks in order. Called once per step that needs an
        estimate; memory holds one block.
    """
    states: list[State] = []
    for k, step in enumerate(steps):
        states.append(step.estimate(_through(steps[:k], states, open_blocks)))
    return states


def _through(
    steps: Sequence[Step], states: Sequence[State], open_blocks: Callable[[], Iterable[Data]]
) -> Iterator[Data]:
    """Blocks as `steps` leave them; the film is opened at the first one asked for."""
    done = list(states)
    for data in open_blocks():
        yield apply_chain(steps, done, data)
