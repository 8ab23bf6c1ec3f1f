"""Engines that were learnt here: a file of weights for each, and one list of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.datasets.atomic import FileDataset, write_bytes
from cyto_kedro.errors import InputError
from cyto_kedro.kedro_private import JSONPreview

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedEngine:
    """An engine's weights, and where they come from."""

    weights: bytes = field(repr=False)
    #: name of the engine, and ending of its file
    engine: str
    suffix: str
    #: data, settings, figures
    card: dict[str, Any]
    #: of the engine, beside `model`
    args: dict[str, Any] = field(default_factory=dict)
    #: whose parameters name it: segmentation (an engine), or tabulation (a step on the table of cells)
    stage: str = "segmentation"

    def line(self, population: str, path: str) -> str:
        """YAML that uses it, below its stage."""
        args = {"model": path, **self.args}
        if self.stage == "tabulation":
            args["populations"] = f"[{population}]"
        named = ", ".join(f"{key}: {value}" for key, value in args.items())
        written = f"{{name: {self.engine}, args: {{{named}}}}}"
        return f"{population}: {written}" if self.stage == "segmentation" else f"steps: [{written}]"

    @property
    def version(self) -> str:
        """What tells these weights from any other: the first letters of their hash."""
        return hashlib.sha256(self.weights).hexdigest()[:10]


class TrainedEngines(FileDataset[Mapping[str, TrainedEngine], dict[str, TrainedEngine]]):
    """The newest engine of each population, as a JSON list with their cards.

    Weights lie beside it, ``<population>-<version><suffix>``, and stay when there are newer ones: the
    labels of an engine can always be made again. A new version has a new name, so that labels are
    stale where the configuration names it, and nowhere else.
    """

    def save(self, data: Mapping[str, TrainedEngine]) -> None:
        """Write weights, each with its card, then the list."""
        listed = {}
        for population, engine in data.items():
            name = f"{population}-{engine.version}{engine.suffix}"
            write_bytes(self._fs, self.weights_path(name), engine.weights)
            facts = {k: v for k, v in asdict(engine).items() if k != "weights"}
            listed[population] = {"file": name, "version": engine.version, **facts}
            card = json.dumps(listed[population], indent=2).encode()
            write_bytes(self._fs, self.weights_path(f"{name}.json"), card)
            log.info(
                "%s was learnt; in parameters_%s.yml:\n  %s",
                *(name, engine.stage, engine.line(population, self.weights_path(name))),
            )
        self._write_bytes(json.dumps(listed, indent=2).encode() + b"\n")

    def load(self) -> dict[str, TrainedEngine]:
        """The newest engines.

        Raises InputError if weights are not there, or are others than the list says.
        """
        with self._read() as file:
            listed = json.loads(file.read())
        found = {}
        for population, each in listed.items():
            path = self.weights_path(each["file"])
            if not self._fs.isfile(path):
                raise InputError(f"{path} is not there; {_again(each['stage'])}")
            engine = TrainedEngine(
                self._fs.cat_file(path),
                *(each[key] for key in ("engine", "suffix", "card", "args", "stage")),
            )
            if engine.version != each["version"]:
                raise InputError(f"{path} was changed; {_again(each['stage'])}")
            found[population] = engine
        return found

    def weights_path(self, name: str) -> str:
        """Where the weights of that name lie."""
        path = f"{self._filepath.parent}/{name}"
        here = f"{Path.cwd()}/"
        return path.removeprefix(here) if isinstance(self._fs, LocalFileSystem) else path

    def preview(self) -> JSONPreview:
        """The list."""
        with self._read() as file:
            return JSONPreview(file.read().decode())


def _again(stage: str) -> str:
    """The command that learns anew what `stage` uses."""
    return f"kedro run --pipelines {'training' if stage == 'segmentation' else 'cell_classes'}"
