"""The page `parameters.md` of the site: every block of parameters, every algorithm's arguments.

``python docs/make_parameters.py`` prints it.
"""

from __future__ import annotations

import sys
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pages import prose, summary, table
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.core.units import Quantity, quantity_of
from cyto_kedro.parameters import MODELS
from cyto_kedro.registry import STAGES, AlgorithmSpec, algorithms
from cyto_kedro.schemas.words import unit

HEADER = ("key", "type", "default", "unit", "meaning")

INTRO = """# Parameters

First the blocks of `parameters*.yml`, then the algorithms that these blocks name. What the project
uses if you change nothing stands in `conf/base/`; the defaults here are what a key has when you leave
it out. An unknown key, algorithm or argument stops the run before it starts.

- Keys that differ only in `_um` and `_px` say the same length, in `_min` and `_frames` the same time.
  Give one: it replaces the default of both. µm needs the pixel size, minutes the times of frames (see
  [your_data.md](your_data.md)); where they are unknown, use px and frames. Give both, and µm and
  minutes count where they can.
- An environment replaces a whole block (`assay:`, `tracking:`, …): restate all of it.
- Once, on the command line: `kedro run --params assay.block_length=10`.
- An algorithm is written `{name: Otsu, args: {smoothing: 0.1}}`; `args` may be left out.
"""


def main() -> str:
    """The page."""
    parts = [INTRO]
    parts += [text for name, model in MODELS.items() for text in _block(name, model)]
    in_yaml = {each.stage for each in AlgorithmSpec.__subclasses__() if hasattr(each, "stage")}
    for stage in STAGES:
        parts.append(f"## {stage.capitalize()} algorithms")
        if stage not in in_yaml:
            parts.append("For notebooks; no block of parameters names them.")
        parts += [text for name, cls in own(stage).items() for text in _algorithm(name, cls)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def own(stage: str) -> dict[str, type[Algorithm]]:
    """The project's algorithms, without those of other installed packages."""
    found = sorted(algorithms(stage).items())
    return {name: cls for name, cls in found if cls.__module__.startswith("cyto_kedro.")}


def _block(name: str, model: type[BaseModel]) -> list[str]:
    texts = [f"## Block `{name}`", summary(model.__doc__)]
    if issubclass(model, RootModel):
        spec = get_args(model.model_fields["root"].annotation)[1]
        texts.append(
            f"One key per population of the assay, each an algorithm of {_link(spec.stage)}."
        )
        more = [row for row in _rows(spec) if row[0] not in ("`name`", "`args`")]
        return [*texts, *(["Beside `name` and `args`:", table(HEADER, more)] if more else [])]
    if issubclass(model, AlgorithmSpec):
        return [*texts, f"An algorithm of {_link(model.stage)}."]
    return [*texts, table(HEADER, _rows(model))]


def _algorithm(name: str, cls: type[Algorithm]) -> list[str]:
    rows = _rows(cls)
    texts = [f"### {name}", *prose(cls.__doc__)]
    if issubclass(cls, Step):
        where = "measurement" if cls.measurement_safe else "segmentation"
        also = " and `preprocessing.segmentation`" if cls.measurement_safe else " only"
        texts.append(f"Under `preprocessing.{where}`{also}.")
    return [*texts, table(HEADER, rows) if rows else "No arguments."]


def _rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, ...]]:
    rows = []
    for name, field in model.model_fields.items():
        path, inner = f"{prefix}{name}", _inner(field.annotation)
        if (quantity := quantity_of(field.annotation)) is not None:
            rows += _in_either_unit(model, path, name, field, quantity)
        elif inner is None:
            meaning = _description(model, name, field)
            kind = _kind(field.annotation) + _limits(field)
            rows.append((f"`{path}`", kind, _default(field), unit(path) or unit(name), meaning))
        elif issubclass(inner, AlgorithmSpec):
            several = get_origin(field.annotation) is tuple
            kind = f"{'list of algorithms' if several else 'algorithm'} of {_link(inner.stage)}"
            meaning = _description(model, name, field)
            rows.append((f"`{path}`", kind, _default(field), "", meaning))
        elif issubclass(inner, Algorithm):
            meaning = _description(model, name, field)
            rows.append((f"`{path}`", "list of algorithms", _default(field), "", meaning))
        else:
            keyed = get_origin(field.annotation) is dict
            deeper = _rows(inner, f"{path}.<name>." if keyed else f"{path}.")
            rows += deeper
    return rows


def _in_either_unit(
    model: type[BaseModel], path: str, name: str, field: FieldInfo, quantity: type[Quantity]
) -> list[tuple[str, ...]]:
    """A length or time: one row for each of its two names."""
    meaning, default = _description(model, name, field), field.default
    rows = []
    for part, each in zip(quantity.units, quantity.model_fields.values(), strict=True):
        known = _default(field)
        if isinstance(default, Quantity):
            value = getattr(default, part)
            known = (
                "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            )
        written = f"{path}_{part}"
        kind = _kind(each.annotation).removesuffix(" or null")
        rows.append((f"`{written}`", kind, known, unit(written), meaning))
        meaning = "the same"
    return rows


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model within an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(each) for each in get_args(annotation))
    return next((each for each in found if each is not None), None)


def _description(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """A field's description, or that of the field it overrides."""
    bases = (
        base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel
    )
    found = [base.model_fields[name].description for base in bases if name in base.model_fields]
    return field.description or next((each for each in found if each), "")


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if origin in (Union, UnionType):
        return " or ".join(_kind(each) for each in inner)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin is dict:
        return f"{_kind(inner[0])} -> {_kind(inner[1])}"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"list of {len(inner)} {_kind(inner[0])}s"
    if origin in (list, tuple):
        return f"list of {_kind(inner[0])}s"
    names = {str: "text", float: "number", int: "whole number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(field: FieldInfo) -> str:
    signs = {Gt: ("gt", ">"), Ge: ("ge", "≥"), Lt: ("lt", "<"), Le: ("le", "≤")}
    found = [
        f"{sign} {getattr(each, key):g}"
        for each in field.metadata
        for kind, (key, sign) in signs.items()
        if isinstance(each, kind)
    ]
    lengths = {
        type(e): getattr(e, "min_length", getattr(e, "max_length", 0)) for e in field.metadata
    }
    low, high = lengths.get(MinLen), lengths.get(MaxLen)
    if (low or 0) > 1:
        found.append(f"{low} values" if low == high else f"at least {low}")
    return f", {' and '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, dict | list | tuple) and not value:
        return "none"
    return (
        f"{value:g}" if isinstance(value, float) else str(value).replace("(", "[").replace(")", "]")
    )


def _link(stage: str) -> str:
    return f"[{stage}](#{stage}-algorithms)"


if __name__ == "__main__":
    sys.stdout.write(main())
