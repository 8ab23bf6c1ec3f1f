"""One model for each further block of ``parameters*.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.segmentation.cleanup import SubtractPopulation
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters.assay import Assay
from cyto_kedro.parameters.base import Strict
from cyto_kedro.parameters.specs import (
    ClassTrainingSpec,
    ColumnSteps,
    ComparisonSpec,
    ContactsSpec,
    NetworksSpec,
    PreprocessingSpec,
    ReportingSpec,
    SegmentationSpec,
    SimulationSpec,
    TabulationSpec,
    TrackingSpec,
    TrainingSpec,
)
from cyto_kedro.registry import Spec


class Preprocessing(Strict):
    """``preprocessing:`` corrections of all images, then steps for segmentation images only."""

    measurement: tuple[PreprocessingSpec, ...] = Field(
        default=(), description="steps on every image, those that intensities are measured on too"
    )
    segmentation: tuple[PreprocessingSpec, ...] = Field(
        default=(), description="further steps, on the images that are segmented only"
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for spec in self.measurement:
            if not spec.make().measurement_safe:
                raise ConfigError(
                    f"measurement: {spec.name} changes what intensities mean, so it must not touch "
                    "the images they are measured on; move it to preprocessing.segmentation"
                )
        return self

    def steps(self) -> list[Step]:
        """All steps in order, those of measurement first."""
        return [spec.make() for spec in (*self.measurement, *self.segmentation)]


class ByPopulation(RootModel[dict[str, Any]]):
    """A block keyed by population; a group sees its population's part."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def for_group(self, group: Mapping[str, str]) -> Any:
        """The part of the group's population (the whole where the group has none)."""
        return self.root[group["population"]] if "population" in group else self


class Segmentation(ByPopulation):
    """``segmentation:`` population -> engine, and ``steps``, a list of what is done to its labels."""

    root: dict[str, SegmentationSpec]

    def for_group(self, group: Mapping[str, str]) -> Any:
        """The part of the group's population; of a tile the engine alone.

        Steps come after tiles are joined, so changing them makes no engine's labels stale.
        """
        part = super().for_group(group)
        return part.model_copy(update={"steps": ()}) if "tile" in group else part


class Tracking(ByPopulation):
    """``tracking:`` population -> linker, and ``steps``, a list of what follows it."""

    root: dict[str, TrackingSpec]


class Subtraction(Spec[SubtractPopulation]):
    """``subtraction:`` how one population's mask is taken out of another's."""

    stage = "segmentation"
    kind = SubtractPopulation
    otherwise = (
        "subtracts nothing: subtraction.name must be SubtractPopulation, or a subclass of it"
    )


class Tabulation(Strict):
    """``tabulation:`` what is read off masks and images."""

    features: TabulationSpec = Field(description="what is measured of each cell")
    touches: TabulationSpec = Field(description="which masks are within reach of each other")
    evidence: TabulationSpec = Field(
        default=TabulationSpec(name="MaskEvidence"), description="what the image says of the masks"
    )
    quality: TabulationSpec = Field(
        default=TabulationSpec(name="MaskQuality"),
        description="which fields' masks and tracks are flagged",
    )
    steps: ColumnSteps = Field(
        description="steps on the cells as they are measured, each within a frame and population; "
        "what FilterCells drops is in no later table",
    )

    @model_validator(mode="after")
    def _within_a_frame(self) -> Self:
        for step in self.steps.made():
            if step.reach != "frame":
                name = type(step).__name__
                raise ConfigError(
                    f"steps: {name} looks beyond one frame and population (a {step.reach}), but "
                    "cells are measured block by block: name it under contacts.columns, or set over: "
                    "frame where it has that"
                )
        return self


