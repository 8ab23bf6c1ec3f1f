"""What Micro-Manager's stacks say (``<name>_MMStack_Pos0.ome.tif``): position, channels, scale.

As described at https://micro-manager.org/Micro-Manager_File_Formats. All files of an acquisition share
a summary; OME-XML of all positions stands in one of them only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from cyto_kedro.errors import InputError
from cyto_kedro.images import ImageInfo
from cyto_kedro.statements import NOMINAL, Statement


def settings_of(tif: tifffile.TiffFile) -> dict[str, Any] | None:
    """Summary and index of a Micro-Manager stack; None of any other file."""
    if not tif.is_micromanager:
        return None
    found = tifffile.read_micromanager_metadata(tif.filehandle, {"Summary", "IndexMap"})
    return found if "Summary" in found and len(found.get("IndexMap", ())) else None


@dataclass(frozen=True)
class _Plane:
    """Where a plane's directory is."""

    offset: int


class StackSeries:
    """The planes (T, C, Z) that the index lists, as tifffile has its series.

    tifffile's own takes the positions of the whole acquisition for planes that are missing.
    """

    dataoffset = None

    def __init__(self, tif: tifffile.TiffFile, settings: Mapping[str, Any]) -> None:
        index = np.asarray(settings["IndexMap"], np.int64)
        channel, z, time = (index[:, i] - index[:, i].min() for i in range(3))
        self._planes = int(time.max()) + 1, int(channel.max()) + 1, int(z.max()) + 1
        self.keyframe: Any = tif.pages.first
        self.dtype = self.keyframe.dtype
        self.pages: list[_Plane | None] = [None] * int(np.prod(self._planes))
        numbers = np.ravel_multi_index((time, channel, z), self._planes)
        for number, offset in zip(numbers.tolist(), index[:, 4].tolist(), strict=True):
            self.pages[number] = _Plane(offset)

    def get_axes(self, squeeze: bool = False) -> str:
        """As tifffile's."""
        return "TCZYX"

    def get_shape(self, squeeze: bool = False) -> tuple[int, ...]:
        """As tifffile's."""
        return (*self._planes, *self.keyframe.shape[:2])


def check_stack(settings: Mapping[str, Any], location: str) -> tuple[str, ...]:
    """What is doubtful about a stack.

    Raises InputError if it holds several positions, or goes on from another file.
    """
    index = settings["IndexMap"]
    positions = sorted({int(each) for each in index[:, 3]})
    if len(positions) > 1:
        raise InputError(
            f"{location} holds {len(positions)} positions in one file: let Micro-Manager save one file "
            "per position (Tools > Options), or save each as an OME-TIFF"
        )
    first, last = int(index[:, 2].min()), int(index[:, 2].max())
    if first > 0:
        raise InputError(
            f"{location} begins at frame {first}: it goes on from the file before it, as Micro-Manager "
            "cuts films at 4 GB. Save the film as one OME-TIFF (Fiji: File > Import > Bio-Formats)"
        )
    planned = int(settings["Summary"].get("Frames", 0) or 0)
    if planned > last + 1:
        return (
            f"{location} holds {last + 1} frames, but {planned} were planned: the acquisition was "
            "stopped, or went on in another file, which is not read",
        )
    return ()


def own_image(root: ElementTree.Element, settings: Mapping[str, Any]) -> ElementTree.Element | None:
    """Of OME-XML of all positions, the image of this file's."""
    images = root.findall("{*}Image")
    position = int(settings["IndexMap"][0, 3])
    return images[position] if position < len(images) else None


def summary_info(settings: Mapping[str, Any], n_t: int, n_c: int, location: str) -> ImageInfo:
    """Names, pixel size and the interval that was asked for, of a stack without OME-XML."""
    summary = settings["Summary"]
    names = tuple(str(each) for each in summary.get("ChNames") or ())
    said = []
    size = float(summary.get("PixelSize_um") or 0)
    if size:
        said.append(Statement("pixel size", size, f"{location}, Summary: PixelSize_um"))
    step = float(summary.get("Interval_ms") or 0) / 1000
    if step:
        said.append(Statement("frame interval", step, f"{location}, Summary: Interval_ms", NOMINAL))
    return ImageInfo(
        pixel_size_um=size or None,
        time_s=tuple(t * step for t in range(n_t)) if step else None,
        channels=names if len(names) == n_c else (),
        said=tuple(said),
    )
