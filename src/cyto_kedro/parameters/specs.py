"""An algorithm named in YAML, for each stage: which kinds a block may name."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.segmentation.cleanup import LabelStep, SubtractPopulation
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tracking.common import Linker
from cyto_kedro.algorithms.tracking.steps import TrackStep
from cyto_kedro.errors import ConfigError
from cyto_kedro.registry import AlgorithmSpec


class PreprocessingSpec(AlgorithmSpec):
    stage: ClassVar[str] = "preprocessing"

    def make(self) -> Step:
        """Make the step.

        Raises
        ------
        ConfigError
            If it is an algorithm of another kind.
        """
        made = super().make()
        if not isinstance(made, Step):
            raise ConfigError(
                f"{self.name} is no step of preprocessing (it must be a subclass of "
                "cyto_kedro.algorithms.preprocessing.base.Step)"
            )
        return made


class Stepped(AlgorithmSpec):
    """An algorithm, and steps on what it made, in order."""

    steps: tuple[AlgorithmSpec, ...] = ()

    def fingerprint(self) -> dict[str, Any]:
        """See `AlgorithmSpec.fingerprint`."""
        return super().fingerprint() | {"steps": [each.fingerprint() for each in self.steps]}


class LabelStepSpec(AlgorithmSpec):
    """A step on an engine's labels."""

    stage: ClassVar[str] = "segmentation"

    def make(self) -> LabelStep:
        """Make the step.

        Raises
        ------
        ConfigError
            If it is an algorithm of another kind.
        """
        step = super().make()
        if not isinstance(step, LabelStep):
            raise ConfigError(
                f"{self.name} is no step on labels (such as CleanUp): "
                + (
                    "name it at subtraction.name"
                    if isinstance(step, SubtractPopulation)
                    else "an engine is named at segmentation.<population>.name"
                )
            )
        return step


class SegmentationSpec(Stepped):
    """An engine, and what is done to its labels, in order."""

    stage: ClassVar[str] = "segmentation"

    steps: tuple[LabelStepSpec, ...] = Field(
        default=(), description="steps on the labels of the whole field, before subtraction"
    )

    def make(self) -> Algorithm:
        """Make the engine.

        Raises
        ------
        ConfigError
            If it is an algorithm of another kind.
        """
        engine = super().make()
        if isinstance(engine, LabelStep):
            raise ConfigError(
                f"{self.name} is a step on labels, not an engine: name it under "
                "segmentation.<population>.steps"
            )
        if isinstance(engine, SubtractPopulation):
            raise ConfigError(f"{self.name} is no engine: name it at subtraction.name")
        return engine


class TabulationSpec(AlgorithmSpec):
    stage: ClassVar[str] = "tabulation"

    def make(self) -> Algorithm:
        """Make the algorithm, which is no mere part of one."""
        made = super().make()
        if isinstance(made, FeatureGroup):
            raise ConfigError(
                f"{self.name} is a group of features, which makes no table: write "
                f"{{name: Features, args: {{groups: [{{name: {self.name}}}]}}}}"
            )
        return made


class TrackStepSpec(AlgorithmSpec):
    """A step after linking."""

    stage: ClassVar[str] = "tracking"

    def make(self) -> TrackStep:
        """Make the step."""
        step = super().make()
        if not isinstance(step, TrackStep):
            raise ConfigError(
                f"{self.name} is a linker, not a step after it: name it at tracking.<population>.name"
            )
        return step


class TrackingSpec(Stepped):
    """A linker, and what is done to its tracks, in order."""

    stage: ClassVar[str] = "tracking"

    steps: tuple[TrackStepSpec, ...] = Field(default=(), description="steps after linking")

    def make(self) -> Linker:
        """Make the linker."""
        linker = super().make()
        if not isinstance(linker, Linker):
            raise ConfigError(
                f"{self.name} is a step after linking, not a linker: name it under "
                "tracking.<population>.steps"
            )
        return linker


class ContactsSpec(AlgorithmSpec):
    stage: ClassVar[str] = "contacts"

    @property
    def needs_marker(self) -> bool:
        """Whether it reads a marker's channel; an algorithm says no by ``needs_marker = False``."""
        return getattr(self.make(), "needs_marker", True)


class NetworksSpec(AlgorithmSpec):
    stage: ClassVar[str] = "networks"


class SimulationSpec(AlgorithmSpec):
    stage: ClassVar[str] = "simulation"
