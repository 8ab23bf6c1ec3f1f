"""What the header of a stack says, and one stack out of the headers of its frames."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from cyto_kedro.datasets.patterns import RawFile
from cyto_kedro.datasets.tiff_info import step_of
from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import NOMINAL, believed


class Stack(BaseModel):
    """What the header of a stack says, whatever its format."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    shape: tuple[int, int, int, int]
    dtype: str
    info: ImageInfo


def joined(stacks: list[Stack], files: list[RawFile], place: str) -> Stack:
    """One stack out of one per frame; times in the names of files are those of the frames.

    Raises InputError if a file holds several frames, or files differ in shape, type or channels.
    """
    first = stacks[0]
    if files[0].frame is None:
        return first
    for stack, file in zip(stacks, files, strict=True):
        if stack.shape[0] != 1:
            raise InputError(
                f"{place}: {file.path} holds {stack.shape[0]} frames, but the pattern says one "
                "file per frame; remove {frame} or {time} from the pattern"
            )
        if (stack.shape, stack.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{place}, frame {file.frame}: {file.path} is {stack.shape[2:]} {stack.dtype}, "
                f"but {files[0].path} is {first.shape[2:]} {first.dtype}; all frames of a film "
                "must agree"
            )
    for stack, file in zip(stacks, files, strict=True):
        if stack.info.channels != first.info.channels:
            here, there = (
                ", ".join(each.info.channels) or "without names" for each in (stack, first)
            )
            raise InputError(
                f"{place}, frame {file.frame}: {file.path} has channels {here}, but "
                f"{files[0].path} has {there}; all frames of a film must agree"
            )
    known = [stack.info.time_s[0] for stack in stacks if stack.info.time_s]
    stamps = tuple(known) if len(known) == len(stacks) and len(set(known)) > 1 else None
    step = step_of(stamps or (), f"{place}, times of its frames")
    steps = [] if step is None else [step]
    named = tuple(file.time_s for file in files if file.time_s is not None)
    if len(named) == len(files) > 1:
        stamps = named
        step = step_of(named, f"{place}, times in the names of its files")
        steps = [each for each in (step, *steps) if each is not None]
    said = [each for stack in stacks for each in stack.info.said]
    # kept as they are said: those that cannot be are told of once
    kept, doubted = believed(said)
    if step is not None:
        kept = [
            replace(each, rank=NOMINAL) if each.fact == "frame interval" else each for each in kept
        ]
    info = ImageInfo(
        pixel_size_um=first.info.pixel_size_um,
        time_s=stamps,
        channels=first.info.channels,
        said=(*kept, *steps),
        doubts=(
            *dict.fromkeys(each for stack in stacks for each in stack.info.doubts),
            *doubted[:1],
        ),
    )
    return Stack(shape=(len(stacks), *first.shape[1:]), dtype=first.dtype, info=info)
