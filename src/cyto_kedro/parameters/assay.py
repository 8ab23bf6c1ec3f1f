"""``assay:`` what was filmed."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cyto_kedro.blocks import Tiling
from cyto_kedro.errors import ConfigError, unknown
from cyto_kedro.parameters.base import Strict
from cyto_kedro.partitions import check_names
from cyto_kedro.schemas import STATS, Cells, dtypes
from cyto_kedro.view import Projection, View

Role = Literal["effector", "target", "other"]


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
    z_is_time: bool = Field(
        default=False, description="z planes are frames, in files with but one time point"
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
    death_marker: bool = Field(
        default=True,
        description="whether the death marker tells of it; false: its cells are taken to live",
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
    keep_images: Literal["virtual", "stored"] = Field(
        default="virtual",
        description="virtual: images that quick steps make are made of the raw film as they are read; "
        "stored: all are written",
    )
    pixel_size_um: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="holds, whatever the files say; null: as the files say",
    )
    frame_interval_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="holds, unless the files' time stamps agree with it; null: as the files say",
    )

    @model_validator(mode="after")
    def _one_meaning_of_depth(self) -> Self:
        if self.raw.z_is_time and self.raw.project_z is not None:
            raise ConfigError("raw: z planes are frames (z_is_time) or depth (project_z), not both")
        return self

    @field_validator("channels", "populations")
    @classmethod
    def _names(cls, value: Any) -> Any:
        check_names("name", value)
        if len(set(value)) < len(value):
            raise ConfigError(f"a name stands twice in {list(value)}")
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        for channel in self.channels:
            if taken := [f"{channel}_{s}" for s in STATS if f"{channel}_{s}" in dtypes(Cells)]:
                raise ConfigError(
                    f"channels: {channel!r} cannot be a channel's name: tables call its intensity "
                    f"{taken[0]}, which is another column. Map it to another name with raw.names"
                )
        if "unit" in self.populations:  # speed_unit of the summary
            raise ConfigError("populations: 'unit' is the name of a column; take another")
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
