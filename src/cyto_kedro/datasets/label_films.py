"""Masks made elsewhere, one file per film, as partitions by block."""

from __future__ import annotations

import copy
import logging
from typing import Any, Self

import dask.array as da
import numpy as np
from dask import delayed
from kedro.io import DatasetError

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.folder import ReadOnlyFolder
from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.ome_zarr import is_zarr
from cyto_kedro.datasets.planned import differences, emptied, is_whole
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import ConfigError, InputError, PartitionError
from cyto_kedro.ledger import digest, stat
from cyto_kedro.partitions import Grain, Partitions, parse_grain, parse_id

log = logging.getLogger(__name__)

_RAW = "{raw}"


class LabelFilms(ReadOnlyFolder[Partitions]):
    """Label films ``<path>/<pattern>``, read where they are and never copied or written.

    Stands in the catalog in place of ``labels``: all that comes after segmentation then works on
    these masks, and segmentation is left out of the run. Once ingestion has planned the film
    (`CheckHooks` hands its manifest over), masks of the whole film are seen through the assay's
    view as the film is, those of the viewed film are taken as they are, and excluded frames hold
    no cells.

    Parameters
    ----------
    pattern
        Path of a film in the folder, with ``{fov}`` and ``{population}``. ``{raw}`` at its beginning
        stands for the field's own OME-Zarr, wherever that lies: ``{raw}/labels/{population}``.
    grain
        Keys of a partition id; ``block`` is cut out of the film.
    path, fs_args, credentials, metadata
        As for every folder that is read only.

    Examples
    --------
    ::

        labels:
          type: cyto_kedro.datasets.LabelFilms
          path: masks
          pattern: "{fov}/{population}.tif"
    """

    holds = (
        "masks made elsewhere (leave segmentation out of the run: kedro run --pipelines "
        "ingestion,preprocessing,tabulation,...)"
    )

    def __init__(
        self,
        *,
        path: str,
        pattern: str = "{fov}/{population}.tif",
        grain: str | list[str] = "fov/population/block",
        **options: Any,
    ) -> None:
        super().__init__(path=path, **options)
        self._pattern = pattern
        self.name = self._folder.rsplit("/", 1)[-1]  # for messages
        self.grain: Grain = parse_grain(grain)
        self._beside_raw = pattern.startswith(f"{_RAW}/")
        said = {"block", "fov"} if self._beside_raw else {"block"}
        if missing := [k for k in self.grain if k not in said and f"{{{k}}}" not in pattern]:
            raise ConfigError(
                f"LabelFilms: pattern {pattern!r} lacks {{{missing[0]}}}, so that several films "
                f"would be one file"
            )

        self._manifest: Any = None
        self._plan: Manifest | None = None

    def follow(self, manifest: Any) -> None:
        """Look at every loading into the dataset `manifest` for view and exclusions."""
        self._manifest = manifest

    def load(self) -> Partitions:
        """The partitions, none of them opened yet."""
        return Partitions(self.planned())

    def planned(self) -> Self:
        """The same films under the plan that there is now, if any."""
        found = copy.copy(self)
        if self._manifest is not None and self._manifest.exists():
            found._plan = self._manifest.load()
        return found

    def _file(self, identity: str) -> tuple[str, Block | None]:
        keys = parse_id(self.grain, identity)
        block = Block.parse(keys["block"]) if "block" in keys else None
        path = self._pattern
        for key, value in keys.items():
            path = path.replace(f"{{{key}}}", value)
        if self._beside_raw:
            return f"{self._raw_of(keys['fov'])}{path.removeprefix(_RAW)}", block
        return f"{self._folder}/{path}", block

    def _raw_of(self, fov: str) -> str:
        """Where the OME-Zarr of a field lies."""
        if self._plan is None:
            raise DatasetError(
                f"where {_RAW} lies, ingestion finds: kedro run --pipelines ingestion first"
            )
        for raw in self._plan.raw:
            if raw.fov == fov and is_zarr(raw.files[0]):
                return raw.files[0]
        raise InputError(
            f"field {fov!r}: its film is no OME-Zarr, so that {_RAW} of LabelFilms names none; give "
            "the masks' path by {fov}"
        )

    def load_one(self, identity: str) -> np.ndarray:
        """The labels of a partition, (T, Y, X) uint32.

        Raises PartitionError if the film is not there: names the file. Raises InputError if it is
        shorter than the field's film, or holds no labels.
        """
        url, block = self._file(identity)
        if self.content(identity) is None:
            raise PartitionError(
                f"labels {identity!r}: there is no {url}. Put the masks of this field and population "
                "there, or correct the pattern in the catalog"
            )
        film = LabelDataset(filepath=url, fs_args=self._options)
        fov = parse_id(self.grain, identity).get("fov")
        if self._plan is not None and fov in self._plan.fovs:
            return self._laid_on(self._plan, fov, film, block, url)
        if block is None:
            return film.load()
        found = film.load_frames(block.start, block.stop)
        if len(found) < len(block):
            raise InputError(
                f"{url} ends before frame {block.stop - 1} of the field: masks must be of the whole "
                "film, with empty frames where there are no cells"
            )
        return found

    def _laid_on(
        self, plan: Manifest, fov: str, film: LabelDataset, block: Block | None, url: str
    ) -> np.ndarray:
        """A block of `film` as the field is viewed, without cells in excluded frames."""
        planned = plan.fovs[fov]
        whole = is_whole(plan, fov, film.shape, url)
        block = Block(0, planned.n_frames) if block is None else block
        if block.start == 0:
            for each in differences(plan, fov, whole, film.load_metadata().said):
                log.warning("%s", each)
        if whole:
            numbers = plan.view.frames(film.shape[0])[block.start : block.stop]
            label = film.load_frames(numbers[0], numbers[-1] + 1)[:: plan.view.every_frame]
            label = plan.view.labels(label)
        else:
            label = film.load_frames(block.start, block.stop)
        return emptied(label, planned.excluded_in(block), url)

    @property
    def plan(self) -> Manifest | None:
        """What ingestion planned, where it has."""
        return self._plan

    def lazy(self, identity: str) -> Any:
        """`load_one` as a Dask array of one chunk, not read yet."""
        keys = parse_id(self.grain, identity)
        if self._plan is None or "block" not in keys:
            return self.load_one(identity)
        fov = self._plan.fovs[keys["fov"]]
        shape = len(Block.parse(keys["block"])), fov.height_px, fov.width_px
        return da.from_delayed(delayed(self.load_one)(identity), shape, np.uint32)

    def list_ids(self) -> list[str]:
        """The planned ids of films that are there. Raises DatasetError: without a plan."""
        if self._plan is not None:
            return [each for each in self._plan.ids(self.grain) if self.content(each) is not None]
        raise DatasetError("label films are opened by partition id; which there are, the plan says")

    def content(self, identity: str) -> str | None:
        """A hash of the film's name, size and time, or None when it is not there."""
        url, block = self._file(identity)
        fs, path = find_place(url, **self._options)
        named: list[Any]
        if is_zarr(path) and fs.isdir(path):
            named = [url, [[name, *stat(fs, name)] for name in sorted(fs.find(path))]]
        elif fs.isfile(path):
            named = [url, *stat(fs, path)]
        else:
            return None
        stamp: list[Any] = [named, str(block)]
        fov = parse_id(self.grain, identity).get("fov")
        if self._plan is not None and fov in self._plan.fovs:
            planned, view = self._plan.fovs[fov], self._plan.view.model_dump(mode="json")
            stamp += [view, list(planned.excluded)]
        return digest(stamp)

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "pattern": self._pattern, "grain": "/".join(self.grain)}
