"""From a name in YAML to an algorithm, checked before anything runs (`algorithms.listing` finds it)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cyto_kedro.algorithms.base import Algorithm, construct
from cyto_kedro.algorithms.listing import BROKEN, STAGES, algorithms
from cyto_kedro.errors import ConfigError, unknown


def find(stage: str, name: str) -> type[Algorithm]:
    """The algorithm class `name` of `stage`.

    Raises
    ------
    ConfigError
        If the name is not known: gives the nearest match and all names; or if the package that
        offers it cannot be imported.
    """
    choices = algorithms(stage)
    if name not in choices and (stage, name) in BROKEN:
        raise ConfigError(BROKEN[stage, name])
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


__all__ = ["STAGES", "AlgorithmSpec", "Spec", "algorithms", "build", "find"]

Kind = TypeVar("Kind", bound=Algorithm)


class AlgorithmSpec(BaseModel):
    """``{name: Otsu, args: {...}}`` in YAML, resolved against the registry when validated."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

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

    kind: ClassVar[type[BaseModel]] = BaseModel
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
        if why := self.refuses(found):
            raise ConfigError(f"{self.name} {why.replace('NAME', self.name)}")
        return cast(Kind, construct(found, self.args))

    @classmethod
    def refuses(cls, found: type[Algorithm]) -> str:
        """Why a class cannot stand here; empty where it can."""
        why = next((remedy for other, remedy in cls.elsewhere if issubclass(found, other)), "")
        return why or ("" if issubclass(found, cls.kind) else cls.otherwise)
