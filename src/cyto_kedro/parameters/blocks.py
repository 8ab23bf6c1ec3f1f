"""One model for each further block of ``parameters*.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.segmentation.cleanup import SubtractPopulation
from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters.assay import Assay
from cyto_kedro.parameters.base import Strict
from cyto_kedro.parameters.specs import (
    ContactsSpec,
    NetworksSpec,
    PreprocessingSpec,
    SegmentationSpec,
    SimulationSpec,
    TabulationSpec,
    TrackingSpec,
)
from cyto_kedro.registry import AlgorithmSpec


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

    def made_channels(self) -> list[str]:
        """Channels that steps add."""
        return [name for step in self.steps() for name in step.makes]


class ByPopulation(RootModel[dict[str, Any]]):
    """A block keyed by population; a group sees its population's part."""

    model_config = ConfigDict(frozen=True)

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


class Subtraction(AlgorithmSpec):
    """``subtraction:`` how one population's mask is taken out of another's."""

    stage: ClassVar[str] = "segmentation"

    def make(self) -> SubtractPopulation:
        """Make it.

        Raises
        ------
        ConfigError
            If it is an algorithm of another kind.
        """
        made = super().make()
        if not isinstance(made, SubtractPopulation):
            raise ConfigError(
                f"{self.name} subtracts nothing: subtraction.name must be SubtractPopulation, or a "
                "subclass of it"
            )
        return made


class Tabulation(Strict):
    """``tabulation:`` what is read off masks and images."""

    features: TabulationSpec = Field(description="what is measured of each cell")
    touches: TabulationSpec = Field(description="which masks are within reach of each other")


class Contacts(Strict):
    """``contacts:`` motion, contact, death, kill."""

    kinematics: ContactsSpec = Field(description="motion per step and per track")
    contacts: ContactsSpec = Field(description="touches joined to tracks")
    bouts: ContactsSpec = Field(description="runs of contact of one pair")
    viability: ContactsSpec = Field(description="alive or dead, per cell and frame")
    deaths: ContactsSpec = Field(description="when a track turns from alive to dead")
    kills: ContactsSpec = Field(description="which effectors a death is attributed to")
    tallies: ContactsSpec = Field(
        default_factory=lambda: ContactsSpec(name="CellTallies"),
        description="kills per effector, hits per target",
    )


class Networks(Strict):
    """``networks:`` cell graphs."""

    delaunay: NetworksSpec = Field(description="neighbours by triangulation, per frame")
    contact: NetworksSpec = Field(description="cells in contact, per frame")
    over_time: NetworksSpec = Field(description="contacts of the whole film as one graph")


class Reporting(Strict):
    """``reporting:`` the report."""

    title: str = Field(default="Cytotoxicity assay", description="heading of the report")
    overlay_frames: int = Field(default=6, ge=1, description="frames drawn per field")


class Simulation(Strict):
    """``simulation:`` fields to make, each with a condition and a simulated assay."""

    class Fov(Strict):
        condition: str = Field(description="for the sample sheet")
        replicate: str = Field(default="1", description="for the sample sheet")
        control: bool = Field(default=False, description="for the sample sheet")
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
    "reporting": Reporting,
    "simulation": Simulation,
}
