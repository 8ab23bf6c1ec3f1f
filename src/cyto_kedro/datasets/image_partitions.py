"""Blocks of images, each stored as pixels or as the recipe by which it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import AbstractDataset
from kedro.utils import load_obj

from cyto_kedro.datasets.lazy import read_by
from cyto_kedro.datasets.object_ import ObjectDataset
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.datasets.raw_images import OpenedRaw, RawImages
from cyto_kedro.datasets.recipe import Recipe, RecipeDataset
from cyto_kedro.errors import InputError
from cyto_kedro.ledger import Correction, digest, move_aside
from cyto_kedro.partitions import SMALL_FILM_BYTES, Partitions, PlannedFov

if TYPE_CHECKING:
    import dask.array as da

RECIPE = ".recipe.json"


class Maker(Protocol):
    """What a recipe needs beside raw films and states: who knows the steps."""

    def frames(
        self, recipe: Recipe, raw: Mapping[str, Any], states: Sequence[Any], film: PlannedFov
    ) -> Callable[[int, int], np.ndarray]:
        """A function that makes the frames from the first to the last (not included) of the block."""
        ...

    def state_hash(self, recipe: Recipe, states: Sequence[Any]) -> str:
        """A hash of what the recipe's steps need of the field's states."""
        ...


class ImagePartitions(PartitionedDataset):
    """Images whose blocks are stored as pixels, or made of the raw film as they are read.

    What is saved decides: an image is stored as pixels, a `Recipe` as itself. A recipe lies where the
    pixels would, ``….recipe.json`` in place of the suffix, and loads as they would: lazily, equal to the
    last bit.

    Parameters
    ----------
    raw
        ``{filepath: …}``, ingestion's manifest, which says where the raw films lie.
    states
        ``{path: …}``, the folder of preprocessing's states.
    maker
        Name of the object that makes frames: see `Maker`.
    path, dataset, grain, filename_suffix, credentials, fs_args, metadata
        As in `PartitionedDataset`.

    Raises
    ------
    InputError
        On loading where the raw film, the state or the field is not what the recipe was written for.
    """

    def __init__(
        self, *, raw: dict[str, Any], states: dict[str, Any], maker: str, **where: Any
    ) -> None:
        super().__init__(**where)
        options: dict[str, Any] = {key: where.get(key) for key in ("credentials", "fs_args")}
        self._raw_images = RawImages(**options, **raw)
        self._states = PartitionedDataset(
            grain="fov", filename_suffix=".pkl", dataset=ObjectDataset, **options, **states
        )
        self._maker_name = maker
        self._opened: OpenedRaw | None = None
        self._last_state: tuple[Any, Any] | None = None

    @cached_property
    def _maker(self) -> Maker:
        maker: Maker = load_obj(self._maker_name)
        return maker

    def load(self) -> Partitions:
        """The partitions, none of them opened yet; raw films are looked at anew."""
        self._opened = None
        return super().load()

    def path_of(self, identity: str) -> str:
        """Where partition `identity` lies: as pixels, unless there is a recipe alone."""
        pixels, recipe = super().path_of(identity), self._recipe_path(identity)
        fs = self._filesystem
        if isinstance(fs, LocalFileSystem):
            there = {each for each in (recipe, pixels) if fs.exists(each)}
        else:  # one request for both; to ask a store for what is not there costs two by itself
            folder, _, name = recipe.removesuffix(RECIPE).rpartition("/")
            there = set(fs.find(folder, prefix=name))
        return recipe if recipe in there and pixels not in there else pixels

    def _recipe_path(self, identity: str) -> str:
        return super().path_of(identity).removesuffix(self._filename_suffix) + RECIPE

    def _at(self, path: str) -> AbstractDataset:
        if not path.endswith(RECIPE):
            return super()._at(path)
        options = {"credentials": self._credentials, "fs_args": self._fs_args}
        return RecipeDataset(follower=self, filepath=self._join_protocol(path), **options)

    def _correct(self, identity: str, value: Any, correction: Correction) -> None:
        self._place_for(identity, value)  # a person's pixels lie where pixels do
        super()._correct(identity, value, correction)

    def _place_for(self, identity: str, value: Any) -> str:
        """Where `value` goes; what lies in the other place is removed, or moved aside as a person's."""
        pixels, recipe = PartitionedDataset.path_of(self, identity), self._recipe_path(identity)
        mine, other = (recipe, pixels) if isinstance(value, Recipe) else (pixels, recipe)
        if self._filesystem.exists(other):
            if self.ledger.stranger(identity, other) is not None:
                move_aside(self._filesystem, other, self._home[0])
            else:
                self._filesystem.rm_file(other)
        return mine

    def _list_partitions(self) -> list[str]:
        found = map(str, self._filesystem.find(self._normalized_path, **self._load_args))
        return sorted(path for path in found if path.endswith((self._filename_suffix, RECIPE)))

    def _path_to_partition(self, path: str) -> str:
        if path.endswith(RECIPE):
            path = path.removesuffix(RECIPE) + self._filename_suffix
        return str(super()._path_to_partition(path))

    def follow(self, recipe: Recipe, path: str) -> da.Array:
        """The image whose recipe lies at `path`; each raw frame is compared as it is read.

        Raises InputError if what the recipe was written for has changed.
        """
        opened = self._opened = self._opened or self._raw_images.open()
        plan, fov = opened.plan, recipe.fov
        states = self._states_of(fov) if recipe.steps else ()
        changed = {
            "the plan of the field": fov not in plan.fovs or digest(plan.fovs[fov]) != recipe.film,
            "what its steps estimated": self._maker.state_hash(recipe, states) != recipe.state,
        }
        if any(changed.values()):
            raise InputError(
                f"{path}: this image of field {fov!r} is made of the raw film as it is read, and "
                f"{' and '.join(name for name, is_other in changed.items() if is_other)} changed since "
                "preprocessing. Run it again: `kedro run`"
            )
        raw = {name: opened.window(f"{fov}/{name}/{recipe.block}") for name in recipe.raw}
        return _lazy(self._maker.frames(recipe, raw, states, plan.fovs[fov]), recipe)

    def _states_of(self, fov: str) -> Any:
        """The states of a field; those of the last are kept, since nodes go field by field."""
        stamp = (fov, self._states.content(fov))
        if self._last_state is None or self._last_state[0] != stamp:
            self._last_state = (stamp, self._states.load_one(fov)["states"])
        return self._last_state[1]


def _lazy(read: Any, recipe: Recipe) -> da.Array:
    import dask.array as da

    shape, dtype = recipe.shape, np.dtype(recipe.dtype)
    # what is small is read at once anyhow, and each chunk costs the scheduler's time
    small = int(np.prod(shape)) * dtype.itemsize <= SMALL_FILM_BYTES
    frames = (shape[0],) if small else (1,) * shape[0]
    film = da.map_blocks(
        _frames,
        read=read,
        chunks=(frames, *((size,) for size in shape[1:])),
        dtype=dtype,
        meta=np.empty((0,) * len(shape), dtype),
        name=f"made-{uuid4().hex}",
    )
    return read_by(film, lambda: np.asarray(read(0, shape[0])))


def _frames(read: Any, block_info: Any = None) -> np.ndarray:
    start, stop = block_info[None]["array-location"][0]
    return np.asarray(read(start, stop))
