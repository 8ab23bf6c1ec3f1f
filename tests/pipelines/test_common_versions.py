"""Algorithms that nodes make themselves: a raised version makes their results stale."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.currency import input_digests
from cyto_kedro.lift import is_lifted, spec_of
from cyto_kedro.pipeline_registry import register_pipelines
from cyto_kedro.pipelines.common import by_algorithms
from tiny_project import ROOT, bootstrap


def worker(func: Callable[..., Any]) -> Any:
    return spec_of(func).func if is_lifted(func) else func


def named(func: Any) -> set[str]:
    """Classes of algorithms that a function names, one by one or in a tuple."""
    held = [func.__globals__.get(name) for name in func.__code__.co_names]
    flat = [each for value in held for each in (value if isinstance(value, tuple) else [value])]
    return {
        each.__name__
        for each in flat
        if inspect.isclass(each) and issubclass(each, Algorithm) and not inspect.isabstract(each)
    }


def test_nodes_that_make_algorithms_have_their_versions() -> None:
    bootstrap(ROOT)
    nodes = {node.name: node.func for each in register_pipelines().values() for node in each.nodes}
    made = {name: named(worker(func)) for name, func in nodes.items()}
    made = {name: found for name, found in made.items() if found}
    assert {"draw_figures", "summarise", "tabulate_results", "average_events"} <= set(made)
    for name, found in made.items():
        version = getattr(worker(nodes[name]), "version", [])
        assert {each for each, _ in version} == found, f"{name}: mark it with by_algorithms"


def test_a_raised_version_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> dict[str, str]:
        @by_algorithms(Summary)
        def tell(fields: int) -> int:
            return fields

        return input_digests(tell, {"fields": 3}, {})

    before = digest()
    assert digest() == before
    monkeypatch.setattr(Summary, "version", Summary.version + 1)
    assert digest() != before
