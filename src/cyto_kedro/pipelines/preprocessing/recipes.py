"""Images that need not be stored: their recipes are written, and followed where they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from cyto_kedro.algorithms.preprocessing.base import State, Step
from cyto_kedro.algorithms.preprocessing.chain import apply_chain, serving
from cyto_kedro.blocks import Block
from cyto_kedro.datasets.image import PIXELS
from cyto_kedro.datasets.lazy import is_lazy
from cyto_kedro.datasets.recipe import Recipe, RecipeStep
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.ledger import digest
from cyto_kedro.partitions import PlannedFov
from cyto_kedro.pipelines.common import Group, of_film
from cyto_kedro.registry import build


@dataclass(frozen=True)
class Wanted:
    """An image: the steps it is to have had, and the channels it is made of."""

    steps: Sequence[Step]
    sources: tuple[str, ...]
    #: several channels: their mean, or each apart
    combine: Literal["mean", "separate"] = "mean"

    @property
    def is_quick(self) -> bool:
        """Whether it is about as soon made of the raw film as it would be read."""
        return all(step.quick for step in serving(self.steps, self.sources)[0].values())

    def of(self, image: Mapping[str, np.ndarray]) -> np.ndarray:
        """The image, (T, Y, X) or (T, C, Y, X), of what the steps left of the channels."""
        stack = [image[channel] for channel in self.sources]
        if self.combine == "separate":
            return np.stack(stack, axis=1)
        return stack[0] if len(stack) == 1 else np.asarray(np.mean(stack, axis=0, dtype=np.float32))


@dataclass(frozen=True)
class RawBlock:
    """The films (T, Y, X) of a block by channel, each hashed once."""

    films: Mapping[str, Any]
    _hashes: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def hashes(self, channel: str) -> tuple[str, ...]:
        """A hash of each frame of a channel."""
        if channel not in self._hashes:
            film = self.films[channel]
            found = (_hash(_read(film[number])) for number in range(len(film)))
            self._hashes[channel] = tuple(found)
        return self._hashes[channel]


def _hash(frame: np.ndarray) -> str:
    pixels = np.ascontiguousarray(frame)
    hasher = hashlib.blake2b(f"{pixels.dtype.str}{pixels.shape}".encode(), digest_size=8)
    hasher.update(pixels.data)
    return hasher.hexdigest()


def write_recipe(
    image: Wanted,
    states: Sequence[State],
    group: Group,
    film: PlannedFov,
    raw: RawBlock,
    info: ImageInfo,
) -> Recipe:
    """The recipe of `image` in the group's block.

    Its first frame is made, so that steps that cannot work fail here; all raw frames are read.
    """
    kept, needed = serving(image.steps, image.sources)
    made = {channel for step in kept.values() for channel in step.makes}
    steps = tuple(
        RecipeStep(
            place=place,
            name=type(step).__name__,
            args=step.model_dump(mode="json"),
            version=type(step).version,
        )
        for place, step in kept.items()
    )
    recipe = Recipe(
        fov=group["fov"],
        block=group["block"],
        raw={name: raw.hashes(name) for name in sorted(needed - made)},
        steps=steps,
        state="",
        film=digest(film),
        sources=image.sources,
        combine=image.combine,
        shape=(),
        dtype="",
        pixel_size_um=info.pixel_size_um,
        time_s=info.time_s,
        channels=info.channels,
    )
    first = MAKER.frames(recipe, raw.films, states, film)(0, 1)
    return recipe.model_copy(
        update={
            "state": MAKER.state_hash(recipe, states),
            "shape": (len(Block.parse(recipe.block)), *first.shape[1:]),
            "dtype": first.dtype.name if first.dtype.name in PIXELS else "float32",
        }
    )


class _Maker:
    """`datasets.image_partitions.Maker` of the steps of preprocessing."""

    def frames(
        self, recipe: Recipe, raw: Mapping[str, Any], states: Sequence[State], film: PlannedFov
    ) -> Callable[[int, int], np.ndarray]:
        """A function that makes the frames from the first to the last (not included) of the block.

        It raises InputError if a raw frame is not the one that the recipe was written for.
        """
        steps: list[Any] = [build("preprocessing", each.name, each.args) for each in recipe.steps]
        image = Wanted(steps, recipe.sources, recipe.combine)
        own = [states[each.place] for each in recipe.steps]
        start_of_block = Block.parse(recipe.block).start
        known = {"fov": recipe.fov, **of_film(film)}

        def make(start: int, stop: int) -> np.ndarray:
            shown = {name: _read(raw[name][start:stop]) for name in recipe.raw}
            for name, film_frames in shown.items():
                for number, frame in enumerate(film_frames, start):
                    if _hash(frame) != recipe.raw[name][number]:
                        raise InputError(
                            f"field {recipe.fov}, channel {name}, frame {start_of_block + number}: the "
                            "raw film is another than preprocessing saw, and images are made of it as "
                            "they are read. Run preprocessing again: `kedro run`"
                        )
            data = {**known, "image": shown, "frame_start": start_of_block + start}
            final = image.of(apply_chain(steps, own, data)["image"])
            return final.astype(recipe.dtype, copy=False) if recipe.dtype else final

        return make

    def state_hash(self, recipe: Recipe, states: Sequence[State]) -> str:
        """A hash of what the recipe's steps need of the field's states: of their own channels alone.

        So another channel's estimate leaves the image, and what was made of it, current.
        """
        if any(each.place >= len(states) for each in recipe.steps):
            return ""  # of other steps
        named = {*recipe.raw, *recipe.sources}
        named |= {channel for each in recipe.steps for channel in each.args.get("channels") or ()}
        return digest([_of_channels(states[each.place], named) for each in recipe.steps])


def _of_channels(state: State, named: set[str]) -> State:
    return {
        key: {name: each for name, each in value.items() if name in named}
        if isinstance(value, Mapping) and not named.isdisjoint(value)
        else value
        for key, value in state.items()
    }


def _read(film: Any) -> np.ndarray:
    return np.asarray(film.compute(scheduler="synchronous") if is_lazy(film) else film)


MAKER = _Maker()
