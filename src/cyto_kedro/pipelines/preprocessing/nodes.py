"""Nodes of preprocessing.

Images that intensities are measured on get the corrections of ``preprocessing.measurement`` and no
other step; the steps of ``preprocessing.segmentation`` come on top, for segmentation images only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.preprocessing.base import State, Step
from cyto_kedro.algorithms.preprocessing.chain import apply_chain, chain_halo, estimate_chain, trim
from cyto_kedro.algorithms.preprocessing.channels import Combine
from cyto_kedro.algorithms.preprocessing.effects import (
    draw_effects,
    effect_table,
    shift_table,
    step_effects,
)
from cyto_kedro.algorithms.preprocessing.registration import ChannelOffset
from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.recipe import Recipe
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.images import Image, ImageInfo, Picture
from cyto_kedro.parameters import Preprocessing
from cyto_kedro.pipelines.common import Group, block_of, context
from cyto_kedro.pipelines.preprocessing.recipes import RawBlock, Wanted, write_recipe

log = logging.getLogger(__name__)


def estimate_preprocessing(
    group: Group,
    raw_images: Mapping[Any, Any],
    reference_images: Mapping[str, np.ndarray],
    manifest: Manifest,
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """Stream a field's film once per step that has to know all of it; return the steps' states.

    Raises ConfigError if a step names a reference image that is not there. Raises InputError if a
    reference image is neither of the film's size nor, viewed as the film is, of it.
    """
    steps, _ = steps_of(preprocessing, manifest, group["fov"])
    names = {name for step in steps for name in step.references}
    shown = {"reference": _references(names, reference_images, group["fov"], manifest)}

    def blocks() -> Iterator[dict[str, Any]]:
        for block in manifest.blocks(group["fov"]):
            found = _frames(raw_images, manifest, group["fov"], block.start, block.stop)
            yield found | shown

    states = estimate_chain(steps, blocks)
    for step, state in zip(steps, states, strict=True):
        for warning in state.get("warnings", ()):
            log.warning("field %s, %s: %s", group["fov"], type(step).__name__, warning)
    return {"states": states}


def steps_of(preprocessing: Preprocessing, manifest: Manifest, fov: str) -> tuple[list[Step], int]:
    """The steps for one field, and how many of them serve measurement too.

    Steps leave out the channels that the field was filmed without.

    Raises InputError if drift is to be estimated on such a channel.
    """
    lacking = set(manifest.fovs[fov].lacking)
    if not lacking:
        return preprocessing.steps(), len(preprocessing.measurement)
    shown = [channel for channel in manifest.channels if channel not in lacking]
    found: list[Step] = []
    n_safe = 0
    for number, step in enumerate(preprocessing.steps()):
        name = type(step).__name__
        estimated_on = getattr(step, "channel", None)
        if estimated_on in lacking:
            raise InputError(
                f"field {fov!r} was filmed without the channel {estimated_on!r}, on which {name} is "
                "estimated: name another channel there, or exclude the field"
            )
        if getattr(step, "source", None) in lacking:
            continue  # no light leaks from a dye that is not there
        if not isinstance(step, Combine) and not (
            isinstance(step, ChannelOffset) and not step.channels
        ):
            kept = (
                shown if step.channels is None else [c for c in step.channels if c not in lacking]
            )
            if not kept:
                continue
            step = step.model_copy(update={"channels": list(kept)})
        shown += step.makes
        found.append(step)
        n_safe += number < len(preprocessing.measurement)
    return found, n_safe


def _references(
    names: set[str], images: Mapping[str, np.ndarray], fov: str, manifest: Manifest
) -> dict[str, np.ndarray]:
    """The reference images asked for, in the film's view."""
    planned = manifest.fovs[fov]
    shape = planned.height_px, planned.width_px
    found = {}
    for name in sorted(names):
        if name not in images:
            raise ConfigError(
                f"preprocessing: {unknown('reference image', name, images)} They are the TIFFs in the "
                "folder of the catalog's reference_images (`reference` in globals.yml)"
            )
        image = images[name]
        if image.shape != shape:
            image = manifest.view.plane(image)
        if image.shape != shape:
            raise InputError(
                f"preprocessing: reference image {name!r} has {images[name].shape} pixels (rows, "
                f"columns), field {fov!r} {shape}; take it with the camera and binning of the film"
            )
        found[name] = image
    return found


def _frames(
    raw_images: Mapping[Any, Any], manifest: Manifest, fov: str, start: int, stop: int
) -> dict[str, Any]:
    """The data dict of the frames `start` to `stop` (not included) of all channels.

    `raw_images` is keyed by (channel, block) over the whole field; blocks are opened, not read whole.
    """
    image = {
        channel: np.concatenate(
            [
                np.asarray(
                    raw_images[channel, str(block)][
                        max(start - block.start, 0) : min(stop, block.stop) - block.start
                    ]
                )
                for block in manifest.blocks(fov)
                if block.start < stop and block.stop > start
            ]
        )
        for channel in manifest.channels
    }
    return {**context({"fov": fov}, manifest), "image": image, "frame_start": start}


