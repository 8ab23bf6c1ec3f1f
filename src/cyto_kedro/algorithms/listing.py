"""Which algorithms there are: every class of a stage, the project's own and other packages'.

A class is found by scanning the modules of its stage, ``cyto_kedro.algorithms.<stage>``, or in the
entry-point group ``cyto_kedro.<stage>`` of any installed package. Nothing is listed by hand: a new
class in a stage's module is found by its name.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import sys
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.errors import ConfigError, unknown

log = logging.getLogger(__name__)

BROKEN: dict[tuple[str, str], str] = {}  # (stage, name) of a package's class -> why it is not there

STAGES = (
    "preprocessing",
    "segmentation",
    "training",
    "tabulation",
    "tracking",
    "contacts",
    "networks",
    "comparison",
    "simulation",
    "reporting",
)


@cache
def _offered(path: tuple[str, ...]) -> Any:
    """What all packages on `path` (``sys.path``) offer, read from their files once."""
    return entry_points()


@cache
def algorithms(stage: str) -> dict[str, type[Algorithm]]:
    """Every algorithm class of `stage` by name: the project's own, then entry points.

    Raises ConfigError if `stage` is unknown, or two packages offer the same name.
    """
    if stage not in STAGES:
        raise ConfigError(unknown("stage", stage, STAGES))
    package = importlib.import_module(f"cyto_kedro.algorithms.{stage}")
    found: dict[str, type[Algorithm]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__
            if own and issubclass(cls, Algorithm) and not inspect.isabstract(cls):
                if name in found:
                    raise ConfigError(
                        f"two {stage} algorithms are called {name!r}: in {found[name].__module__} and "
                        f"{cls.__module__}; rename one"
                    )
                found[name] = cls
    for entry in _offered(tuple(sys.path)).select(group=f"cyto_kedro.{stage}"):
        try:
            obj = entry.load()
        except Exception as error:
            log.debug("%s", entry, exc_info=True)
            BROKEN[stage, entry.name] = (
                f"{stage} algorithm {entry.name!r} of another package ({entry.value}) cannot be "
                f"imported: {type(error).__name__}: {error}. Mend or update that package, or name "
                "another algorithm"
            )
            continue
        if entry.name in found and found[entry.name] is not obj:
            raise ConfigError(
                f"two {stage} algorithms are called {entry.name!r}: {found[entry.name].__module__} "
                f"and {entry.value}; rename the entry point of {entry.dist}"
            )
        if not (inspect.isclass(obj) and issubclass(obj, Algorithm)):
            raise ConfigError(
                f"entry point {entry.name!r} ({entry.value}) is not a subclass of "
                f"cyto_kedro.algorithms.Algorithm"
            )
        found[entry.name] = obj
    return found


class Listing(dict[str, str]):
    """Name -> what it does, shown one a line."""

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:{width}}  {what}" for name, what in self.items())


def available(stage: str | None = None) -> Listing:
    """The algorithms of `stage` with the first line of what each says of itself; None: of all stages.

    Raises
    ------
    ConfigError
        If there is no such stage.

    Examples
    --------
    >>> import cyto_kedro.algorithms
    >>> cyto_kedro.algorithms.available("segmentation")["Otsu"].startswith("Otsu")
    True
    """
    if stage is None:
        return Listing({f"{s}.{name}": what for s in STAGES for name, what in available(s).items()})
    found = sorted(algorithms(stage).items())
    return Listing({name: (inspect.getdoc(cls) or "").partition("\n")[0] for name, cls in found})
