"""Where what was made elsewhere goes, what was found there, and the door it comes in by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro.blocks import Block
from cyto_kedro.corrections import keep
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import InputError, unknown
from cyto_kedro.partitions import partition_id
from cyto_kedro.pipelines.common import context


@dataclass(frozen=True)
class Place:
    """A population of a field, as the assay plans and views it."""

    catalog: Any
    manifest: Manifest
    fov: str
    population: str

    @property
    def group(self) -> dict[str, str]:
        """Keys of its partitions."""
        return {"fov": self.fov, "population": self.population}

    @property
    def of_labels(self) -> tuple[Any, Manifest, str, str]:
        """What `export.field.label_films` asks for."""
        return self.catalog, self.manifest, self.fov, self.population

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """``pixel_size_um`` and ``time_min`` of the viewed film, None where not known."""
        frames = self.catalog.load("frames").query("fov == @self.fov")
        found = context(self.group, self.manifest, frames)
        return {key: found[key] for key in ("pixel_size_um", "time_min")}

    @property
    def excluded(self) -> list[int]:
        """Frames of the viewed film that hold no cells."""
        return list(self.manifest.fovs[self.fov].excluded)


@dataclass(frozen=True)
class Found:
    """What a file from elsewhere holds, as the assay's view shows the film."""

    #: what it was, as a sentence begins: "Cell Tracking Challenge result"
    kind: str
    n_cells: int
    #: frame of the viewed film -> (Y, X) uint32; None: our own masks stay
    label: Callable[[int], np.ndarray] | None
    #: `TrackPoints`; None: the file holds masks alone, which the configured linker joins
    points: pd.DataFrame | None
    #: `Outlines` that the masks were made of; None: it holds masks, or none
    outlines: pd.DataFrame | None = None

    @property
    def n_tracks(self) -> int:
        """How many tracks there are."""
        return 0 if self.points is None else int(self.points["track_id"].nunique())

    def __str__(self) -> str:
        said = f"{self.kind}: {self.n_cells} cells"
        if self.points is None:
            return f"{said}; `kedro run` joins them to tracks"
        daughters = self.points.drop_duplicates("track_id").get("parent_track_id", pd.Series())
        n_divisions = daughters.dropna().nunique()
        return f"{said}, {self.n_tracks} tracks, {n_divisions} divisions"


Read = Callable[[Path, Place], Found]


def bring(
    catalog: Any,
    file: Path,
    fov: str,
    population: str,
    who: str,
    read: Read,
    masks_only: bool = False,
) -> Found:
    """Put masks and tracks of `file` in place as corrections by `who`; what was found in it.

    Everything is read and checked before anything is written.

    Raises InputError if the field or population is unknown, the masks of the assay are not ours to
    replace, or `read` refuses the file.
    """
    manifest: Manifest = catalog.load("manifest")
    for what, name, known in (
        ("field", fov, manifest.fovs),
        ("population", population, manifest.populations),
    ):
        if name not in known:
            raise InputError(unknown(what, name, known))
    found = read(file, Place(catalog, manifest, fov, population))
    found = replace(found, points=None) if masks_only else found
    group, grain = {"fov": fov, "population": population}, catalog.get("labels").grain
    if found.label is not None:
        if not isinstance(catalog.get("labels"), PartitionedDataset):
            raise InputError(
                "the catalog reads `labels` from masks made elsewhere, which are never written: put "
                f"the masks of {file} there, or take that entry out of the catalog"
            )
        for each in manifest.groups(grain, group):
            block = Block.parse(each["block"])
            stack = np.stack([found.label(t) for t in range(block.start, block.stop)])
            keep(catalog, "labels", partition_id(grain, each), stack, file, who, found.kind)
    if found.outlines is not None:
        outlines, grain = found.outlines, catalog.get("outlines").grain
        for each in manifest.groups(grain, group):
            block = Block.parse(each["block"])
            its = outlines[outlines["frame"].between(block.start, block.stop - 1)]
            name = partition_id(grain, each)
            keep(catalog, "outlines", name, its.reset_index(drop=True), file, who, found.kind)
    if found.points is not None:
        name = partition_id(catalog.get("track_points").grain, group)
        keep(catalog, "track_points", name, found.points, file, who, found.kind)
    return found
