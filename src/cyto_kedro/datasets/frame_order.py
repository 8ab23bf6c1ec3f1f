"""The order of one-frame files: by the numbers or the times in their names."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cyto_kedro.datasets.patterns import RawFile
from cyto_kedro.errors import InputError


def step_of_numbers(stacks: Iterable[Sequence[RawFile]]) -> int:
    """By how much frame numbers go up in an assay: 10 of 0, 10, 20; 1 where there is nothing to tell.

    The smallest step of any stack, so that a frame missing in one of them is found by the others. Two
    frames alone show no step.
    """
    numbers = [sorted({f.frame for f in files if f.frame is not None}) for files in stacks]
    if max(map(len, numbers), default=0) < 3:
        return 1
    return min(b - a for each in numbers for a, b in itertools.pairwise(each))


def in_order(files: list[RawFile], place: str, step: int = 1) -> list[RawFile]:
    """The files of a stack by frame number, else by time; files without numbers get them.

    Raises InputError if two files are of one frame, or a number is missing that `step` asks for.
    """
    files = sorted(files, key=_place_in_film)
    for before, after in itertools.pairwise(files):
        if _place_in_film(before)[:2] == _place_in_film(after)[:2]:
            what = "" if after.frame is None else f", frame {after.frame}"
            raise InputError(
                f"{place}{what}: two files, {before.path} and {after.path}; keep one, or say in "
                "the pattern what tells them apart"
            )
        if before.frame is not None and after.frame != before.frame + step:
            raise InputError(
                f"{place}: frame {before.frame + step} is missing between {before.path} and "
                f"{after.path}. Add it: frames that close ranks would shift all later times."
            )
    if files[0].frame is None and files[0].time_s is not None:
        files = [replace(file, frame=number) for number, file in enumerate(files)]
    return files


def _place_in_film(file: RawFile) -> tuple[float, float, str]:
    number = -1 if file.frame is None else file.frame
    # of numbered frames the number tells, whatever the times say
    time = file.time_s if file.frame is None and file.time_s is not None else -1.0
    return number, time, file.path


def uneven_channels(
    stacks: Mapping[tuple[str, str | None], Sequence[RawFile]],
) -> list[InputError]:
    """An error for each channel whose files, in order, are of other frames than the field's first.

    Two films of equal length of which one lacks its first frame and the other its last would be laid
    on each other one frame apart.
    """
    found: list[InputError] = []
    first: dict[str, tuple[str | None, Sequence[RawFile]]] = {}
    for (fov, channel), files in stacks.items():
        other, theirs = first.setdefault(fov, (channel, files))
        for mine, its in itertools.zip_longest(files, theirs):
            if mine is None or its is None:
                break  # of different lengths: said where the field is planned
            if mine.frame != its.frame or _apart(mine, its, files):
                found.append(
                    InputError(
                        f"fov {fov}: {mine.path} of channel {channel} and {its.path} of channel "
                        f"{other} would be one frame, but their names say different ones. Add the "
                        "files that are missing, or rename them"
                    )
                )
                break
    return found


def _apart(one: RawFile, other: RawFile, film: Sequence[RawFile]) -> bool:
    """Whether two times are more than half a frame apart."""
    times = [file.time_s for file in film if file.time_s is not None]
    if one.time_s is None or other.time_s is None or len(times) < 2:
        return False
    shortest = min(b - a for a, b in itertools.pairwise(sorted(times)))
    return abs(one.time_s - other.time_s) > shortest / 2


def remarks_on_numbers(
    stacks: Mapping[tuple[str, str | None], Sequence[RawFile]], step: int
) -> dict[str, list[str]]:
    """What is to be said of how a field's frames are numbered; fov -> sentences."""
    begins: dict[str, int] = {}
    for (fov, _), files in stacks.items():
        if (number := files[0].frame) is not None and files[0].time_s is None:
            begins[fov] = number
    said: dict[str, list[str]] = defaultdict(list)
    for fov, number in begins.items():
        if step > 1:
            said[fov].append(
                f"the numbers of its frames go up by {step}: taken as frames one after another; if "
                "those between are missing, add them"
            )
        if number > min(begins.values()):
            earliest = min(begins, key=lambda each: begins[each])
            said[fov].append(
                f"its frames are numbered from {number}, those of field {earliest} from "
                f"{begins[earliest]}: time 0 is its own first frame (time_offset_min in the sample "
                "sheet shifts it)"
            )
    return said
