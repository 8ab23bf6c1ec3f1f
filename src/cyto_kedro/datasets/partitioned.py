"""Partitions of one dataset type, opened by id and saved whole."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from copy import deepcopy
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset

from cyto_kedro.errors import PartitionError
from cyto_kedro.ledger import Correction, Entry, Ledger
from cyto_kedro.partitions import Partitions, parse_grain, parse_id

log = logging.getLogger(__name__)


class PartitionedDataset(KedroPartitionedDataset):
    """Kedro's partitioned dataset, planned instead of listed, whole or absent, with a ledger.

    Loading gives `Partitions`: a mapping that opens a partition by its id and lists the folder only
    when iterated. Saving writes each partition under another name beside its place and renames it
    (a dataset type that says ``writes_whole = True`` does that itself).

    Parameters
    ----------
    grain
        The keys of a partition id, such as ``fov/population/block``.
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
        if hasattr(self._dataset_type, "preview"):
            # kedro-viz reads the kind of a preview off the annotation: the partition's own.
            def preview() -> Any:
                return self._preview_first()

            preview.__annotations__ = dict(self._dataset_type.preview.__annotations__)
            self.preview = preview

    @property
    def name(self) -> str:
        """The last folder of the path, for messages."""
        return self._path.rstrip("/").rsplit("/", 1)[-1]

    @cached_property
    def _filesystem(self) -> AbstractFileSystem:  # looked up once: plans ask for 10,000 partitions
        return super()._filesystem

    @cached_property
    def _folder(self) -> str:
        return str(self._filesystem._strip_protocol(self._normalized_path)).rstrip("/")

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of this folder."""
        return Ledger(self._filesystem, self._folder)

    def path_of(self, identity: str) -> str:
        """Where partition `identity` lies (without protocol)."""
        return str(self._partition_to_path(identity))

    def one(self, identity: str) -> AbstractDataset:
        """The dataset of one partition."""
        return self._at(self.path_of(identity))

    def _at(self, path: str) -> AbstractDataset:
        config = deepcopy(self._dataset_config)
        config[self._filepath_arg] = self._join_protocol(path)
        dataset: AbstractDataset = self._dataset_type(**config)
        return dataset

    def load(self) -> Partitions:
        """The partitions, none of them opened yet."""
        return Partitions(self)

    def load_one(self, identity: str) -> Any:
        """Load a partition.

        Raises
        ------
        PartitionError
            If it is not there.
        """
        if not self._filesystem.exists(self.path_of(identity)):
            raise PartitionError(
                f"{self.name}: partition {identity!r} is planned but not at {self.path_of(identity)}: "
                "run the pipeline that makes it (its own failure is in that run's summary)"
            )
        return self.one(identity).load()

    def read_like(self, path: PathLike[str]) -> Any:
        """Read a file from elsewhere as if it were a partition (to put it in place of one)."""
        config = {k: v for k, v in deepcopy(self._dataset_config).items() if k != "credentials"}
        dataset: AbstractDataset = self._dataset_type(
            **config, **{self._filepath_arg: fspath(path)}
        )
        return dataset.load()

    def save(self, data: dict[str, Any]) -> None:
        """Save each partition of ``{id: data}``, whole or not at all.

        A partition that a person corrected is kept: a person's work is not lost to a rerun.
        """
        for identity in data:
            parse_id(self.grain, identity)
        for identity, value in sorted(data.items()):
            path = self.path_of(identity)
            if (held := self.correction(identity)) is not None:
                log.warning(
                    "%s %s: kept the correction by %s (%s); to let it be made again: "
                    "kedro cyto uncorrect %s %s",
                    *(self.name, identity, held.who, held.why, self.name, identity),
                )
                continue
            self.drop_correction(identity)  # of a file that is gone
            value = value() if callable(value) else value
            local = self._protocol == "file"
            if getattr(self._dataset_type, "writes_whole", False) or not local:
                self._at(path).save(value)
                continue
            folder, filename = path.rsplit("/", 1)
            part = f"{folder}/.part-{uuid.uuid4().hex}-{filename}"
            self._filesystem.makedirs(folder, exist_ok=True)
            try:
                self._at(part).save(value)
                self._filesystem.mv(part, path)
            except BaseException:
                if self._filesystem.exists(part):
                    self._filesystem.rm(part)
                raise
        self._invalidate_caches()

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
                if ".part-" not in name and not name.endswith(".json.part"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if now - path.stat().st_mtime > older_than_s:  # else its writer may live
                        path.unlink()
                        count += 1
        return count

    def content(self, identity: str) -> str | None:
        """Hash of a partition's file, or None when it is not there."""
        return self.ledger.content(identity, self.path_of(identity))

    def record(self, identity: str, inputs: dict[str, str], **more: Any) -> Entry:
        """Write the ledger entry of a partition that was just saved."""
        return self.ledger.record(identity, self.path_of(identity), inputs, **more)

    def correction(self, identity: str) -> Correction | None:
        """Who put the partition that is there now in place, and why; None where nobody did."""
        entry = self.ledger.read(identity)
        if entry is None or not self._filesystem.exists(self.path_of(identity)):
            return None
        return entry.correction

    def drop_correction(self, identity: str) -> Correction | None:
        """Let a partition be made again like any other; return the correction it held."""
        entry = self.ledger.read(identity)
        if entry is None or entry.correction is None:
            return None
        self.ledger.write(identity, entry.model_copy(update={"correction": None}))
        return entry.correction

    def _preview_first(self) -> Any:
        ids = self.list_ids()
        if not ids:
            raise DatasetError(f"{self.name}: nothing to preview yet, no partition was saved")
        return self.one(ids[0]).preview()  # type: ignore[attr-defined]

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "grain": "/".join(self.grain)}
