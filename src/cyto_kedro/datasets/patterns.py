"""Raw files found by one pattern with placeholders: plate, well, field, channel, frame, time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from fsspec import AbstractFileSystem

from cyto_kedro.datasets.name_parts import TIME, WELL, seconds
from cyto_kedro.errors import ConfigError, InputError, unknown

PLACEHOLDERS = ("plate", "well", "fov", "channel", "frame", "time")
# what a field's name is made of
NAMING = ("plate", "well", "fov")
# the name of the only field where the pattern has none of them
ONLY_FOV = "fov1"


@dataclass(frozen=True)
class RawFile:
    """A file of the raw folder and what its path says; `path` is relative to the folder."""

    #: path, fov, channel, frame: `fov` joins what the path says of plate, well and field by ``_``
    path: str
    fov: str
    channel: str | None
    frame: int | None
    #: seconds, from the film's start or from a date
    time_s: float | None = None
    #: plate, well: as they stand in the path; empty where the pattern does not ask for them
    plate: str = ""
    well: str = ""


class Pattern:
    """``plate1/{fov}/{channel}_t{frame}.tif`` and the like.

    Literal text stands for itself, ``*`` for anything but "/", the ending for itself in any case. A
    placeholder matches at least one character and no "/"; {frame} matches a whole number, {time} what
    `name_parts.TIME` lists, {well} a name such as ``B07`` or ``r02c07``. Each is optional.

    Parameters
    ----------
    text
        The pattern, relative to the raw folder.
    channels
        If given, {channel} matches these names only.
    channel_shape
        Else the regular expression that it matches, lazily.

    Raises
    ------
    ConfigError
        If a placeholder is unknown or repeated.
    """

    def __init__(
        self, text: str, channels: Iterable[str] | None = None, channel_shape: str = r"[^/]+"
    ) -> None:
        self.text = _composed(text.strip("/"))
        self.depth = self.text.count("/")
        names = re.findall(r"\{(.*?)\}", self.text)
        for name in names:
            if name not in PLACEHOLDERS:
                raise ConfigError(
                    f"raw pattern {text!r}: {unknown('placeholder', name, PLACEHOLDERS)}"
                )
            if names.count(name) > 1:
                raise ConfigError(f"raw pattern {text!r}: {{{name}}} may appear once only")
        if not self.text:
            raise ConfigError("the raw pattern is empty; give one such as '{fov}/{channel}.tif'")
        self.names = frozenset(names)
        known = sorted(map(_composed, channels or ()), key=len, reverse=True)
        # two readings of one path are told apart by matching short first and long first
        self._lazy = self._compile(known, channel_shape, "?")
        self._greedy = self._compile(known, channel_shape, "")

    def _compile(self, channels: Sequence[str], shape: str, lazy: str) -> re.Pattern[str]:
        parts = {
            "plate": f"(?P<plate>[^/]+{lazy})",
            "well": f"(?P<well>{WELL})",
            "fov": f"(?P<fov>[^/]+{lazy})",
            "channel": f"(?P<channel>{shape}{lazy if shape.endswith('+') else ''})",
            # whole numbers: {fov}{frame} does not cut t012 into t0 and 12
            "frame": r"(?P<frame>(?<!\d)\d+(?!\d))",
            "time": f"(?P<time>{TIME})",
        }
        if channels:
            parts["channel"] = f"(?P<channel>{'|'.join(re.escape(name) for name in channels)})"
        pieces = re.split(r"\{(.*?)\}", self.text)
        _, dot, ending = pieces[-1].rpartition("/")[2].partition(".")
        pieces[-1] = pieces[-1].removesuffix(dot + ending)
        text = "".join(parts[p] if i % 2 else _literal(p, lazy) for i, p in enumerate(pieces))
        return re.compile(f"{text}(?i:{_literal(dot + ending, lazy)})")

    def match(self, path: str) -> RawFile | None:
        """What `path` says, or None if it is not of this pattern.

        Raises InputError if the path can be read in two ways, or holds a time that cannot be.
        """
        read = _composed(path)  # macOS hands out names decomposed
        first, second = self._lazy.fullmatch(read), self._greedy.fullmatch(read)
        if first is None or second is None:
            return None
        if first.groupdict() != second.groupdict():
            raise InputError(
                f"raw file {path!r} fits the pattern {self.text!r} in two ways: "
                f"{first.groupdict()} and {second.groupdict()}. Name the assay's channels, or "
                "rename the files so that what separates the parts does not occur in them."
            )
        found = first.groupdict()
        frame, time = found.get("frame"), found.get("time")
        try:
            time_s = None if time is None else seconds(time)
        except ValueError as error:
            raise InputError(
                f"raw file {path!r}: its {{time}} {time!r} is no time ({error}); rename the file, or "
                "leave it out with assay.raw.exclude"
            ) from error
        return RawFile(
            path=path,
            fov="_".join(found[name] for name in NAMING if name in found) or ONLY_FOV,
            channel=found.get("channel"),
            frame=None if frame is None else int(frame),
            time_s=time_s,
            plate=found.get("plate", ""),
            well=found.get("well", ""),
        )


def _literal(text: str, lazy: str = "") -> str:
    return f"[^/]*{lazy}".join(re.escape(part) for part in text.split("*"))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def find(
    fs: AbstractFileSystem, folder: str, pattern: Pattern, exclude: Sequence[str] = ()
) -> tuple[list[RawFile], list[str]]:
    """Files of `folder` that fit `pattern`, and those that do not, both in order of path.

    `fs`, `folder`: file system, and the folder's path in it. `pattern`: an OME-Zarr (a folder named
    ``*.zarr``) counts as a file. `exclude`: glob patterns of paths to leave out. Raises InputError
    if the folder is missing or has no file that fits, or the names of two fields come out alike.
    """
    if not fs.isdir(folder):
        raise InputError(f"the raw folder {folder} does not exist; correct its path")
    paths = sorted(walk(fs, folder, "", pattern.depth))
    paths = [p for p in paths if not any(fnmatch(_composed(p), _composed(g)) for g in exclude)]
    read = {path: pattern.match(path) for path in paths}
    files = [file for file in read.values() if file is not None]
    ignored = [path for path, file in read.items() if file is None]
    if not files:
        seen = f"it has {', '.join(ignored[:5])}" if ignored else "it is empty"
        raise InputError(
            f"no file in {folder} fits the pattern {pattern.text!r} ({seen}). Correct the folder, "
            "the pattern or the names of the channels."
        )
    of_name: dict[str, RawFile] = {}
    for file in files:
        other = of_name.setdefault(file.fov, file)
        if (other.plate, other.well) != (file.plate, file.well):
            raise InputError(
                f"{other.path} and {file.path} are of two wells or plates, but both fields would be "
                f"called {file.fov!r}: rename one, or analyse the plates as two assays"
            )
    return files, ignored


def walk(fs: AbstractFileSystem, folder: str, prefix: str, depth: int) -> Iterator[str]:
    """Relative paths of files exactly as deep as the pattern or less deep; hidden ones left out."""
    for entry in fs.ls(folder, detail=True):
        name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
        if name.startswith("."):
            continue
        if entry["type"] != "directory" or name.lower().endswith(".zarr"):
            yield prefix + name
        elif depth:
            yield from walk(fs, entry["name"], f"{prefix}{name}/", depth - 1)
