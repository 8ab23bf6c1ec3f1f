"""From a name in YAML to an algorithm class, checked before anything runs.

A class is found by scanning the modules of its stage, ``cyto_kedro.algorithms.<stage>``, or in the
entry-point group ``cyto_kedro.<stage>`` of any installed package. Nothing is listed by hand: a new
class in a stage's module is found by its name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cyto_kedro.algorithms.base import Algorithm, construct
from cyto_kedro.errors import ConfigError, unknown

STAGES = (
    "preprocessing",
    "segmentation",
    "tabulation",
    "tracking",
    "contacts",
    "networks",
    "comparison",
    "simulation",
    "reporting",
)


@cache
def algorithms(stage: str) -> dict[str, type[Algorithm]]:
    """Every algorithm class of `stage` by name: the project's own, then entry points.

    Raises
    ------
    ConfigError
        If `stage` is unknown, or two packages offer the same name.
    """
    if stage not in STAGES:
        raise ConfigError(unknown("stage", stage, STAGES))
    package = importlib.import_module(f"cyto_kedro.algorithms.{stage}")
    found: dict[str, type[Algorithm]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__
            if own and issubclass(cls, Algorithm) and _is_whole(cls):
                if name in found:
                    raise ConfigError(
                        f"two {stage} algorithms are called {name!r}: in {found[name].__module__} and "
                        f"{cls.__module__}; rename one"
                    )
                found[name] = cls
    for entry in entry_points(group=f"cyto_kedro.{stage}"):
        obj = entry.load()
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


def _is_whole(cls: type[Algorithm]) -> bool:
    """Whether a class can be used, and is no mere base of others."""
    runs = cls.run is not Algorithm.run or cls.__call__ is not Algorithm.__call__
    return runs and not inspect.isabstract(cls)


def find(stage: str, name: str) -> type[Algorithm]:
    """The algorithm class `name` of `stage`.

    Raises
    ------
    ConfigError
        If the name is not known: gives the nearest match and all names.
    """
    choices = algorithms(stage)
    if name not in choices:
        raise ConfigError(unknown(f"{stage} algorithm", name, choices))
    return choices[name]


def build(stage: str, name: str, args: dict[str, Any] | None = None) -> Algorithm:
    """Make the algorithm `name` of `stage` with `args`.

    Raises
    ------
    ConfigError
        If the name is not known, or `construct` refuses the arguments.
    """
    return construct(find(stage, name), args)


Kind = TypeVar("Kind", bound=Algorithm)


class AlgorithmSpec(BaseModel):
    """``{name: Otsu, args: {...}}`` in YAML, resolved against the registry when validated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: ClassVar[str]

    name: str = Field(description="class name of the algorithm")
    args: dict[str, Any] = Field(default_factory=dict, description="its arguments")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for key in value:
                if key not in cls.model_fields:
                    raise ConfigError(unknown("key", str(key), cls.model_fields))
            if "name" not in value:
                raise ConfigError(
                    f"no algorithm is named here ({', '.join(map(str, value)) or 'nothing'} stands "
                    "alone): write {name: …, args: {…}}, and look whether the key above is spelled "
                    "as in the other blocks"
                )
        return value

    @model_validator(mode="after")
    def _resolves(self) -> Self:
        self.make()
        return self

    def make(self) -> Algorithm:
        """Make the algorithm."""
        return build(self.stage, self.name, self.args)

    def fingerprint(self) -> dict[str, Any]:
        """What the ledger hashes: name, all arguments (defaults too), the class's version."""
        algorithm = self.make()
        return {
            "name": self.name,
            "args": algorithm.model_dump(mode="json"),
            "version": type(algorithm).version,
        }


class Spec(AlgorithmSpec, Generic[Kind]):
    """An algorithm of one kind, ``Spec[Step]``; what else the stage holds is told where it belongs."""

    kind: ClassVar[type[Algorithm]] = Algorithm
    otherwise: ClassVar[str] = "is of another kind"
    elsewhere: ClassVar[tuple[tuple[type[Algorithm], str], ...]] = ()

    def make(self) -> Kind:
        """Make the algorithm.

        Raises
        ------
        ConfigError
            If it is of another kind: says what it is and where it is named.
        """
        found = find(self.stage, self.name)
        for other, remedy in self.elsewhere:
            if issubclass(found, other):
                raise ConfigError(f"{self.name} {remedy.replace('NAME', self.name)}")
        if not issubclass(found, self.kind):
            raise ConfigError(f"{self.name} {self.otherwise}")
        return cast(Kind, construct(found, self.args))
