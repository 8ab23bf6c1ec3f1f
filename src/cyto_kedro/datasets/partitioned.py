"""Partitions of one dataset type, opened by id and saved whole."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from copy import deepcopy
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import AbstractDataset, DatasetError

from cyto_kedro.datasets.atomic import rename_whole
from cyto_kedro.datasets.corrected import CorrectedPartitions
from cyto_kedro.datasets.stacking import stacked
from cyto_kedro.errors import PartitionError
from cyto_kedro.journals import looked_at_once
from cyto_kedro.ledger import Entry, hash_file, move_aside
from cyto_kedro.partitions import Partitions, Plan, parse_grain, parse_id

log = logging.getLogger(__name__)
#: Data folder -> its plan, if there is one: said by `CheckHooks`, for what a person asks at a prompt.
PLANS: dict[str, Callable[[], Plan | None]] = {}


class PartitionedDataset(CorrectedPartitions):
    """Kedro's partitioned dataset, planned instead of listed, whole or absent, with a ledger.

    Loading gives `Partitions`: a mapping that opens a partition by its id and lists the folder only
    when iterated. Saving writes each partition under another name beside its place and renames it.
    It never overwrites what a person put there (see `save`).

    Parameters
    ----------
    grain
        The keys of a partition id, such as ``fov/population/block``.
    optional
        A partition that is not there is None: what a person may give, and no node makes.
    preview_over
        The dataset of images with the same ids: kedro-viz shows masks over them.
    path, dataset, filename_suffix, credentials, fs_args, metadata
        As in `kedro_datasets.partitions.PartitionedDataset`. A leading dot of the suffix is kept.

    Raises
    ------
    PartitionError
        On loading a partition that is not there, or saving one whose id does not fit the grain.

    Examples
    --------
    ::

        labels:
          type: cyto_kedro.datasets.PartitionedDataset
          path: data/03_primary/labels
          grain: fov/population/block
          filename_suffix: .tif
          dataset: cyto_kedro.datasets.LabelDataset
    """

    def __init__(
        self,
        *,
        path: str,
        dataset: str | type[AbstractDataset] | dict[str, Any],
        grain: str | list[str],
        filename_suffix: str,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        optional: bool = False,
        preview_over: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            path=path,
            dataset=dataset,
            filename_suffix=filename_suffix,
            credentials=credentials,
            fs_args=fs_args,
            metadata=metadata,
        )
        self.grain = parse_grain(grain)
        self.optional = optional
        self._over = preview_over
        if hasattr(self._dataset_type, "preview"):
            # kedro-viz reads the kind of a preview off the annotation: the partition's own.
            def preview() -> Any:
                return self._preview_first()

            preview.__annotations__ = dict(self._dataset_type.preview.__annotations__)
            self.preview = preview

    def load(self) -> Partitions:
        """The partitions, none of them opened yet."""
        return Partitions(self)

    @property
    def plan(self) -> Plan | None:
        """The plan of the data folder, where a project's catalog made it known."""
        return PLANS.get(self._home[0], lambda: None)()

    def glance(self, identity: str) -> Any:
        """What a partition holds, off its header: rows and columns, or a shape; None: not cheap."""
        return getattr(self.one(identity), "glance", lambda: None)()

    def lazy(self, identity: str) -> Any:
        """A partition, its pixels unread where its dataset can do that."""
        one = self.one(identity)
        return one.lazy() if hasattr(one, "lazy") else self.load_one(identity)

    def load_one(self, identity: str) -> Any:
        """Load a partition.

        Raises
        ------
        PartitionError
            If it is not there.
        """
        one = self._planned(identity)
        return None if one is None else one.load()

    def load_columns(self, identity: str, names: Collection[str] | None) -> Any:
        """A partition, a table, as `load_one`; columns of other names may be left out."""
        one: Any = self._planned(identity)
        some = names is not None and hasattr(one, "columns")
        return one.columns(names) if some else None if one is None else one.load()

    def load_stacked(
        self, ids: Iterable[str], names: Collection[str] | None = None
    ) -> Iterator[tuple[list[str], Any]]:
        """Partitions, tables, one below the other: which they are, and as many as are of one form.

        `names`: as in `load_columns`. One that is optional and not there is left out.
        """

        def opened() -> Iterator[tuple[str, Any]]:
            like: Any = None
            for identity in ids:
                path = self.path_of(identity)
                if like is None or not self._filesystem.exists(path):
                    like = self._planned(identity)
                    one = like
                else:
                    one = like.beside(path)
                if one is not None:
                    table = one.arrow(names)
                    yield identity, self.load_columns(identity, names) if table is None else table

        if hasattr(self._dataset_type, "arrow"):
            return stacked(opened())
        tables = ((each, self.load_columns(each, names)) for each in ids)
        return (([each], table) for each, table in tables if table is not None)

    def _planned(self, identity: str) -> AbstractDataset | None:
        if not self._filesystem.exists(self.path_of(identity)):
            if self.optional:
                copy = self.copy_of(identity)  # results were deleted; no node would put it back
                return self._at(copy) if self._filesystem.exists(copy) else None
            raise PartitionError(
                f"{self.name}: partition {identity!r} is planned but not at {self.path_of(identity)}: "
                "run the pipeline that makes it (its own failure is in that run's summary)"
            )
        return self.one(identity)

    def read_like(self, path: PathLike[str]) -> Any:
        """Read a file from elsewhere as if it were a partition (to put it in place of one)."""
        config = {k: v for k, v in deepcopy(self._dataset_config).items() if k != "credentials"}
        dataset: AbstractDataset = self._dataset_type(
            **config, **{self._filepath_arg: fspath(path)}
        )
        return dataset.load()

    def save(self, data: dict[str, Any]) -> None:
        """Save each partition of ``{id: data}``, whole or not at all.

        A partition that a person corrected is kept, or put back from the correction's own copy. A
        file that the ledger does not know, so that it may be somebody's work, is moved aside.
        """
        for identity in data:
            parse_id(self.grain, identity)
        for identity, value in sorted(data.items()):
            if self._correcting is None and (held := self.correction(identity)) is not None:
                log.warning(
                    "%s %s: kept the correction by %s (%s); to let it be made again: "
                    "kedro cyto uncorrect %s %s",
                    *(self.name, identity, held.who, held.why, self.name, identity),
                )
                self.restore(identity)
                continue
            value = value() if callable(value) else value
            if self._correcting is not None:
                self._correct(identity, value, self._correcting)
            else:
                self._make(identity, value)
        self._invalidate_caches()

    def _make(self, identity: str, value: Any) -> None:
        """Put what a node made in its place, unless a correction lands meanwhile."""
        local = isinstance(self._filesystem, LocalFileSystem)
        with looked_at_once():
            path, entry = self._place_for(identity, value), self.ledger.read(identity)
            if entry is not None and entry.correction is not None:  # its file and its copy are gone
                self.ledger.write(identity, entry.model_copy(update={"correction": None}))
            found = None if local else self.ledger.stranger(identity, path)
        if not local:
            aside = None if found is None else move_aside(self._filesystem, path, self._home[0])
            same = False
            try:
                self._at(path).save(value)
                # a killed run's, without its entry
                same = aside is not None and found == hash_file(self._filesystem, path)
            finally:
                if aside is not None and not same:
                    self._tell_aside(path, aside)
            if aside is not None and same:
                self._filesystem.rm_file(aside)
        else:
            with self._written(path, value) as part:
                found = self.ledger.stranger(identity, path)
                if found is not None and found != hash_file(self._filesystem, part):
                    self._set_aside(identity)
                rename_whole(part, path)
        self.restore(identity)

    def _place_for(self, identity: str, value: Any) -> str:
        """Where `value` is going to lie as partition `identity`."""
        return self.path_of(identity)

    def list_ids(self) -> list[str]:
        """Ids of the partitions found in the folder (unfinished and hidden files left out)."""
        self._invalidate_caches()
        found = (self._path_to_partition(path) for path in self._list_partitions())
        ids = (each for each in found if "/." not in f"/{each}")
        return sorted(each for each in ids if each.count("/") == len(self.grain) - 1)

    def sweep(self, older_than_s: float = 3600.0) -> int:
        """Remove what killed writers left half written (local disks); how many files that were."""
        if not isinstance(self._filesystem, LocalFileSystem):
            return 0
        count, now = 0, time.time()
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                if ".part-" not in str(path):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if now - path.stat().st_mtime > older_than_s:  # else its writer may live
                        path.unlink()
                        count += 1
                with contextlib.suppress(OSError):
                    if path.parent.name.startswith(".part-"):
                        path.parent.rmdir()
        return count

    def content(self, identity: str, entry: Entry | None = None) -> str | None:
        """Hash of a partition's file, or None when it is not there.

        `entry` is the ledger's where it was just read.
        """
        found = self.ledger.content(identity, self.path_of(identity), entry)
        if found is None and self.optional:
            return self.corrections.content(identity, self.copy_of(identity))
        return found

    def record(self, identity: str, inputs: dict[str, str], **more: Any) -> Entry:
        """Write the ledger entry of a partition that was just saved.

        One with a `correction` says that the file in place is a person's: it gets its copy.
        """
        entry = self.ledger.record(identity, self.path_of(identity), inputs, **more)
        if entry.correction is not None:
            self.corrections.remove(identity)  # an earlier one
            if self._filesystem.exists(copy := self.copy_of(identity)):
                move_aside(self._filesystem, copy, self._home[0])
            self.restore(identity)
        return entry

    def _preview_first(self) -> Any:
        ids = self.list_ids()
        if not ids:
            raise DatasetError(f"{self.name}: nothing to preview yet, no partition was saved")
        over = {}
        if self._over is not None:
            images: Any = AbstractDataset.from_config("preview_over", dict(self._over))
            if (image := images.one(ids[0])).exists():
                over = {"over": image.load()}
        return self.one(ids[0]).preview(**over)  # type: ignore[attr-defined]

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "grain": "/".join(self.grain)}
