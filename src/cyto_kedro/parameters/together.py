"""What one block of parameters cannot know of another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, RootModel

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tabulation.columns import ColumnStep
from cyto_kedro.core.units import spelled
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.parameters.assay import Assay
from cyto_kedro.parameters.blocks import MODELS, ByPopulation, Preprocessing, Segmentation
from cyto_kedro.parameters.specs import Stepped
from cyto_kedro.registry import AlgorithmSpec


def check_together(blocks: Mapping[str, Any], inherited: Collection[str] = ()) -> None:
    """Check what one block of parameters cannot know of another.

    `blocks`: block name -> its model, or its plain dict; blocks that are absent are not checked.
    `inherited`: blocks that the user did not write: those of conf/base under an environment's
    assay. Raises ConfigError: a block keyed by population that lacks one or names an unknown one; a
    channel that neither the raw films have nor a preprocessing step makes.
    """
    assay = _model("assay", blocks["assay"]) if "assay" in blocks else None
    if isinstance(assay, Assay):  # names first: a misspelt one is no entry of an algorithm either
        for name, value in blocks.items():
            given = value.root if isinstance(value, ByPopulation) else value
            if issubclass(MODELS.get(name, Assay), ByPopulation) and isinstance(given, Mapping):
                _same_populations(name, {*given}, {*assay.populations}, name in inherited)
    models = {name: _model(name, value) for name, value in blocks.items() if name in MODELS}
    if not isinstance(assay, Assay):
        return
    for name, block in models.items():
        if isinstance(block, Segmentation):
            _same_channels(block, assay)
        for path, algorithm in _algorithms(name, block):
            if isinstance(algorithm, ColumnStep):
                for each in algorithm.populations or ():
                    if each not in assay.populations:
                        why = unknown("population", each, assay.populations)
                        whose = _RESTATE.format(name) if name in inherited else ""
                        raise ConfigError(f"{path}.populations: {why}{whose}")
    preprocessing = models.get("preprocessing")
    if isinstance(preprocessing, Preprocessing):
        channels = {*assay.channels}
        for step in preprocessing.steps():
            for channel in step.reads or ():
                if channel not in channels:
                    raise ConfigError(
                        f"preprocessing, {type(step).__name__}: {unknown('channel', channel, channels)}"
                    )
            channels.update(step.makes)
        for name, population in assay.populations.items():
            for channel in population.channels:
                if channel not in channels:
                    raise ConfigError(
                        f"assay.populations.{name}.channels: {unknown('channel', channel, channels)}"
                    )


def _model(name: str, value: Any) -> BaseModel:
    return value if isinstance(value, BaseModel) else MODELS[name].model_validate(value)


def _same_channels(segmentation: Segmentation, assay: Assay) -> None:
    """Check that an engine which reads several channels gets them, and no other does."""
    for name, spec in segmentation.root.items():
        population, engine = assay.populations[name], spec.make()
        apart = getattr(engine, "channels_apart", ())
        if bool(apart) != (population.combine == "separate"):
            raise ConfigError(
                f"segmentation.{name}: {spec.name} "
                + (
                    f"reads the channel {apart[0]!r} apart from the others: set "
                    f"assay.populations.{name}.combine: separate"
                    if apart
                    else f"takes one image, but assay.populations.{name}.combine is separate: set "
                    "it to mean, or take an engine that reads several channels (CellPose with "
                    "nucleus, SeededGrowth)"
                )
            )
        for channel in apart:
            if channel not in population.channels:
                why = unknown("channel", channel, population.channels)
                raise ConfigError(f"segmentation.{name}, {spec.name}: {why}")
        if apart and len(population.channels) != 2:
            raise ConfigError(
                f"segmentation.{name}: {spec.name} reads two channels, but "
                f"assay.populations.{name}.channels are {', '.join(population.channels)}"
            )


def given_in(unit: str, instead: str, blocks: Mapping[str, Any]) -> list[str]:
    """Keys of parameters given in `unit` (``um``, ``min``) that have a twin in `instead` (``px``).

    They need a calibrated film; defaults count too. One whose twin is given as well does not: the
    twin is used where the film is not calibrated.
    """
    return [
        f"{path}.{written}"
        for name, value in blocks.items()
        for path, algorithm in _algorithms(name, MODELS[name].model_validate(value))
        for written, field, of in spelled(type(algorithm))
        if _alone(algorithm, written, field, of, unit, instead)
    ]


def _alone(
    algorithm: Algorithm, written: str, field: str, of: str | None, unit: str, instead: str
) -> bool:
    """Whether a parameter is given in `unit` (or its square) and not in `instead` too."""
    value = getattr(algorithm, field)
    if of is None:
        twin = getattr(algorithm, f"{written.removesuffix(unit)}{instead}", written)
        return written.endswith(f"_{unit}") and value is not None and twin is None
    if of not in (unit, f"{unit}2") or value is None:
        return False
    return getattr(value, of) is not None and getattr(value, instead) is None


def _algorithms(path: str, value: Any) -> Iterator[tuple[str, Algorithm]]:
    """Every algorithm within a block of parameters, and the key where it stands."""
    if isinstance(value, AlgorithmSpec):
        yield from _algorithms(f"{path}.args", value.make())
        if isinstance(value, Stepped):
            yield from _algorithms(f"{path}.steps", value.steps)
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _algorithms(f"{path}[{number}]", each)
    elif isinstance(value, ByPopulation):
        for name, each in value.root.items():
            yield from _algorithms(f"{path}.{name}", each)
    elif isinstance(value, RootModel):
        yield from _algorithms(path, value.root)
    elif isinstance(value, BaseModel):
        if isinstance(value, Algorithm):
            yield path, value
        for name in type(value).model_fields:
            yield from _algorithms(f"{path}.{name}", getattr(value, name))


def _same_populations(block: str, given: set[str], declared: set[str], inherited: bool) -> None:
    if inherited and given != declared:
        raise ConfigError(
            f"{block} must name the populations that assay.populations declares "
            f"({', '.join(sorted(declared))}).{_RESTATE.format(block)}"
        )
    for name in sorted(given - declared):
        raise ConfigError(f"{block}: {unknown('population', name, declared)}")
    if missing := sorted(declared - given):
        raise ConfigError(
            f"{block} says nothing of population {missing[0]!r}, which assay.populations declares: "
            f"add {block}.{missing[0]}"
        )


_RESTATE = (
    " The block {0} is that of conf/base, for other populations: restate it whole in your environment "
    "(parameters_{0}.yml)"
)