def apply_preprocessing(
    group: Group,
    raw_images: Mapping[Any, Any],
    preprocessing_state: dict[str, Any],
    manifest: Manifest,
    frames: pd.DataFrame,
    preprocessing: Preprocessing,
) -> tuple[dict[str, Image | Recipe], dict[str, Image | Recipe]]:
    """Correct one block, read with the frames beside it that the steps look at.

    Returns ``{channel: image}`` and ``{population: image}``; a population that is segmented from
    several channels gets their mean, or all of them, (T, C, Y, X), where the assay keeps them
    apart. An image that quick steps make is given as its `Recipe` where the plan keeps images virtual.
    """
    steps, n_safe = steps_of(preprocessing, manifest, group["fov"])
    states, film = preprocessing_state["states"], manifest.fovs[group["fov"]]
    wanted = {(0, channel): Wanted(steps[:n_safe], (channel,)) for channel in manifest.channels}
    for name, sources in manifest.sources.items():
        wanted[1, name] = Wanted(steps, sources, manifest.combine.get(name, "mean"))
    virtual = manifest.keep_images == "virtual"
    quick = {key: each for key, each in wanted.items() if virtual and each.is_quick}
    stored = {key: each for key, each in wanted.items() if key not in quick}
    info = {key: _info(key[1], each, group, manifest, frames) for key, each in wanted.items()}
    made: dict[tuple[int, str], Image | Recipe] = {}
    if stored:
        pixels = _pixels(group, raw_images, states, manifest, steps, stored)
        for key in stored:
            said = info[key]
            made[key] = Image(
                np.concatenate(pixels[key]), said.pixel_size_um, said.time_s, said.channels
            )
            del pixels[key]  # no more than one film is held twice
    if quick:
        raw = RawBlock({name: raw_images[name, group["block"]] for name in manifest.channels})
        for key, each in quick.items():
            made[key] = write_recipe(each, states, group, film, raw, info[key])
    first, second = ({name: made[at, name] for at, name in wanted if at == kind} for kind in (0, 1))
    return first, second


def _pixels(
    group: Group,
    raw_images: Mapping[Any, Any],
    states: list[State],
    manifest: Manifest,
    steps: list[Step],
    stored: Mapping[Any, Wanted],
) -> dict[Any, list[np.ndarray]]:
    """The pieces of each image of `stored` over one block."""
    halo = chain_halo(steps)
    block, n_frames = block_of(group, manifest), manifest.fovs[group["fov"]].n_frames
    found: dict[Any, list[np.ndarray]] = {key: [] for key in stored}
    lengths = sorted({len(each.steps) for each in stored.values()})
    # steps work in 32-bit floats and keep before and after: a few frames at a time, not a block
    piece = max(1, 4 * halo)
    for start in range(block.start, block.stop, piece):
        stop = min(start + piece, block.stop)
        data = _frames(
            raw_images, manifest, group["fov"], max(0, start - halo), min(n_frames, stop + halo)
        )
        done, images = 0, {}
        for length in lengths:
            data, done = apply_chain(steps[done:length], states[done:length], data), length
            images[length] = trim(data, start, stop)["image"]
        for key, each in stored.items():
            found[key].append(each.of(images[len(each.steps)]))
    return found


def _info(
    name: str, image: Wanted, group: Group, manifest: Manifest, frames: pd.DataFrame
) -> ImageInfo:
    block = block_of(group, manifest)
    time_s = frames.sort_values("frame")["time_s"].to_numpy(float)[block.start : block.stop]
    return ImageInfo(
        pixel_size_um=manifest.fovs[group["fov"]].pixel_size_um,
        time_s=None if np.isnan(time_s).any() else tuple(time_s.tolist()),
        channels=image.sources if image.combine == "separate" else (name,),
    )


def show_preprocessing(
    group: Group,
    raw_images: Mapping[Any, Any],
    preprocessing_state: dict[str, Any],
    manifest: Manifest,
    preprocessing: Preprocessing,
) -> tuple[pd.DataFrame, pd.DataFrame, Picture]:
    """What each step did to a field: numbers of its first, middle and last frame, shifts, pictures.

    Returns `schemas.Effects`, `schemas.Registration`, and the middle frame before and after each
    step.
    """
    fov = group["fov"]
    film = manifest.fovs[fov]
    steps, _ = steps_of(preprocessing, manifest, fov)
    states = preprocessing_state["states"]

    def open_frames(start: int, stop: int) -> dict[str, Any]:
        return _frames(raw_images, manifest, fov, start, stop)

    used = film.used_in(Block(0, film.n_frames))
    middle = used[len(used) // 2]
    shown = sorted({used[0], middle, used[-1]})
    found = step_effects(steps, states, open_frames, film.n_frames, shown)
    shifts = shift_table(steps, states, film.pixel_size_um)
    registration = (
        schemas.conform(schemas.Registration, shifts.assign(fov=fov))
        if len(shifts)
        else schemas.empty(schemas.Registration)
    )
    picture = draw_effects(
        [each for each in found if each.frame == middle], f"{fov}: preprocessing"
    )
    effects = schemas.conform(schemas.Effects, effect_table(found).assign(fov=fov))
    return effects, registration, picture
