"""How microscopes and programs name the files of an assay, and which of them a folder looks like.

Names as their makers document them, or as their exports are: MetaMorph and ImageXpress (Molecular
Devices), Operetta and Opera (Harmony, Columbus), CellVoyager (Yokogawa), IncuCyte (Sartorius),
NIS-Elements (Nikon), Micro-Manager.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cyto_kedro.datasets.microscopes import ENDINGS
from cyto_kedro.datasets.ndtiff import is_stack
from cyto_kedro.datasets.patterns import Pattern, RawFile
from cyto_kedro.errors import InputError

IMAGES = (".tif", ".tiff", ".zarr", *ENDINGS)

# thumbnails that microscopes write beside the images
THUMBNAILS = ("*_thumb_*", "*_[Tt]humb*", "*/Thumb*")
_LOOKED_AT = 400  # files are enough to tell a layout


@dataclass(frozen=True)
class Layout:
    """Names that one program gives."""

    #: the program or instrument
    name: str
    #: tried in order; the one that most files fit is taken
    patterns: tuple[str, ...]
    #: regular expression of {channel}
    channel: str = r"[^/]+"

    def compiled(self) -> Iterator[Pattern]:
        """Its patterns."""
        for text in self.patterns:
            yield Pattern(text, channel_shape=self.channel)


def _nikon() -> tuple[str, ...]:
    """``xy01_c1_t001`` in any order, with and without separators and channels."""
    parts = {"xy": "xy{fov}", "c": "c{channel}", "t": "t{frame}"}
    orders = [*itertools.permutations(("xy", "c", "t")), ("xy", "t"), ("t", "xy")]
    names = [sep.join(parts[p] for p in order) for order in orders for sep in ("_", "")]
    return tuple(f"*{name}.tif" for name in names)


LAYOUTS = (
    Layout(
        "Operetta / Opera",
        tuple(
            f"{folder}{{well}}f{{fov}}p01-ch{{channel}}sk{{frame}}fk1fl1.tiff"
            for folder in ("", "Images/", "{plate}/Images/", "{plate}/")
        ),
        channel=r"\d+",
    ),
    Layout(
        "Yokogawa CV",
        tuple(
            f"{folder}*_{{well}}_T{{frame}}F{{fov}}L01A*Z01C{{channel}}.tif"
            for folder in ("", "{plate}/", "Image/")
        ),
        channel=r"\d+",
    ),
    Layout(
        "ImageXpress",
        tuple(
            f"{plate}{folder}*_{{well}}{site}_w{{channel}}*.tif"
            for plate in ("", "{plate}/")
            for folder in ("TimePoint_{frame}/", "TimePoint_{frame}/ZStep_1/", "")
            for site in ("_s{fov}", "")
        ),
        channel=r"\d",
    ),
    Layout(
        "IncuCyte",
        (
            "{plate}_{channel}_{well}_{fov}_{time}.tif",
            "{channel}/{plate}_{well}_{fov}_{time}.tif",
            "{plate}_{well}_{fov}_{time}.tif",
        ),
        channel=r"[A-Za-z]+",
    ),
    Layout(
        "MetaMorph",
        (
            "*_w{channel}_s{fov}_t{frame}.tif",
            "*_w{channel}_t{frame}.tif",
            "*_s{fov}_t{frame}.tif",
            "*_w{channel}_s{fov}.tif",
        ),
        channel=r"\d[^/_]*",
    ),
    Layout("NIS-Elements", _nikon(), channel=r"\d"),
    Layout("Micro-Manager", ("*_MMStack_{fov}.ome.tif", "*_MMStack.ome.tif")),
    Layout(
        "Micro-Manager NDTiff", ("{fov}/NDTiff.index", "NDTiff.index", "{plate}/{fov}/NDTiff.index")
    ),
    Layout(
        "Micro-Manager",
        (
            "{fov}/img_channel{channel}_position*_time{frame}_z000.tif",
            "{fov}/img_{frame}_{channel}_000.tif",
        ),
    ),
)


def is_image(path: str) -> bool:
    """Whether a file is a film or a frame of one, by its name; parts of an NDTiff are not."""
    return path.lower().endswith(IMAGES) and not is_stack(path)


@dataclass(frozen=True)
class Recognised:
    """The layout of a folder: its name, its pattern, and the channels that paths name."""

    name: str
    pattern: str
    channels: tuple[str, ...]
    #: by what varies in the names; no layout that has a name
    guessed: bool = False


def recognise(paths: Sequence[str], films: bool = False) -> Recognised | None:
    """The layout that most of the images fit; None where there is no image.

    A named layout is taken where at least half of the images fit it; else what varies in the names
    tells field, channel and frame.

    `paths`: of the files in the folder, relative to it. `films`: a file is known to hold several frames,
    so that no number in its name is a frame.
    """
    images = sorted(filter(is_image, paths))
    if not images:
        return None
    some = images[:: -(-len(images) // _LOOKED_AT)]
    best: tuple[int, str, Pattern] | None = None
    for layout in LAYOUTS:
        for pattern in layout.compiled():
            fits = len(_matched(pattern, some))
            if 2 * fits >= len(some) and (best is None or fits > best[0]):
                best = fits, layout.name, pattern
    if guessed := best is None:
        text = by_what_varies(images, films)
        name = "one file per field" if text == f"{{fov}}{_ending(text)}" else "folders and names"
        best = 0, name, Pattern(text, channel_shape=r"[^/_]+")
    _, name, pattern = best
    channels = {file.channel for file in _matched(pattern, images) if file.channel is not None}
    return Recognised(name, pattern.text, tuple(sorted(channels)), guessed)


def _matched(pattern: Pattern, paths: Iterable[str]) -> list[RawFile]:
    found = []
    for path in paths:
        try:
            file = pattern.match(path)
        except InputError:  # in two ways: then this is not how they are named
            file = None
        if file is not None:
            found.append(file)
    return found


def by_what_varies(paths: Sequence[str], films: bool = False) -> str:
    """A pattern from the names alone: numbers that run are frames, names that recur are channels.

    Where files are `films`, and of formats that hold films, numbers are of fields.
    """
    ending = _ending(paths[0])
    alike = [path for path in paths if _ending(path) == ending]
    depth = max(path.count("/") for path in alike)
    alike = [path for path in alike if path.count("/") == depth]
    stems = [
        path.removesuffix(ending) if path.endswith(ending) else path[: -len(ending)]
        for path in alike
    ]
    runs: dict[str, set[int]] = defaultdict(set)
    for stem in stems:
        if (found := re.fullmatch(r"(.*?[^\d/]|.*/|)(\d+)", stem)) is not None:
            runs[found[1]].add(int(found[2]))
    framed = (
        bool(runs)
        and not films
        and re.search(r"\.tiff?$", ending, re.IGNORECASE) is not None
        and sum(map(len, runs.values())) == len(stems)
        and min(map(len, runs.values())) >= 3
    )
    frame = ""
    if framed:
        stems = sorted(runs)
        frame = "{frame}"
    folders = {stem.rpartition("/")[0] for stem in stems}
    by_folder: dict[str, set[str]] = defaultdict(set)
    for stem in stems:
        by_folder[stem.rpartition("/")[0]].add(stem.rpartition("/")[2])
    leaves = {frozenset(names) for names in by_folder.values()}
    above = "/".join(["{fov}"] + ["*"] * (depth - 1)) + "/" if depth else ""
    if depth and len(leaves) == 1:
        (names,) = leaves
        if len(names) > 1:  # {fov}/{channel}
            tail = _common_tail(names) if frame else ""
            return f"{above}{{channel}}{tail}{frame}{ending}"
        parents = {folder.rpartition("/")[2] for folder in folders}
        if depth > 1 and len(parents) > 1 and _grid(folders):  # {fov}/{channel}/t{frame}
            return (
                "/".join(["{fov}"] + ["*"] * (depth - 2) + ["{channel}", _leaf(names, frame)])
                + ending
            )
        if frame:
            return f"{above}{_leaf(names, frame)}{ending}"
    heads = {stem.rpartition("_")[0] for stem in _trimmed(stems, frame)}
    tails = {stem.rpartition("_")[2] for stem in _trimmed(stems, frame)}
    whole = len(heads) * len(tails) == len(stems) and len(tails) > 1
    if whole and "" not in heads and not any(tail.isdigit() for tail in tails):
        sep = _common_tail(stems) if frame else ""
        return f"{'*/' * depth}{{fov}}_{{channel}}{sep}{frame}{ending}"
    return f"{'*/' * depth}{{fov}}{_common_tail(stems) if frame else ''}{frame}{ending}"


def _ending(path: str) -> str:
    found = re.search(r"(\.ome)?\.(tiff?|zarr|czi|nd2|lif|index)$", path, re.IGNORECASE)
    return found[0] if found else ""


def _leaf(names: Iterable[str], frame: str) -> str:
    (name,) = names
    return f"{name}{frame}" if frame else name


def _common_tail(stems: Iterable[str]) -> str:
    """What stands before a running number in all stems: ``_t`` of A1_t and B2_t."""
    found = {(re.search(r"[_-]?[A-Za-z]?$", stem) or [""])[0] for stem in stems}
    return found.pop() if len(found) == 1 else ""


def _trimmed(stems: Iterable[str], frame: str) -> list[str]:
    stems = list(stems)
    tail = _common_tail(stems) if frame else ""
    return [stem.removesuffix(tail) for stem in stems]


def _grid(folders: Iterable[str]) -> bool:
    """Whether every field's folder has the same folders of channels."""
    held: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        above, _, name = folder.rpartition("/")
        held[above].add(name)
    return len({frozenset(names) for names in held.values()}) == 1
