"""Partitions of one dataset type, opened by id and saved whole."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset

from cyto_kedro.datasets.atomic import FileDataset, copy_whole, rename_whole
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import PartitionError
from cyto_kedro.journals import looked_at_once
from cyto_kedro.ledger import Correction, Entry, Ledger, hash_file, move_aside, split_home
from cyto_kedro.partitions import Partitions, Plan, parse_grain, parse_id

log = logging.getLogger(__name__)
#: Data folder -> its plan, if there is one: said by `CheckHooks`, for what a person asks at a prompt.
PLANS: dict[str, Callable[[], Plan | None]] = {}


class PartitionedDataset(KedroPartitionedDataset):
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
        self._correcting: Correction | None = None
        self._aside = False
        self.optional = optional
        self._over = preview_over
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
        return find_place(self._path, **self._credentials, **self._fs_args)[0]

    @cached_property
    def _folder(self) -> str:
        return str(self._filesystem._strip_protocol(self._normalized_path)).rstrip("/")

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of this folder."""
        return Ledger(self._filesystem, self._folder)

    def path_of(self, identity: str) -> str:
        """Where partition `identity` lies (without protocol)."""
        if ".." in identity or "\\" in identity:  # Kedro refuses what leaves the folder
            return str(self._partition_to_path(identity))
        return f"{self._folder}/{identity.lstrip('/')}{self._filename_suffix}"

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

    def load_columns(self, identity: str, names: Collection[str]) -> Any:
        """A partition, a table, as `load_one`; columns of other names may be left out."""
        one: Any = self._planned(identity)
        return (
            one.columns(names) if hasattr(one, "columns") else None if one is None else one.load()
        )

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
            self._at(path).save(value)
            if aside is not None:
                if found == hash_file(self._filesystem, path):  # a killed run's, without its entry
                    self._filesystem.rm_file(aside)
                else:
                    self._tell_aside(path, aside)
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

    @contextlib.contextmanager
    def _written(self, path: str, value: Any) -> Iterator[str]:
        """`value` in a file of a folder beside `path`, on disk, to be put there; else removed."""
        folder, filename = path.rsplit("/", 1)
        part = f"{folder}/.part-{uuid.uuid4().hex}"
        self._filesystem.makedirs(part, exist_ok=True)
        try:
            one = self._at(f"{part}/{filename}")
            one.save(value)
            if not isinstance(one, FileDataset):  # ours do so themselves
                with Path(part, filename).open("rb+") as file:
                    os.fsync(file.fileno())
            yield f"{part}/{filename}"
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _set_aside(self, identity: str) -> None:
        path = self.path_of(identity)
        self._tell_aside(path, move_aside(self._filesystem, path, self._home[0], replaced=True))

    def _tell_aside(self, path: str, aside: str) -> None:
        told = log.info if self._aside else log.warning
        told(
            "%s: %s was not made by a run that the ledger knows, so it may be somebody's work (or "
            "results copied without their .ledger folders): moved to %s. If it is a correction, put it "
            "in place with `kedro cyto correct`; delete %s/aside when you do not need it",
            *(self.name, path, aside, self._home[0]),
        )
        self._aside = True

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

    @cached_property
    def _home(self) -> tuple[str, str]:
        return split_home(self._folder)

    @cached_property
    def corrections(self) -> Ledger:
        """The entries of the corrections of this folder, beside the copies that they describe."""
        home, place = self._home
        return Ledger(self._filesystem, home, f"corrections/{place}")

    def copy_of(self, identity: str) -> str:
        """Where the copy of a correction lies."""
        home, place = self._home
        return f"{home}/corrections/{place}{self.path_of(identity).removeprefix(self._folder)}"

    def held(self, identity: str) -> Entry | None:
        """The entry of the correction of a partition, whether it is in place or not; else None."""
        entry = self.corrections.read(identity)
        if entry is None:  # one of before there were copies
            entry = self.ledger.read(identity)
            if entry is None or entry.correction is None:
                return None
            return entry if self._filesystem.exists(self.path_of(identity)) else None
        return entry

    def correction(self, identity: str) -> Correction | None:
        """Who corrected a partition, and why; None where nobody did."""
        held = self.held(identity)
        return None if held is None else held.correction

    @contextlib.contextmanager
    def correcting(self, correction: Correction) -> Iterator[None]:
        """What is saved within is a person's: it is copied to where no node writes, and put in place."""
        self._correcting = correction
        try:
            yield
        finally:
            self._correcting = None

    def _correct(self, identity: str, value: Any, correction: Correction) -> None:
        fs, path, copy = self._filesystem, self.path_of(identity), self.copy_of(identity)
        if fs.exists(copy):
            move_aside(fs, copy, self._home[0])
        if self.ledger.stranger(identity, path) is not None and self.held(identity) is None:
            self._set_aside(identity)
        fs.makedirs(copy.rsplit("/", 1)[0], exist_ok=True)
        if isinstance(fs, LocalFileSystem):
            with self._written(copy, value) as part:
                rename_whole(part, copy)
        else:
            self._at(copy).save(value)
        self.corrections.record(identity, copy, {}, correction=correction, saved_at=correction.when)
        self.restore(identity)

    @looked_at_once()
    def restore(self, identity: str) -> None:
        """Put the correction of a partition in its place, if one is held and it is not there.

        A file in its place that is neither the correction nor a node's is moved aside.
        """
        held, fs, path = self.held(identity), self._filesystem, self.path_of(identity)
        if held is None or held.correction is None:
            return
        copy, there = self.copy_of(identity), self.ledger.content(identity, self.path_of(identity))
        if not fs.exists(copy):
            if there != held.content:
                log.warning(
                    "%s: %s was changed after %s corrected it, and there is no copy of the "
                    "correction: it is left as it is; put it in place with `kedro cyto correct`",
                    *(self.name, path, held.correction.who),
                )
                return
            copy_whole(fs, path, copy)
            self.corrections.record(
                identity, copy, {}, correction=held.correction, saved_at=held.saved_at
            )
        elif there != held.content:
            if self.ledger.stranger(identity, path) is not None:
                self._set_aside(identity)
            copy_whole(fs, copy, path)
            log.info(
                "%s %s: the correction by %s is in place", self.name, identity, held.correction.who
            )
        entry = self.ledger.read(identity)
        if there != held.content or entry is None or entry.correction != held.correction:
            self.ledger.record(
                identity, path, {}, correction=held.correction, saved_at=held.saved_at
            )

    def drop_correction(self, identity: str) -> Correction | None:
        """Let a partition be made again like any other; return the correction it held.

        The copy of the correction is moved aside.
        """
        held = self.held(identity)
        if held is None or held.correction is None:
            return None
        entry = self.ledger.read(identity)
        if entry is not None:
            self.ledger.write(identity, entry.model_copy(update={"correction": None}))
        self.corrections.remove(identity)
        if self._filesystem.exists(copy := self.copy_of(identity)):
            move_aside(self._filesystem, copy, self._home[0])
        if self.optional and self._filesystem.exists(path := self.path_of(identity)):
            move_aside(self._filesystem, path, self._home[0])  # no node would make it again
        return held.correction

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
