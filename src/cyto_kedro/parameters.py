"""The parameters of each pipeline as typed models, which Kedro validates before a run.

Each model stands for one block of ``parameters*.yml``. What one block cannot know of another (does
segmentation name exactly the declared populations?) is checked by `check_together`, also before
anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.preprocessing.base import Step
from cyto_kedro.algorithms.segmentation.cleanup import LabelStep
from cyto_kedro.algorithms.tabulation.groups import FeatureGroup
from cyto_kedro.algorithms.tracking.common import Linker
from cyto_kedro.algorithms.tracking.steps import TrackStep
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.partitions import Tiling, check_name
from cyto_kedro.registry import AlgorithmSpec
from cyto_kedro.view import Projection, View

Role = Literal["effector", "target", "other"]


class Strict(BaseModel):
    """Frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                raise ConfigError(unknown("key", str(key), cls.model_fields))
        return value


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


class LabelStepSpec(AlgorithmSpec):
    """A step after an engine."""

    stage: ClassVar[str] = "segmentation"

    def make(self) -> LabelStep:
        """Make the step."""
        step = super().make()
        if not isinstance(step, LabelStep):
            raise ConfigError(
                f"{self.name} is no step on labels (CleanUp, SplitTouching, SmoothOutlines): an "
                "engine is named at segmentation.<population>.name"
            )
        return step


class SegmentationSpec(AlgorithmSpec):
    """An engine, and what is done to its labels, in order."""

    stage: ClassVar[str] = "segmentation"

    steps: tuple[LabelStepSpec, ...] = Field(default=(), description="steps after the engine")

    def make(self) -> Algorithm:
        """Make the engine."""
        engine = super().make()
        if isinstance(engine, LabelStep):
            raise ConfigError(
                f"{self.name} is a step on labels, not an engine: name it under "
                "segmentation.<population>.steps"
            )
        return engine

    def fingerprint(self) -> dict[str, Any]:
        """See `AlgorithmSpec.fingerprint`."""
        steps = [each.fingerprint() for each in self.steps]
        return super().fingerprint() | ({"steps": steps} if steps else {})


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


class TrackingSpec(AlgorithmSpec):
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

    def fingerprint(self) -> dict[str, Any]:
        """See `AlgorithmSpec.fingerprint`."""
        return super().fingerprint() | {"steps": [each.fingerprint() for each in self.steps]}


class ContactsSpec(AlgorithmSpec):
    stage: ClassVar[str] = "contacts"


class NetworksSpec(AlgorithmSpec):
    stage: ClassVar[str] = "networks"


class SimulationSpec(AlgorithmSpec):
    stage: ClassVar[str] = "simulation"


class Raw(Strict):
    """Where the raw films are, within the catalog's `raw_folder`."""

    pattern: str = Field(description="path with {fov}, {channel}, {frame}, each optional")
    sidecar: str | None = Field(
        default=None, description="JSON file beside each image that names its channels"
    )
    names: dict[str, str] = Field(
        default={}, description="our channel -> its name in the files, where they differ"
    )
    exclude: tuple[str, ...] = Field(default=(), description="globs of files to leave out")
    project_z: Projection | None = Field(
        default=None, description="how z planes are flattened; null: films with depth are refused"
    )
    view: View = View()


class Population(Strict):
    """Cells of one kind."""

    role: Role = Field(description="effector (kills), target (is killed) or other")
    channels: tuple[str, ...] = Field(min_length=1, description="segmented from these")
    combine: Literal["mean", "separate"] = Field(
        default="mean",
        description="several channels: their mean, or each apart for an engine that reads several",
    )
    subtract: tuple[str, ...] = Field(
        default=(), description="populations whose masks are taken out of this one's"
    )


