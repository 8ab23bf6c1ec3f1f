"""A folder of partitions with a ledger, whose partitions a person may correct."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import AbstractDataset
from kedro_datasets.partitions import PartitionedDataset as KedroPartitionedDataset

from cyto_kedro.datasets.atomic import FileDataset, copy_whole, rename_whole
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.journals import looked_at_once
from cyto_kedro.ledger import Correction, Entry, Ledger, move_aside, split_home

log = logging.getLogger(__name__)


class CorrectedPartitions(KedroPartitionedDataset):
    """Kedro's partitioned dataset with a ledger, and with corrections, which no run overwrites.

    A correction has a copy of its own, where no node writes, and is put in place of what a node made.
    """

    optional: bool = False
    _correcting: Correction | None = None
    _aside: bool = False

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