class Contacts(Strict):
    """``contacts:`` motion, contact, death, kill."""

    drift: ContactsSpec = Field(description="common motion of all cells, and whether it counts")
    kinematics: ContactsSpec = Field(description="motion per step and per track")
    msd: ContactsSpec = Field(description="mean squared displacement and its fits")
    autocorrelation: ContactsSpec = Field(description="how long cells keep their direction")
    smoothing: ContactsSpec = Field(description="columns smoothed along each track")
    contacts: ContactsSpec = Field(description="touches joined to tracks, or by position")
    bouts: ContactsSpec = Field(description="runs of contact of one pair")
    encounters: ContactsSpec = Field(description="all bouts of a pair together")
    neighbours: ContactsSpec = Field(description="what is around each cell")
    conjugation: ContactsSpec = Field(description="effectors to targets, and shares in contact")
    dwell: ContactsSpec = Field(description="how long contacts last, over the assay")
    viability: ContactsSpec = Field(description="alive or dead, per cell and frame")
    deaths: ContactsSpec = Field(description="when a track turns from alive to dead")
    kills: ContactsSpec = Field(description="which effectors a death is attributed to")
    tallies: ContactsSpec = Field(description="kills per effector, hits per target")
    death_index: ContactsSpec = Field(description="share of dead cells per frame")
    windows: ContactsSpec = Field(
        default=ContactsSpec(name="TrackWindows"), description="motion, shape, contact by window"
    )
    density: ContactsSpec = Field(description="cells per area, smoothed: maps, and at each cell")
    columns: ColumnSteps = Field(
        description="steps on the cells of whole films, with viability and tracks; what they add is "
        "the table cell_columns",
    )


class Networks(Strict):
    """``networks:`` cell graphs, and how cells and deaths lie in space."""

    delaunay: NetworksSpec = Field(
        description="neighbours by position, per frame: Delaunay, RadiusGraph or NearestGraph"
    )
    contact: NetworksSpec = Field(description="cells in contact, per frame")
    over_time: NetworksSpec = Field(description="contacts of the whole film as one graph")
    space_time: NetworksSpec = Field(description="tracks, contacts, deaths, kills as one graph")
    clusters: NetworksSpec = Field(description="groups of cells in contact, followed over time")
    spatial: NetworksSpec = Field(description="clustering and attraction against chance, per frame")
    organisation: NetworksSpec = Field(
        default=NetworksSpec(name="OrganisationEntropy"),
        description="how evenly cells are spread, and how mixed, per frame",
    )
    death_spread: NetworksSpec = Field(description="whether deaths make deaths near them likelier")


class Comparison(Strict):
    """``comparison:`` survival, and conditions compared by their replicates."""

    condition: str = Field(
        default="condition", description="column of the sample sheet: what is compared"
    )
    replicate: str = Field(
        default="replicate",
        description="column of the sample sheet: what is independent of each other (donor, plate, …)",
    )
    reference: str | None = Field(
        default=None,
        description="condition that others are compared with; null: the untreated co-culture where "
        "the sheet tells one (`control`, or `dose` 0, and effectors), else all pairs",
    )
    primary: tuple[str, ...] = Field(
        default=("survival",),
        description="measures that the assay was made for; all others are exploratory",
    )
    paired: bool | str | None = Field(
        default=None,
        description="column of the sample sheet whose value says which replicates of two conditions "
        "belong together; true: those of one name; false: none; null: those of one donor, where the "
        "sheet has the column donor",
    )
    survival: ComparisonSpec = Field(description="curves per condition and replicate")
    bounds: ComparisonSpec = Field(description="what lost tracks could do to them")
    contact: ComparisonSpec = Field(description="survival of targets by contact")
    hazards: ComparisonSpec = Field(description="Cox regression on contact and condition")
    cytotoxicity: ComparisonSpec = Field(
        default=ComparisonSpec(name="Cytotoxicity"), description="live targets, specific killing"
    )
    dose_response: ComparisonSpec = Field(
        default=ComparisonSpec(name="DoseResponse"), description="over dose and E:T ratio"
    )
    events: ComparisonSpec = Field(
        default=ComparisonSpec(name="FollowEvents"), description="columns around events, by field"
    )
    event_signals: ComparisonSpec = Field(
        default=ComparisonSpec(name="EventSignals"), description="the same by condition"
    )
    behaviours: ComparisonSpec = Field(
        default=ComparisonSpec(name="Behaviours"), description="classes of windows of tracks"
    )
    replicates: ComparisonSpec = Field(description="one number per replicate and measure")
    tests: ComparisonSpec = Field(description="comparison of conditions by those numbers")


