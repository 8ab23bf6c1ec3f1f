"""Nodes made of what algorithms declare: tables in, one algorithm named in YAML, its results out.

A slot of the parameters (``contacts.bouts``) may name any registered class that makes the slot's
results. The node reads what any of them may read; a group gets, and its ledger entry holds, only what
the chosen one needs with its parameters. A node that does more is written by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from kedro.pipeline.node import Node
from pydantic import create_model, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import Port
from cyto_kedro.errors import ConfigError
from cyto_kedro.lift import Used, lift
from cyto_kedro.pipelines.common import conditions_of, context, films_of, join
from cyto_kedro.registry import AlgorithmSpec, algorithms
from cyto_kedro.schemas import TABLES, Table

#: Plain inputs that the plan gives, and the table that it takes beside the manifest.
VALUES: Mapping[str, str | None] = {
    **dict.fromkeys(("fov", "population", "frame_start", "n_frames", "shape", "excluded")),
    **dict.fromkeys(("pixel_size_um", "roles", "populations", "markers", "channel_roles")),
    "time_min": "frames",
    "condition": "fields",
}
SPEC = "spec"  # the argument that is the slot's parameters
Prepare = Callable[[dict[str, Any]], dict[str, Any]]


def generated(
    name: str,
    slot: tuple[type[AlgorithmSpec], str],
    by: str,
    makes: Sequence[str] | Mapping[str, str],
    *,
    reads: Mapping[str, str | None] | None = None,
    also: Sequence[str] = (),
    wide: Mapping[str, str] | None = None,
    prepare: Prepare | None = None,
) -> Node:
    """The node of a slot.

    Parameters
    ----------
    slot
        The stage's parameter model of one algorithm, and the key it stands at:
        ``(ContactsSpec, "contacts.bouts")``.
    by, wide
        Grain of a group and of its outputs, and inputs that are wider, as in `lift`.
    makes
        The results that the node saves, each in the dataset of its name, or ``{result: dataset}``.
    reads
        ``{input: dataset}`` where they are not called alike; None: this slot has no such input, and
        no class that needs it.
    prepare, also
        What makes of the inputs, by name, those that the algorithm is called with, and the tables
        that it takes beside them.

    Raises
    ------
    ConfigError
        If no registered class makes the results, or nothing provides what one of them needs.
    """
    model, key = slot
    made = dict(makes) if isinstance(makes, Mapping) else {each: each for each in makes}
    named = dict(reads or {})
    fits = partial(_fits, made=made, named=named)
    kinds = [cls for cls in algorithms(model.stage).values() if fits(cls)]
    if not kinds:
        raise ConfigError(f"node {name}: no {model.stage} algorithm makes {', '.join(made)}")
    datasets: dict[str, None] = {}
    for cls in kinds:
        for port in cls.contract().inputs.values():
            source = _source(port, named)
            if source is not None:
                datasets[source] = None
            elif port.required and port.name not in {**VALUES, **named}:
                raise ConfigError(f"node {name}: nothing provides {port.name!r} of {cls.__name__}")
    datasets |= dict.fromkeys((*also, "manifest"))
    worker = _worker(name, list(datasets), named, list(made), also, prepare)
    worker.__annotations__ = {SPEC: _kind(model, key, made, fits)}
    used = used_by(model, named, also)
    func = lift(worker, by=by, out=[by] * len(made), wide=wide or {}, used=used)
    outputs = list(made.values())
    return Node(
        func, [*datasets, f"params:{key}"], outputs if len(outputs) > 1 else outputs[0], name=name
    )


def _fits(cls: type[Algorithm], made: Collection[str], named: Mapping[str, str | None]) -> bool:
    """Whether a class makes the results, and needs nothing that the slot has not."""
    contract = cls.contract()
    lacking = {name for name, dataset in named.items() if dataset is None}
    needed = {port.name for port in contract.inputs.values() if port.required}
    return set(made) <= set(contract.outputs) and not lacking & needed


def _source(port: Port, named: Mapping[str, str | None]) -> str | None:
    """The dataset that an input comes from; None for a value of the manifest, or of nowhere."""
    if port.name in named or port.kind != "value":
        return named.get(port.name, port.name)
    return VALUES.get(port.name)


def _kind(
    model: type[AlgorithmSpec],
    key: str,
    made: Collection[str],
    fits: Callable[[type[Algorithm]], bool],
) -> type[AlgorithmSpec]:
    """`model`, of which the named class must make what the slot is for."""

    def check(self: AlgorithmSpec) -> AlgorithmSpec:
        choices = algorithms(self.stage)
        if not fits(choices[self.name]):
            fit = sorted(name for name, cls in choices.items() if fits(cls))
            raise ConfigError(
                f"{key}: {self.name} does not make {', '.join(made)} of what this step has (it makes "
                f"{', '.join(choices[self.name].contract().outputs)}): name one of {', '.join(fit)}"
            )
        return self

    validators: dict[str, Any] = {"_fits_slot": model_validator(mode="after")(check)}
    return create_model(model.__name__, __base__=model, __validators__=validators)


def used_by(
    model: type[AlgorithmSpec], named: Mapping[str, str | None], also: Sequence[str] = ()
) -> Used:
    """Which of a node's inputs, by name, the algorithm that they name needs (`also`: always)."""

    def used(inputs: Mapping[str, Any], group: Mapping[str, str]) -> Collection[str]:
        always = {name for name, value in inputs.items() if isinstance(value, model)}
        if not always:
            return inputs.keys()
        algorithm = inputs[next(iter(always))].make()
        ports = algorithm.contract().inputs
        needed = {_source(ports[name], named) for name in algorithm.needs()}
        return [name for name in inputs if name in {"manifest", *also, *always, *needed}]

    return used


