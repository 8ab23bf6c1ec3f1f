"""Pairs of cells whose masks meet, by several definitions of meeting.

Each definition is a class; all make `schemas.Touches`, and name themselves in its column
`definition`. Distances here are between masks, edge to edge. For definitions by position, centre to
centre, see `cyto_kedro.algorithms.contacts.positions`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from pydantic import Field

from cyto_kedro import schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.tabulation.drawn import Drawn, DrawnFilm
from cyto_kedro.algorithms.tabulation.masks import read_frame
from cyto_kedro.algorithms.tabulation.own_pixels import own_light
from cyto_kedro.algorithms.tabulation.proximity import (
    Outlines,
    Reader,
    dilated_overlap,
    frame_touches,
)
from cyto_kedro.core.contract import Images, Labels
from cyto_kedro.core.units import Length, PositiveLength
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.schemas import TableOf

Columns = dict[str, np.ndarray]


class Touching(TypedDict):
    """What every definition makes."""

    touches: TableOf[schemas.Touches]


class MaskTouches(Algorithm):
    """Find pairs of masks, within and between populations, that meet.

    What all definitions measure. *Distance* is the gap, edge to edge: the smallest distance between
    the pixel centres of the two masks minus one, at least 0. So cells that share an edge or overlap
    are at 0, cells that meet at a corner at 0.41.

    *Contact length* is (outline pixels of a within reach of b + outline pixels of b within reach
    of a) / 2, in pixels; an outline pixel has a 4-neighbour outside its own mask, and within reach
    means at most the definition's reach, measured as above, from some pixel of the other mask.
    *Perimeter share* of a side is the same count over all its outline pixels. *Overlap* is the
    number of pixels in both masks (only between populations: within one, labels cannot overlap).
    *Own pixels* of a side are those farther than `halo` from the convex hull of the other, a cell of
    another population: no light of the other lies on them. Where a channel of `markers` was filmed,
    ``<channel>_own_a`` and ``<channel>_own_b`` are its lower quartiles over own pixels.
    """

    version = 3

    halo: Length = Field(
        default=Length(um=1.0, px=2.0),
        description="how far a cell's light reaches beyond its mask: what is farther is the other's own",
    )

    @property
    @abstractmethod
    def definition(self) -> str:
        """The definition in words, for the tables."""

    @abstractmethod
    def reach_px(self, pixel_size_um: float | None) -> float:
        """Largest gap of masks that can meet, in pixels."""

    def find(
        self, lines: Outlines, pixel_size_um: float | None, drawn: Drawn | None = None
    ) -> Columns:
        """The pairs of one frame that meet: the columns of `frame_touches`, and perhaps more.

        `drawn`: outlines that the masks were made of, where the definition reads them.
        """
        return frame_touches(lines, self.reach_px(pixel_size_um))

    def run(
        self,
        label: Labels,
        image: Images | None = None,
        markers: Mapping[str, str] | None = None,
        fov: str = "fov1",
        frame_start: int = 0,
        pixel_size_um: float | None = None,
    ) -> Touching:
        """Find the touches of a film.

        Parameters
        ----------
        label
            In the order of the assay, computed frame by frame: side a is the earlier population, or
            the smaller label within one.
        image
            Measurement images; only channels of `markers` are read.
        markers
            Marker -> channel, as `assay.markers`.

        Raises
        ------
        ConfigError
            If a length is in µm and the film uncalibrated.
        InputError
            If shapes disagree.
        """
        return self._found(label, image, markers, None, fov, frame_start, pixel_size_um)

    def _found(
        self,
        label: Labels,
        image: Images | None,
        markers: Mapping[str, str] | None,
        outlines: TableOf[schemas.Outlines] | None,
        fov: str,
        start: int,
        size: float | None,
    ) -> Touching:
        labels = dict(label)
        self.reach_px(size)  # a length that cannot be resolved is told before pixels are read
        halo = self.halo.in_px("halo", size)
        images, dyes = dict(image or {}), {*(markers or {}).values()}
        dyed = {name: stack for name, stack in images.items() if name in dyes}
        shape = _shape(labels, fov)
        reader, drawn = Reader(shape[1:], len(labels)), DrawnFilm(outlines, labels, fov)
        blocks = []
        for index in range(shape[0]):
            frames = [
                read_frame(stack, index, f"field {fov!r}, {population!r}, frame {start + index}")
                for population, stack in labels.items()
            ]
            lines = reader.outlines(frames)
            found = _measures(lines, self.find(lines, size, drawn.frame(start + index, lines)))
            light = {name: np.asarray(stack[index]) for name, stack in sorted(dyed.items())}
            found |= own_light(frames, light, found, halo)
            found["frame"] = np.full(len(found["a"]), start + index)
            blocks.append(found)
        drawn.tell()
        if not any(len(block["a"]) for block in blocks):
            none = schemas.empty(schemas.Touches)
            own = {f"{name}_own_{side}": np.zeros(0) for name in sorted(dyed) for side in "ab"}
            return {"touches": none.assign(**own)}
        table = {c: np.concatenate([b[c] for b in blocks]) for c in blocks[0]}
        n, names = len(table["a"]), np.array(list(labels), dtype=object)
        table["population_a"], table["population_b"] = names[table.pop("a")], names[table.pop("b")]
        scale = np.nan if size is None else float(size)
        table |= {
            "fov": np.full(n, fov, object),
            "distance_um": table["distance_px"] * scale,
            "contact_length_um": table["contact_length_px"] * scale,
            "definition": np.full(n, self.definition, object),
        }
        return {"touches": schemas.from_columns(schemas.Touches, table)}


class Touches(MaskTouches):
    """Mask distance: the masks of the pair are at most a distance apart, edge to edge.

    0 means that they share a pixel edge or overlap.

    Examples
    --------
    >>> label = {"T": np.array([[[1, 1, 0, 0, 0]]]), "C": np.array([[[0, 0, 0, 2, 2]]])}
    >>> Touches(max_distance_px=1)(label=label)["touches"][["label_a", "label_b", "distance_px"]].values
    array([[1., 2., 1.]])
    """

    max_distance: Length = Field(description="reach")

    @property
    def definition(self) -> str:
        return "mask distance <= " + said(self.max_distance)

    def reach_px(self, pixel_size_um: float | None) -> float:
        return self.max_distance.in_px("max_distance", pixel_size_um)


class TouchingMasks(MaskTouches):
    """Touching: the masks of the pair share an edge of a pixel (or, where asked, a corner), or overlap.

    The distance is 0 edge to edge, or 0.41 pixels across a corner.

    Examples
    --------
    >>> label = {"T": np.array([[[1, 0], [0, 2]]])}
    >>> [len(TouchingMasks(corners=each)(label=label)["touches"]) for each in (False, True)]
    [0, 1]
    """

    corners: bool = Field(default=False, description="meeting at the corner of a pixel counts too")

    @property
    def definition(self) -> str:
        return "masks share a pixel edge" + (" or corner" if self.corners else "")

    def reach_px(self, pixel_size_um: float | None) -> float:
        return float(np.sqrt(2) - 1) if self.corners else 0.0


class DilatedOverlap(MaskTouches):
    """Dilation overlap: the masks, each dilated by a disk of the radius, have pixels in common.

    A pixel is in a dilated mask if its centre is at most the radius from a pixel centre of the
    mask. Some pixel is then that near to both, so the gap is at most 2 radius - 1 pixels; the
    number of such pixels stands in the column `dilated_overlap_px`. The distance is the gap of the
    masks as they are, edge to edge, not of the dilated ones.

    Examples
    --------
    >>> label = {"T": np.array([[[1, 0, 0, 2]]])}
    >>> DilatedOverlap(radius_px=2)(label=label)["touches"][["distance_px", "dilated_overlap_px"]].values
    array([[2., 2.]])
    """

    radius: PositiveLength = Field(description="radius of the disk")
    min_overlap_px: int = Field(default=1, ge=1, description="pixels in common that are asked for")

    @property
    def definition(self) -> str:
        return f"masks dilated by {said(self.radius)} overlap by >= {self.min_overlap_px} px"

    def reach_px(self, pixel_size_um: float | None) -> float:
        return max(2 * self._radius(pixel_size_um) - 1.0, 0.0)

    def find(
        self, lines: Outlines, pixel_size_um: float | None, drawn: Drawn | None = None
    ) -> Columns:
        found = super().find(lines, pixel_size_um)
        shared = dilated_overlap(
            lines, found["a"], found["b"], found["overlap_px"], self._radius(pixel_size_um)
        )
        found = found | {"dilated_overlap_px": shared}
        return _rows(found, shared >= self.min_overlap_px)

    def _radius(self, pixel_size_um: float | None) -> float:
        return self.radius.in_px("radius", pixel_size_um)


def said(length: Length) -> str:
    """A length in words, in the units that it was given in."""
    given = ((length.um, "um"), (length.px, "px"))
    return " or ".join(f"{value:g} {unit}" for value, unit in given if value is not None)


def _rows(columns: Columns, kept: np.ndarray) -> Columns:
    return {name: each[kept] for name, each in columns.items()}


def _measures(lines: Outlines, found: Columns) -> Columns:
    """Columns of the table from those of `frame_touches`: populations, labels, lengths, shares."""
    a, b = found.pop("a"), found.pop("b")
    near_a, near_b = found.pop("near_a"), found.pop("near_b")
    length_a = found.pop("length_a", lines.count[a])
    length_b = found.pop("length_b", lines.count[b])
    return {
        "a": lines.population[a],
        "b": lines.population[b],
        "label_a": lines.label[a],
        "label_b": lines.label[b],
        "contact_length_px": (near_a + near_b) / 2.0,
        "perimeter_share_a": near_a / length_a,
        "perimeter_share_b": near_b / length_b,
        **found,
    }


def _shape(labels: dict[str, Any], fov: str) -> tuple[int, int, int]:
    """The shape that the labels of all populations have."""
    if not labels:
        raise ConfigError(f"field {fov!r}: touches need the labels of at least one population")
    shapes = {population: tuple(label.shape) for population, label in labels.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"field {fov!r}: the populations' labels differ in shape, {shapes}; touches are "
            "found pixel by pixel, so all must have the same frames, rows and columns"
        )
    return next(iter(shapes.values()))
