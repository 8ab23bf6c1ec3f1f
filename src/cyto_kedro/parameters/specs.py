"""An algorithm named in YAML, for each stage: which kinds a block may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self

from pydantic import ConfigDict, Field, RootModel

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.segmentation.cleanup import LabelStep, SubtractPopulation
from cyto_kedro.algorithms.tabulation.columns import ColumnStep
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tracking.common import Linker
from cyto_kedro.algorithms.tracking.steps import TrackStep
from cyto_kedro.algorithms.training.cell_classes import TrainCellClasses
from cyto_kedro.algorithms.training.learner import Learner
from cyto_kedro.registry import AlgorithmSpec, Kind, Spec


class Stepped(Spec[Kind], Generic[Kind]):
    """An algorithm, and steps on what it made, in order."""

    steps: tuple[AlgorithmSpec, ...] = ()

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"steps": [each.fingerprint() for each in self.steps]}


class PreprocessingSpec(Spec[Step]):
    stage = "preprocessing"
    kind = Step
    otherwise = (
        "is no step of preprocessing (it must be a subclass of "
        "cyto_kedro.algorithms.preprocessing.base.Step)"
    )


class LabelStepSpec(Spec[LabelStep]):
    """A step on an engine's labels."""

    stage = "segmentation"
    kind = LabelStep
    _no_step: ClassVar[str] = "is no step on labels (such as CleanUp): "
    otherwise = f"{_no_step}an engine is named at segmentation.<population>.name"
    elsewhere = ((SubtractPopulation, f"{_no_step}name it at subtraction.name"),)


class SegmentationSpec(Stepped[Algorithm]):
    """An engine, and what is done to its labels, in order."""

    stage = "segmentation"
    elsewhere = (
        (
            LabelStep,
            "is a step on labels, not an engine: name it under segmentation.<population>.steps",
        ),
        (SubtractPopulation, "is no engine: name it at subtraction.name"),
    )

    steps: tuple[LabelStepSpec, ...] = Field(
        default=(), description="steps on the labels of the whole field, before subtraction"
    )


class TabulationSpec(Spec[Algorithm]):
    stage = "tabulation"
    elsewhere = (
        (
            ColumnStep,
            "is a step on the table of cells: name it under tabulation.steps or contacts.columns",
        ),
        (
            FeatureGroup,
            "is a group of features, which makes no table: write "
            "{name: Features, args: {groups: [{name: NAME}]}}",
        ),
    )


class ColumnStepSpec(Spec[ColumnStep]):
    """A step on the table of cells."""

    stage = "tabulation"
    kind = ColumnStep
    otherwise = "is no step on columns (such as FilterCells)"


class ColumnSteps(RootModel[tuple[ColumnStepSpec, ...]]):
    """Steps on the tables of cells, in order; a group sees those for its population."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def for_group(self, group: Mapping[str, str]) -> Self:
        """The steps for the group's population (all where the group has none)."""
        if "population" not in group:
            return self
        return type(self)(
            tuple(each for each in self.root if each.make().is_for(group["population"]))
        )

    def made(self) -> list[ColumnStep]:
        """The steps."""
        return [each.make() for each in self.root]


class TrackStepSpec(Spec[TrackStep]):
    """A step after linking."""

    stage = "tracking"
    kind = TrackStep
    otherwise = "is a linker, not a step after it: name it at tracking.<population>.name"


class TrackingSpec(Stepped[Linker]):
    """A linker, and what is done to its tracks, in order."""

    stage = "tracking"
    kind = Linker
    otherwise = "is a step after linking, not a linker: name it under tracking.<population>.steps"

    steps: tuple[TrackStepSpec, ...] = Field(default=(), description="steps after linking")


class ContactsSpec(AlgorithmSpec):
    stage = "contacts"


class NetworksSpec(AlgorithmSpec):
    stage = "networks"


class ComparisonSpec(AlgorithmSpec):
    stage = "comparison"


class ReportingSpec(AlgorithmSpec):
    stage = "reporting"


class TrainingSpec(Spec[Learner]):
    """What learns an engine."""

    stage = "training"
    kind = Learner


class ClassTrainingSpec(Spec[TrainCellClasses]):
    """What learns classes of cells."""

    stage = "training"
    kind = TrainCellClasses


class SimulationSpec(AlgorithmSpec):
    stage = "simulation"
