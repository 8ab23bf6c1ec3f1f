"""cyto_kedro: from films of cells killing cells to tables, graphs, pictures and a report."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    # so that ``cyto_kedro.algorithms("segmentation")`` needs no import of its own, and costs none
    if name == "algorithms":
        return import_module("cyto_kedro.algorithms")
    raise AttributeError(f"module 'cyto_kedro' has no attribute {name!r}")
