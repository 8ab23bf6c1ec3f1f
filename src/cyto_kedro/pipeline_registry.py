"""The project's pipelines by name."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

ANALYSIS = (
    "ingestion",
    "preprocessing",
    "segmentation",
    "tabulation",
    "tracking",
    "contacts",
    "networks",
    "reporting",
)


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; ``__default__`` is the analysis, without the simulation.

    Kedro finds only the pipelines that a run asked for, so that a worker imports no more.
    """
    found = find_pipelines(raise_errors=True)
    analysis = (found[name] for name in ANALYSIS if name in found)
    found["__default__"] = sum(analysis, Pipeline([]))
    return found