class Assay(Strict):
    """``assay:`` what was filmed."""

    raw: Raw
    channels: tuple[str, ...] = Field(min_length=1, description="channels of the raw films")
    populations: dict[str, Population] = Field(min_length=1)
    markers: dict[str, str] = Field(default={}, description="marker (death, ...) -> channel")
    block_length: int = Field(default=50, ge=1, description="frames a partition")
    tiles: Tiling | None = Field(
        default=None, description="cut large fields for segmentation; null: segment them whole"
    )
    pixel_size_um: float | None = Field(
        default=None, gt=0, description="used where the files do not say"
    )
    frame_interval_s: float | None = Field(
        default=None, gt=0, description="used where the files give no times"
    )

    @field_validator("channels", "populations")
    @classmethod
    def _names(cls, value: Any) -> Any:
        for name in value:
            check_name("name", name)
        if len(set(value)) < len(value):
            raise ConfigError(f"a name stands twice in {list(value)}")
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        for marker, channel in self.markers.items():
            if channel not in self.channels:
                raise ConfigError(f"markers.{marker}: {unknown('channel', channel, self.channels)}")
        for name, population in self.populations.items():
            for other in population.subtract:
                if other not in self.populations or other == name:
                    others = set(self.populations) - {name}
                    raise ConfigError(
                        f"populations.{name}.subtract: {unknown('other population', other, others)}"
                    )
        return self


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
    """``segmentation:`` population -> engine, and ``steps``, a list of what follows it."""

    root: dict[str, SegmentationSpec]


class Tracking(ByPopulation):
    """``tracking:`` population -> linker, and ``steps``, a list of what follows it."""

    root: dict[str, TrackingSpec]


class Subtraction(AlgorithmSpec):
    """``subtraction:`` how one population's mask is taken out of another's."""

    stage: ClassVar[str] = "segmentation"


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


def check_together(blocks: Mapping[str, Any]) -> None:
    """Check what one block of parameters cannot know of another.

    Parameters
    ----------
    blocks
        Block name -> its model, or its plain dict; blocks that are absent are not checked.

    Raises
    ------
    ConfigError
        A block keyed by population that lacks one or names an unknown one; a channel that neither
        the raw films have nor a preprocessing step makes.
    """
    models = {
        name: value if isinstance(value, BaseModel) else MODELS[name].model_validate(value)
        for name, value in blocks.items()
        if name in MODELS
    }
    assay = models.get("assay")
    if not isinstance(assay, Assay):
        return
    for name, block in models.items():
        if isinstance(block, ByPopulation):
            _same_populations(name, set(block.root), set(assay.populations))
        if isinstance(block, Segmentation):
            _same_channels(block, assay)
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

    They need a calibrated film; defaults count too.
    """
    return [
        f"{path}.{field}"
        for name, value in blocks.items()
        for path, algorithm in _algorithms(name, MODELS[name].model_validate(value))
        for field in type(algorithm).model_fields
        if field.endswith(f"_{unit}")
        and f"{field.removesuffix(unit)}{instead}" in type(algorithm).model_fields
        and getattr(algorithm, field) is not None
    ]


def _algorithms(path: str, value: Any) -> Iterator[tuple[str, Algorithm]]:
    """Every algorithm within a block of parameters, and the key where it stands."""
    if isinstance(value, AlgorithmSpec):
        yield from _algorithms(f"{path}.args", value.make())
        if isinstance(value, (SegmentationSpec, TrackingSpec)):
            yield from _algorithms(f"{path}.steps", value.steps)
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _algorithms(f"{path}[{number}]", each)
    elif isinstance(value, RootModel):
        for name, each in value.root.items():
            yield from _algorithms(f"{path}.{name}", each)
    elif isinstance(value, BaseModel):
        if isinstance(value, Algorithm):
            yield path, value
        for name in type(value).model_fields:
            yield from _algorithms(f"{path}.{name}", getattr(value, name))


def _same_populations(block: str, given: set[str], declared: set[str]) -> None:
    for name in sorted(given - declared):
        raise ConfigError(f"{block}: {unknown('population', name, declared)}")
    if missing := sorted(declared - given):
        raise ConfigError(
            f"{block} says nothing of population {missing[0]!r}, which assay.populations declares: "
            f"add {block}.{missing[0]}"
        )
