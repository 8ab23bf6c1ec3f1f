"""A JSON schema of all parameters, so that an editor completes and checks YAML as it is typed.

It says what the models say: blocks, keys, the algorithms that each place may name, the arguments of
each, in every unit. Checks that look at several keys at once stay with the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.units import spelled
from cyto_kedro.parameters.blocks import MODELS
from cyto_kedro.registry import STAGES, AlgorithmSpec, Spec, algorithms

REF = "#/$defs/"


def json_schema() -> dict[str, Any]:
    """The schema of ``parameters*.yml`` (JSON Schema 2020-12)."""
    defs: dict[str, Any] = {}
    blocks = {}
    for name, model in MODELS.items():
        blocks[name] = _hoisted(model, defs)
    for stage in STAGES:
        for name, cls in algorithms(stage).items():
            defs[f"{stage}.{name}"] = _arguments(cls, defs)
    for spec in _specs(AlgorithmSpec):
        if spec.__name__ in defs:
            defs[spec.__name__] = _choices(spec, defs[spec.__name__])
    for name, model in MODELS.items():  # a block that is itself an algorithm
        if issubclass(model, AlgorithmSpec):
            blocks[name] = _choices(model, blocks[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Parameters of cyto_kedro",
        "type": "object",
        "properties": blocks,
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
        "$defs": defs,
    }


def _hoisted(model: type[BaseModel], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of `model`; what it refers to goes to `defs`."""
    schema = model.model_json_schema(ref_template=REF + "{model}")
    defs.update(schema.pop("$defs", {}))
    return schema


def _arguments(cls: type[Algorithm], defs: dict[str, Any]) -> dict[str, Any]:
    schema = _hoisted(cls, defs)
    known = schema.get("properties", {})
    properties: dict[str, Any] = {}
    for written, name, unit in spelled(cls):
        if unit is None:
            properties[written] = known[name]
        else:
            about = {k: v for k, v in known[name].items() if k == "description"}
            number = {"type": ["number", "array", "null"], "items": {"type": "number"}}
            properties[written] = {**about, **number}
    plain = {name for _, name, unit in spelled(cls) if unit is None}
    schema["required"] = [name for name in schema.get("required", ()) if name in plain]
    return {**schema, "properties": properties, "additionalProperties": False}


def _choices(spec: type[AlgorithmSpec], schema: dict[str, Any]) -> dict[str, Any]:
    """One shape per algorithm that may stand there."""
    more = {k: v for k, v in schema["properties"].items() if k not in ("name", "args")}
    shapes = []
    for name, cls in sorted(algorithms(spec.stage).items()):
        if issubclass(spec, Spec) and spec.refuses(cls):
            continue
        about = {"const": name, "description": (inspect.getdoc(cls) or "").partition("\n")[0]}
        args = f"{REF}{spec.stage}.{name}"
        shapes.append(
            {
                "type": "object",
                "properties": {"name": about, "args": {"$ref": args}, **more},
                "required": ["name"],
                "additionalProperties": False,
            }
        )
    return {"oneOf": shapes}


def _specs(cls: type[AlgorithmSpec]) -> Iterator[type[AlgorithmSpec]]:
    for each in cls.__subclasses__():
        if "stage" in vars(each):
            yield each
        yield from _specs(each)