def _worker(
    name: str,
    datasets: list[str],
    named: Mapping[str, str | None],
    results: list[str],
    also: Sequence[str],
    prepare: Prepare | None,
) -> Callable[..., Any]:
    def worker(group: Mapping[str, str], **inputs: Any) -> Any:
        algorithm: Algorithm = inputs.pop(SPEC).make()
        manifest, frames = inputs["manifest"], inputs.get("frames")
        data = context(group, manifest, frames) | {"roles": manifest.roles}
        data |= {"populations": manifest.roles, "markers": manifest.markers}
        data["channel_roles"] = manifest.channel_roles
        ports = algorithm.contract().inputs
        if "condition" in algorithm.needs():
            data["condition"] = conditions_of(inputs["fields"])[group["fov"]]
        for port in (ports[each] for each in algorithm.needs()):
            source = _source(port, named)
            if source is not None and port.name not in VALUES:
                value = inputs[source]
                data[port.name] = _film(value, data) if port.shapes else _whole(port.table, value)
        data |= {each: _whole(TABLES.get(each), inputs[each]) for each in also}
        found = algorithm(data if prepare is None else prepare(data))
        return found[results[0]] if len(results) == 1 else tuple(found[each] for each in results)

    worker.__name__ = worker.__qualname__ = name
    worker.__doc__ = f"Make {', '.join(results)} of one group."
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = [inspect.Parameter(each, kind) for each in ("group", *datasets, SPEC)]
    worker.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return worker


def _whole(table: type[Table] | None, value: Any) -> Any:
    """What a group has of an input: the parts of a table joined, others as they are."""
    if table is None or isinstance(value, pd.DataFrame) or not isinstance(value, Mapping):
        return value
    return join((each for each in value.values() if each is not None), table)


def _film(value: Any, data: Mapping[str, Any]) -> Any:
    """Pixels of a group; of a group that is a field, films by channel or population."""
    if isinstance(value, Mapping) and all(isinstance(key, tuple) for key in value):
        return films_of(value, (data["n_frames"], *data["shape"]))
    return value
