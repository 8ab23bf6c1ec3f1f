"""The project's pipelines by name."""

from __future__ import annotations

import re
from pkgutil import iter_modules

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from cyto_kedro import pipelines
from cyto_kedro.errors import ConfigError, unknown

ANALYSIS = (
    "ingestion",
    "preprocessing",
    "segmentation",
    "tabulation",
    "tracking",
    "contacts",
    "networks",
    "comparison",
    "reporting",
)


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; ``__default__`` is the analysis, without the simulation.

    Kedro finds only the pipelines that a run asked for, so that a worker imports no more.

    Raises ConfigError if a pipeline was asked for that does not exist.
    """
    try:
        found = find_pipelines(raise_errors=True)
    except ImportError as error:
        name = re.search(r"pipelines\.([^']+)'", str(error))
        if error.__cause__ is not None or name is None:  # a pipeline that is there but broken
            raise
        known = [each.name for each in iter_modules(pipelines.__path__) if each.ispkg]
        raise ConfigError(unknown("pipeline", name[1], known)) from error
    analysis = (found[name] for name in ANALYSIS if name in found)
    found["__default__"] = sum(analysis, Pipeline([]))
    return found
