"""What is stored of an image that is made on reading: of which raw frames, and by which steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from cyto_kedro.datasets import previews
from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.kedro_private import ImagePreview

if TYPE_CHECKING:
    import dask.array as da


class RecipeStep(BaseModel):
    """A step: its place among the field's steps, its name, arguments and the version of its class."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    place: int
    name: str
    args: dict[str, Any]
    version: int


class Recipe(BaseModel):
    """How one block of images is made of raw films.

    It says by hashes which pixels, which estimates and which field it was written for, so that equal
    recipes give equal images: what was made of an image is current as long as its recipe is equal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    fov: str
    block: str
    #: raw channel that is read -> a hash of each of its frames
    raw: dict[str, tuple[str, ...]]
    steps: tuple[RecipeStep, ...]
    #: hash of what the steps need of the field's state
    state: str
    #: hash of what is planned of the field: its size, excluded frames, calibration
    film: str
    #: channels, after the steps, of which the image is made; several: their mean, or each apart
    sources: tuple[str, ...]
    combine: Literal["mean", "separate"] = "mean"
    #: of the image, (T, Y, X) or (T, C, Y, X)
    shape: tuple[int, ...]
    dtype: str
    pixel_size_um: float | None = None
    time_s: tuple[float, ...] | None = None
    channels: tuple[str, ...] = ()


class Follower(Protocol):
    """Who makes images by their recipes."""

    def follow(self, recipe: Recipe, path: str) -> da.Array:
        """The image whose recipe lies at `path`, lazily."""
        ...


class RecipeDataset(FileDataset[Recipe, "da.Array"]):
    """An image stored as its `Recipe`, in JSON; loading follows it (`ImageDataset` stores pixels)."""

    def __init__(self, *, follower: Follower, **where: Any) -> None:
        super().__init__(**where)
        self._follower = follower

    def recipe(self) -> Recipe:
        """The recipe itself. Raises InputError if the file holds none."""
        with self._read() as file:
            content = file.read()
        try:
            return Recipe.model_validate_json(content)
        except ValueError as error:
            raise InputError(
                f"{self.location} is not a whole recipe of an image: remove it, and run preprocessing "
                "again (`kedro run`)"
            ) from error

    def load(self) -> da.Array:
        """The image, made as it is read: as `ImageDataset.load`."""
        return self._follower.follow(self.recipe(), self._path)

    def save(self, data: Recipe) -> None:
        """Write the recipe."""
        content = json.dumps(data.model_dump(mode="json"), indent=1, sort_keys=True)
        self._write_bytes(content.encode())

    def glance(self) -> str:
        """Shape and type of the pixels."""
        recipe = self.recipe()
        axes = "(T, C, Y, X)" if len(recipe.shape) == 4 else "(T, Y, X)"
        return f"{recipe.shape}, {axes}, {recipe.dtype}, made on reading"

    def load_metadata(self) -> ImageInfo:
        """Channel names, pixel size and frame times."""
        recipe = self.recipe()
        return ImageInfo(recipe.pixel_size_um, recipe.time_s, recipe.channels)

    def preview(self) -> ImagePreview:
        """Six frames (of the first channel), contrast stretched."""
        stack = self.load()
        return previews.image_png(stack if stack.ndim == 3 else stack[:, 0])