class Reporting(Strict):
    """``reporting:`` the report."""

    title: str = Field(default="Cytotoxicity assay", description="heading of the report")
    dpi: int = Field(default=144, ge=50, le=600, description="of figures as PNG; SVG has no pixels")
    formats: tuple[Literal["svg", "pdf"], ...] = Field(
        default=("svg",), description="vector files of each figure; PDF has its text as text"
    )
    width_mm: float | None = Field(
        default=180.0,
        ge=20,
        le=1000,
        description="of vector files (a journal's column is about 88, its page 180); null: as drawn",
    )

    def drawing(self) -> dict[str, Any]:
        """What classes of figures are told."""
        return self.model_dump(include={"dpi", "formats", "width_mm"})


class Films(Strict):
    """``films:`` pictures of the films: overlays, and moving ones by the pipeline of that name."""

    overlays: ReportingSpec = Field(
        default=ReportingSpec(name="Overlays"), description="some frames of each field"
    )
    field: ReportingSpec = Field(
        default=ReportingSpec(name="FieldFilm"), description="of each field"
    )
    clips: ReportingSpec = Field(
        default=ReportingSpec(name="EventClips"), description="of single events, around the pair"
    )


class LeftOut(Strict):
    """What is left out of learning, to score it."""

    split: str = Field(
        default="fov",
        description="column of the sample sheet by which examples are left out to score: fov, or "
        "replicate, plate, experiment, …",
    )
    most_folds: int = Field(
        default=5, ge=2, description="groups are left out in so many parts at most"
    )


class Training(LeftOut):
    """``training:`` engines learnt from corrected masks, by the pipeline of that name."""

    learner: TrainingSpec = Field(
        default=TrainingSpec(name="TrainPixelForest"), description="what learns, and how"
    )
    populations: tuple[str, ...] | None = Field(
        default=None, description="whose engines are learnt; null: of all that have examples"
    )
    examples: Literal["corrected", "all"] = Field(
        default="corrected",
        description="masks that are right: those that a person put in place (`kedro cyto correct`), or "
        "all (masks that came from elsewhere)",
    )
    frames_per_block: int = Field(
        default=3, ge=1, description="frames learnt from of each block, spread evenly"
    )


class CellClasses(LeftOut):
    """``cell_classes:`` classes of cells, learnt from a table, by the pipeline of that name."""

    learner: ClassTrainingSpec = Field(
        default=ClassTrainingSpec(name="TrainCellClasses"), description="what learns, and how"
    )


class Simulation(Strict):
    """``simulation:`` fields to make, each with a condition and a simulated assay."""

    class Fov(Strict):
        condition: str = Field(description="for the sample sheet")
        replicate: str = Field(default="1", description="for the sample sheet")
        control: bool = Field(default=False, description="for the sample sheet")
        sheet: dict[str, str | float] = Field(
            default={}, description="further columns of the sample sheet (donor, dose, et_ratio, …)"
        )
        assay: SimulationSpec = Field(description="the simulated assay")

    fovs: dict[str, Fov] = Field(min_length=1, description="field -> what to simulate")


MODELS: dict[str, type[BaseModel]] = {
    "assay": Assay,
    "preprocessing": Preprocessing,
    "segmentation": Segmentation,
    "subtraction": Subtraction,
    "tabulation": Tabulation,
    "tracking": Tracking,
    "contacts": Contacts,
    "networks": Networks,
    "comparison": Comparison,
    "reporting": Reporting,
    "films": Films,
    "training": Training,
    "cell_classes": CellClasses,
    "simulation": Simulation,
}
