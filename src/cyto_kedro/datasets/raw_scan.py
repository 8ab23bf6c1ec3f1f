"""The user's raw films: found by a pattern, checked by their headers, read lazily.

Read are OME-TIFF, ImageJ and plain TIFF with one or more channels and frames, folders of one-frame
TIFFs, OME-Zarr, and microscopes' own files. `scan` reads headers only and finds what is missing, cut
short or ambiguous before any analysis; its `RawChannel`s are plain data, so that a worker can open its
own.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cyto_kedro.datasets.containers import films_in
from cyto_kedro.datasets.field_reader import (
    Channels,
    FieldReader,
    RawChannel,
    Search,
    place_of,
    wanted,
)
from cyto_kedro.datasets.frame_order import (
    in_order,
    remarks_on_numbers,
    step_of_numbers,
    uneven_channels,
)
from cyto_kedro.datasets.layouts import is_image
from cyto_kedro.datasets.patterns import Pattern, RawFile, find
from cyto_kedro.datasets.raw_facts import tell
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import InputError, together

__all__ = ["Channels", "RawChannel", "Search", "Survey", "scan", "survey"]

logger = logging.getLogger(__name__)


def scan(
    folder: str, pattern: str, channels: Channels = None, *how: Any, **more: Any
) -> list[RawChannel]:
    """Find the channels of every field of view in `folder`; reads headers, no pixels.

    Arguments are those of `Search`.

    Returns
    -------
    list of RawChannel
        In order of fov, then channel as asked for.

    Raises
    ------
    InputError
        Naming the field, channel, file and frame of all that is wrong: nothing found, a channel
        missing in a field, a gap in frame numbers, a file cut short or not flat, channels without
        names.
    ConfigError
        If the pattern has an unknown placeholder.
    """
    looked = survey(Search(folder, pattern, channels, *how, **more))
    if (wrong := together(looked.problems, f"the films in {folder}")) is not None:
        raise wrong
    if looked.ignored:
        logger.warning(
            "%d images in %s do not fit %r and are ignored, the first: %s",
            len(looked.ignored),
            folder,
            pattern,
            ", ".join(looked.ignored[:3]),
        )
    tell({raw.fov: raw.remarks for raw in looked.raw})
    return list(looked.raw)


@dataclass(frozen=True)
class Survey:
    """What a folder holds: channels of fields, what is wrong, and images that do not fit the pattern."""

    raw: tuple[RawChannel, ...]
    problems: tuple[InputError, ...]
    ignored: tuple[str, ...]


def survey(search: Search) -> Survey:
    """`scan`, with what is wrong beside what is right.

    Raises InputError if nothing is found. Raises ConfigError if the pattern has an unknown
    placeholder.
    """
    fs, root = find_place(search.folder, **(search.storage_options or {}))
    names = wanted(search.channels)
    compiled = Pattern(search.pattern, names.values() if names else None)
    files, ignored = find(fs, root, compiled, search.exclude)
    groups: dict[tuple[str, str | None], list[RawFile]] = defaultdict(list)
    files = [file for file in files if file.fov not in search.skip_fovs]
    options = search.storage_options or {}
    kept, unreadable = films_in(search.folder, files, search.exclude, options)
    for file in kept:
        if file.fov not in search.skip_fovs:
            groups[file.fov, file.channel].append(file)
    lacking = search.may_lack or {}
    problems = unreadable
    problems += _missing_channels(groups, names, lacking) if "channel" in compiled.names else []
    reader = FieldReader(search)
    step = step_of_numbers(groups.values())
    stacks: dict[tuple[str, str | None], list[RawFile]] = {}
    for fov, channel in sorted(groups, key=str):
        try:
            stacks[fov, channel] = in_order(groups[fov, channel], place_of(fov, channel), step)
        except InputError as error:
            problems.append(error)
    problems += uneven_channels(stacks)
    said = remarks_on_numbers(stacks, step)
    found: list[RawChannel] = []
    for key, stack in stacks.items():
        try:
            found += reader.read(*key, stack)
        except InputError as error:
            problems.append(error)
    found = [
        raw.model_copy(update={"remarks": (*raw.remarks, *said.get(raw.fov, ()))}) for raw in found
    ]
    rank = {name: i for i, name in enumerate(names)}
    found.sort(key=lambda raw: (raw.fov, rank.get(raw.channel, len(rank)), raw.index))
    images = tuple(filter(is_image, ignored))
    return Survey(tuple(found), tuple(problems), images)


def _missing_channels(
    groups: Mapping[tuple[str, str | None], Any],
    names: dict[str, str],
    may_lack: Mapping[str, Collection[str]],
) -> list[InputError]:
    """An error for each channel that a field lacks and that is asked for, or that other fields have."""
    found: list[InputError] = []
    fovs = sorted({fov for fov, _ in groups})
    asked_for = names or {name: name for name in sorted({str(channel) for _, channel in groups})}
    for fov in fovs:
        for ours, channel in asked_for.items():
            if (fov, channel) not in groups and ours not in may_lack.get(fov, ()):
                have = ", ".join(str(c) for f, c in sorted(groups, key=str) if f == fov)
                found.append(
                    InputError(
                        f"fov {fov}: channel {channel} is missing (found: {have}). Add its files, or "
                        "exclude the field in the sample sheet. (A control, control = yes, may lack "
                        "a channel that shows effectors only.)"
                    )
                )
    return found
