"""The raw films as partitions, read where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from kedro.io import DatasetError

from cyto_kedro.blocks import Block
from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.datasets.lazy import Window, lazy, read_by
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.previews import image_png
from cyto_kedro.datasets.raw import RawChannel, RawFrames
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import PartitionError, unknown
from cyto_kedro.kedro_private import ImagePreview
from cyto_kedro.ledger import digest, stat
from cyto_kedro.partitions import Grain, Partitions, parse_id

if TYPE_CHECKING:
    import dask.array as da


class RawImages(FileDataset[Any, Partitions]):
    """Raw films as lazy partitions ``<fov>/<channel>/<block>``, never copied.

    Loading a partition gives a Dask array (T, Y, X) over the block's frames, one chunk a frame.

    Parameters
    ----------
    filepath
        Ingestion's manifest, which says where each field and channel lies.
    metadata
        Kept for plugins.
    """

    name = "raw_images"
    grain: Grain = ("fov", "channel", "block")

    def _manifest(self) -> Manifest:
        with self._read() as file:
            return Manifest.model_validate_json(file.read())

    def open(self) -> OpenedRaw:
        """The films of the manifest as it is now."""
        return OpenedRaw(self._manifest())

    def load(self) -> Partitions:
        """The partitions, none of them opened yet."""
        return Partitions(self.open())

    def save(self, data: Any) -> None:
        """Refuse: raw films are input. Raises DatasetError: always."""
        raise DatasetError("raw_images are read where the microscope put them and never written")

    def preview(self) -> ImagePreview:
        """Six frames of the first film."""
        source = self.open()
        raw = next(iter(source.raw.values()))
        return image_png(source.open(raw))


class OpenedRaw:
    """The manifest's raw channels by (fov, channel)."""

    name = RawImages.name
    grain: Grain = RawImages.grain

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._stamps: dict[tuple[str, str], str] = {}
        self._films: dict[tuple[str, str], da.Array] = {}
        self._sources: dict[tuple[str, str], RawFrames] = {}
        self.plan = manifest
        self.raw: dict[tuple[str, str], RawChannel] = {
            (each.fov, each.channel): each for each in manifest.raw
        }

    def _find(self, identity: str) -> tuple[RawChannel, Block]:
        keys = parse_id(self.grain, identity)
        try:
            return self.raw[keys["fov"], keys["channel"]], Block.parse(keys["block"])
        except KeyError as error:
            choices = [f"{fov}/{channel}" for fov, channel in self.raw]
            raise PartitionError(
                unknown("raw film", f"{keys['fov']}/{keys['channel']}", choices)
            ) from error

    def _lacks(self, identity: str) -> bool:
        keys = parse_id(self.grain, identity)
        planned = self._manifest.fovs.get(keys["fov"])
        return planned is not None and keys["channel"] in planned.lacking

    def load_one(self, identity: str) -> da.Array:
        """The frames of one block; black where the field was filmed without the channel."""
        if self._lacks(identity):
            import dask.array as da

            keys = parse_id(self.grain, identity)
            planned, block = self._manifest.fovs[keys["fov"]], Block.parse(keys["block"])
            shape = len(block), planned.height_px, planned.width_px
            return da.zeros(shape, np.uint8, chunks=(1, *shape[1:]))
        raw, block = self._find(identity)
        window = self.window(identity)
        return read_by(self.open(raw)[block.start : block.stop], lambda: window[:])

    def window(self, identity: str) -> Any:
        """The same, to be sliced by frames: what is asked for is read at once, without Dask."""
        if self._lacks(identity):
            return self.load_one(identity)
        raw, block = self._find(identity)
        view, source = self._manifest.view, self._source(raw)

        def read(start: int, stop: int) -> np.ndarray:
            return view.read(source.read, source.shape[0], start, stop)

        return Window(read, block.start, block.stop)

    def _source(self, raw: RawChannel) -> RawFrames:
        key = raw.fov, raw.channel
        if key not in self._sources:  # its header is read once for all blocks
            self._sources[key] = RawFrames(raw)
        return self._sources[key]

    def open(self, raw: RawChannel) -> da.Array:
        """The frames of a channel as the assay's view shows them."""
        key = raw.fov, raw.channel
        if key not in self._films:
            self._films[key] = self._manifest.view.stack(lazy(self._source(raw)))
        return self._films[key]

    lazy = load_one

    def glance(self, identity: str) -> str:
        """Shape and type of a block."""
        block = self.load_one(identity)
        return f"{block.shape}, (T, Y, X), {block.dtype}"

    def list_ids(self) -> list[str]:
        """Every planned raw partition."""
        return self._manifest.ids(self.grain)

    def content(self, identity: str) -> str | None:
        """A hash of the files' names, sizes and times: raw films are too large to hash whole.

        Files are looked at once for all blocks: as they were when the run came to the film.
        """
        if self._lacks(identity):
            return digest(["not filmed", identity])
        raw, block = self._find(identity)
        key = raw.fov, raw.channel
        if key not in self._stamps:
            stamps = []
            for url in raw.files:
                fs, path = find_place(url)
                if not fs.exists(path):
                    return None
                stamps.append([url, *stat(fs, path)])
            view = self._manifest.view.model_dump(mode="json")
            scene = [raw.scene] if raw.scene else []
            self._stamps[key] = digest([stamps, raw.index, raw.project_z, view, *scene])
        return digest([self._stamps[key], str(block)])
