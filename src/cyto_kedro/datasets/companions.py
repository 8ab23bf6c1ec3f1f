"""What microscopes write beside their images: names of channels, pixel size, frame interval."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree

import numpy as np
from fsspec import AbstractFileSystem

from cyto_kedro.datasets.tiff_info import LENGTHS, number


@dataclass(frozen=True)
class Beside:
    """What a microscope's own files say."""

    #: name of a channel in the paths -> its name
    channels: dict[str, str] = field(default_factory=dict)
    #: pixel_size_um, frame_interval_s: none where they do not say
    pixel_size_um: float | None = None
    frame_interval_s: float | None = None
    #: the file
    source: str = ""


def read_beside(fs: AbstractFileSystem, root: str, paths: Sequence[str]) -> Beside:
    """What the first such file of `paths`, relative to `root`, says; nothing where there is none.

    Read are Harmony's ``Index.idx.xml`` and ``Index.xml``, Yokogawa's ``MeasurementData.mlf`` with
    ``MeasurementDetail.mrf`` and ``*.mes``, and MetaMorph's ``.nd`` and ImageXpress's ``.HTD``.
    """
    for path in paths:
        name = path.rpartition("/")[2].lower()
        if name in ("index.idx.xml", "index.xml"):
            return _harmony(_xml(fs, root, path), path)
        if name == "measurementdata.mlf":
            return _yokogawa(fs, root, path, paths)
        if name.endswith((".nd", ".htd")):
            return _metamorph(fs, root, path)
    return Beside()


def _xml(fs: AbstractFileSystem, root: str, path: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(fs.cat_file(f"{root}/{path}"))
    except ElementTree.ParseError:  # the images are there all the same
        return ElementTree.Element("nothing")


def _harmony(root: ElementTree.Element, path: str) -> Beside:
    """Images and, since Harmony 6, entries of maps hold the same elements."""
    names: dict[str, str] = {}
    sizes: list[float] = []
    times: dict[str, list[float]] = defaultdict(list)
    for each in (*root.iterfind(".//{*}Entry"), *root.iterfind(".//{*}Image")):
        channel = each.get("ChannelID") or each.findtext("{*}ChannelID")
        if channel and (name := each.findtext("{*}ChannelName")):
            names[channel] = name
        side = each.find("{*}ImageResolutionX")
        if side is not None and side.text:
            sizes.append(number(side.text) * LENGTHS.get(side.get("Unit", "m"), 1e6))
        point, time = each.findtext("{*}TimepointID"), each.findtext("{*}MeasurementTimeOffset")
        if point and time:
            times[point].append(number(time))
    return Beside(names, sizes[0] if sizes else None, _interval(times), path)


def _yokogawa(fs: AbstractFileSystem, root: str, path: str, paths: Sequence[str]) -> Beside:
    times: dict[str, list[float]] = defaultdict(list)
    for each in _xml(fs, root, path).iterfind("{*}MeasurementRecord"):
        said = _plain(each)
        if said.get("Type", "IMG") == "IMG" and "Time" in said and "TimePoint" in said:
            times[said["TimePoint"]].append(datetime.fromisoformat(said["Time"]).timestamp())
    names: dict[str, str] = {}
    size = None
    for other in paths:
        if other.lower().endswith("measurementdetail.mrf"):
            for each in _xml(fs, root, other).iter():
                if "HorizontalPixelDimension" in (said := _plain(each)):
                    size = number(said["HorizontalPixelDimension"])
        elif other.lower().endswith(".mes"):
            for each in _xml(fs, root, other).iter():
                said = _plain(each)
                if "Ch" in said and (name := said.get("Fluorophore") or said.get("Target")):
                    names[said["Ch"].zfill(2)] = name
    return Beside(names, size, _interval(times), path)


def _plain(element: ElementTree.Element) -> dict[str, str]:
    """Attributes without their namespaces."""
    return {name.rpartition("}")[2]: value for name, value in element.attrib.items()}


def _interval(times: dict[str, list[float]]) -> float | None:
    """The median step between time points, each the earliest time of its images."""
    points = sorted(min(each) for each in times.values())
    step = float(np.median(np.diff(points))) if len(points) > 1 else 0.0
    return step if step > 0 else None


def _metamorph(fs: AbstractFileSystem, root: str, path: str) -> Beside:
    text = fs.cat_file(f"{root}/{path}").decode("latin-1")
    names = dict(re.findall(r'"WaveName(\d+)",\s*"([^"]*)"', text))
    in_names = path.lower().endswith(".nd")  # MetaMorph writes them into the files' names too
    return Beside(
        {f"{key}{name}" if in_names else key: name for key, name in names.items()}, source=path
    )
