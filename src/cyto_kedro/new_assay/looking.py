"""What is in a folder of films: layout, fields, channels, calibration, and all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsspec import AbstractFileSystem

from cyto_kedro.datasets.companions import Beside, read_beside
from cyto_kedro.datasets.foreign import foreign
from cyto_kedro.datasets.layouts import IMAGES, THUMBNAILS, is_image, recognise
from cyto_kedro.datasets.patterns import Pattern, walk
from cyto_kedro.datasets.raw_scan import RawChannel, Search, survey
from cyto_kedro.datasets.tiff_header import read_header
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import CytoError, InputError
from cyto_kedro.view import Projection

# files that no pattern of ours points at, told of by what they are
MICROSCOPES = (
    ".oib",
    ".oif",
    ".oir",
    ".zvi",
    ".ims",
    ".dv",
    ".vsi",
    ".stk",
)
DEEPEST = 4


@dataclass(frozen=True)
class Found:
    """A folder as it was found."""

    folder: str
    #: layout, pattern: what its names look like, and the pattern that reads them
    layout: str
    pattern: str
    #: our name of a channel -> its name in the paths or files; in order
    channels: Mapping[str, str]
    #: whether the files do not name their channels, so that `channels` are theirs in order
    by_order: bool
    #: A row per field and channel, under our names
    raw: tuple[RawChannel, ...]
    #: what the microscope's own files say
    beside: Beside
    #: globs of thumbnails, if there are any
    exclude: tuple[str, ...]
    #: problems, left_out: all that is wrong; images that do not fit the pattern
    problems: tuple[CytoError, ...]
    left_out: tuple[str, ...]

    @property
    def fields(self) -> dict[str, list[RawChannel]]:
        """Field -> its channels, fields in the order that people count in."""
        found: dict[str, list[RawChannel]] = {}
        for each in sorted(self.raw, key=lambda raw: natural(raw.fov)):
            found.setdefault(each.fov, []).append(each)
        return found

    @property
    def pixel_size_um(self) -> float | None:
        """As the images say, else as the files beside them do."""
        return next(
            (r.pixel_size_um for r in self.raw if r.pixel_size_um), self.beside.pixel_size_um
        )

    @property
    def frame_interval_s(self) -> float | None:
        """The first film's; as the files beside the images say where those are silent."""
        for raw in self.raw:
            if raw.time_s is not None and len(raw.time_s) > 1:
                return float(raw.time_s[-1] - raw.time_s[0]) / (len(raw.time_s) - 1)
        return self.beside.frame_interval_s

    @property
    def timed(self) -> bool:
        """Whether the images say their times."""
        return all(raw.n_frames == 1 or raw.time_s is not None for raw in self.raw)


def look(
    folder: str,
    pattern: str | None = None,
    channels: Sequence[str] = (),
    project_z: Projection | None = None,
    z_is_time: bool = False,
) -> Found:
    """Look at a folder: names and headers, no pixels.

    Parameters
    ----------
    folder
        Path or URL.
    pattern
        Instead of what is recognised.
    channels
        Our names of the channels, in the order in which they are found.
    project_z, z_is_time
        As under ``assay.raw``.

    Raises
    ------
    InputError
        If there is no folder, no image in it, or `channels` are not as many as are found.
    """
    fs, root = find_place(folder)
    if not fs.isdir(root):
        raise InputError(f"the folder {folder} does not exist; give that of the films (--raw)")
    paths = sorted(walk(fs, root, "", DEEPEST))
    thumbnails = tuple(glob for glob in THUMBNAILS if any(_fits(path, glob) for path in paths))
    kept = [path for path in paths if not any(_fits(path, glob) for glob in thumbnails)]
    layout = "as stated"
    if pattern is None:
        recognised = recognise(kept)
        if recognised is None:
            raise InputError(_nothing(fs, root, folder, kept))
        if recognised.guessed and "{frame}" in recognised.pattern and _is_film(fs, root, kept):
            recognised = recognise(kept, films=True) or recognised
        layout, pattern, inside = recognised.name, recognised.pattern, recognised.channels
    else:
        compiled = Pattern(pattern)
        files = [file for path in kept if (file := compiled.match(path)) is not None]
        inside = tuple(sorted({file.channel for file in files if file.channel}, key=natural))
    beside = read_beside(fs, root, paths)
    names = {_plain(beside.channels.get(name, name)): name for name in inside}
    if len(names) < len(inside):  # two channels of one dye
        names = {_plain(name): name for name in inside}
    looked = survey(
        Search(
            folder,
            pattern,
            names or None,
            exclude=thumbnails,
            project_z=project_z,
            z_is_time=z_is_time,
            numbered=True,
        )
    )
    raw, by_order = list(looked.raw), False
    if not names:
        found = list(dict.fromkeys(each.channel for each in raw))
        by_order = all(re.fullmatch(r"channel\d+", name) for name in found)
        names = {_plain(name): name for name in found}
        ours = {theirs: name for name, theirs in names.items()}
        raw = [each.model_copy(update={"channel": ours[each.channel]}) for each in raw]
    if channels:
        if raw and len(channels) != len(names):
            raise InputError(
                f"{len(channels)} names of channels are given, but {len(names)} are found: "
                f"{', '.join(names)}. Name them all, in this order (--channels)"
            )
        renamed = dict(zip(names, channels, strict=False))
        names = {renamed[name]: theirs for name, theirs in names.items()}
        raw = [each.model_copy(update={"channel": renamed[each.channel]}) for each in raw]
    problems: list[CytoError] = list(looked.problems)
    if depth := [path for path in looked.ignored if re.search(r"f\d+p\d\d-ch|Z\d\dC\d\d\.", path)]:
        problems.append(
            InputError(
                f"{len(depth)} images are further z planes (the first: {depth[0]}); only flat films are "
                "analysed: export a projection, or move those planes out of the folder"
            )
        )
    return Found(
        folder,
        layout,
        pattern,
        names,
        by_order,
        tuple(raw),
        beside,
        thumbnails,
        tuple(problems),
        looked.ignored,
    )


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key under which A2 stands before A10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", text)
    ]


def _is_film(fs: AbstractFileSystem, root: str, paths: Sequence[str]) -> bool:
    """Whether the first TIFF holds several frames: ``field1.tif`` is then no frame 1."""
    path = next((path for path in paths if is_image(path)), "")
    try:
        header = read_header(fs, f"{root}/{path}", path, any_axis_is_time=True, z_is_time=True)
    except InputError:  # told of later, with all that is wrong
        return False
    return header.shape[0] > 1


def _fits(path: str, glob: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(path, glob)


def _plain(name: str) -> str:
    """A channel's name that folders and columns can have: ``1FITC-Camera 1`` is FITC_Camera_1."""
    bare = re.sub(r"^\d+(?=[A-Za-z])", "", name)
    bare = re.sub(r"\W+", "_", bare).strip("_")
    return f"channel{bare}" if bare.isdigit() or not bare else bare


def _nothing(fs: AbstractFileSystem, root: str, folder: str, paths: Sequence[str]) -> str:
    """Why there is nothing to analyse, by what lies there."""
    said = []
    for path in [each for each in paths if each.lower().endswith(MICROSCOPES)][:3] or paths[:3]:
        what = foreign(fs, f"{root}/{path}")
        said.append(f"{path} {what}" if what else path)
    there = "; ".join(said) or "it is empty"
    return f"no image in {folder} ({', '.join(IMAGES)} are read): {there}"
