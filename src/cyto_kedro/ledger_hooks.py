"""The ledger of everything that is saved, and the manifest of every run, under every runner."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.console import write_traceback
from cyto_kedro.currency import Place, group_of, input_digests, place_of, record
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import ConfigError, PartitionError
from cyto_kedro.journals import end_all
from cyto_kedro.ledger import as_json, move_aside, split_home
from cyto_kedro.lift import by_field, is_lifted, spec_of
from cyto_kedro.partitions import Partitions
from cyto_kedro.process import whoami
from cyto_kedro.runner import history
from cyto_kedro.runner.graph import output_places
from cyto_kedro.runner.holding import sign_of_life
from cyto_kedro.runner.records import write_json

log = logging.getLogger(__name__)

_SAID = re.compile(r"^(Name|Version): *(.*?) *$", re.MULTILINE)


class RunInfo(dict[str, Any]):
    """What the report cites of a run."""

    def fingerprint(self) -> dict[str, Any]:
        """What the ledger hashes: what would be another page, had it been another."""
        return {name: self.get(name) for name in ("env", "parameters", "git", "python", "packages")}


def run_info(context: KedroContext, env: str | None) -> RunInfo:
    """What a run begun now would cite, but for what is that run's alone."""
    return RunInfo(
        env=env,
        parameters=as_json(_ordered(context.config_loader["parameters"])),
        git=_git(Path(context.project_path)),
        python=sys.version,
        packages=_packages(tuple(sys.path)),
    )


class LedgerHooks:
    """Write a ledger entry for everything that is saved, and the run's manifest.

    ``runs/<run_id>/manifest.json`` says what ran with what: command, environment, parameters, git
    state, package versions, and each partition with its time. ``partitions.jsonl`` beside it grows as
    partitions are saved, so that a killed run leaves its record too.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what the run's manifest cites."""
        self._context = context
        self._root = Path(context.project_path)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        """Start the run's manifest."""
        self._catalog = catalog
        self._inputs: dict[str, Mapping[str, Any]] = {}
        self._hashed: dict[str, dict[tuple[str, ...], str]] = {}
        self._clock: dict[str, float] = {}
        self._aside: dict[str, tuple[Place | None, str | None, str]] = {}
        self._run_id = str(run_params["run_id"])
        self._folder = self._root / "runs" / self._run_id
        self._unwritten = False
        self._partitions = self._folder / "partitions.jsonl"
        self._where: dict[str, Any] = {}
        self._manifest = {
            "run_id": self._run_id,
            "state": "running",
            **whoami(),
            "lease": sign_of_life(output_places(pipeline, catalog), self._root / "runs"),
            "started": datetime.now(UTC).isoformat(),
            "command": sys.argv,
            "runner": str(run_params.get("runner")),
            "run_params": {
                key: as_json(value) for key, value in run_params.items() if value is not None
            },
            "nodes": [node.name for node in pipeline.nodes],
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            **run_info(self._context, run_params.get("env")),
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise ConfigError(
                f"{self._folder} cannot be written ({error}): a run keeps there what it ran with, and "
                "what it saved. Make the folder writable, or make room, and start again"
            ) from error
        self._cite(self._manifest)

    def join_run(
        self, run_id: str, catalog: Any, partitions: Path, where: Mapping[str, Any]
    ) -> None:
        """Work for a run that another process drives, noting what is saved in a file of its own.

        `partitions`: the file to note saved partitions in; the driver adds it to the run's
        manifest. `where`: host, job and attempt, noted with each partition.
        """
        self._catalog, self._inputs, self._hashed, self._clock = catalog, {}, {}, {}
        self._aside = {}
        self._run_id, self._unwritten = run_id, False
        self._partitions, self._where = partitions, dict(where)
        manifest = self._root / "runs" / run_id / "manifest.json"
        try:
            cited = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            cited = {"run_id": run_id}
        self._cite(cited)

    def _cite(self, run: Mapping[str, Any]) -> None:
        """Hand the report what it says of the run."""
        cited = RunInfo(run, manifest=f"runs/{self._run_id}/manifest.json")
        self._catalog["run_info"] = MemoryDataset(cited)

    @hook_impl
    def before_node_run(self, node: Node, catalog: Any, inputs: dict[str, Any]) -> None:
        """Keep the node's inputs: the entries of its partitions hash them."""
        if not hasattr(self, "_inputs"):  # a node run by itself, without a pipeline around it
            return
        self._inputs[node.name] = {name: by_field(value) for name, value in inputs.items()}
        self._hashed[node.name] = {}
        self._clock[node.name] = time.monotonic()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Move a file aside that no run made, maybe somebody's work (partitions do so themselves)."""
        if node.name not in getattr(self, "_inputs", {}):
            return
        dataset = self._catalog.get(dataset_name)
        place = None if isinstance(dataset, PartitionedDataset) else place_of(dataset)
        if place is not None and place.fs.isfile(place.path) and place.is_stranger():
            content = place.content()
            aside = move_aside(place.fs, place.path, split_home(place.path)[0])
            log.info("%s: %s is at %s until it is made again", dataset_name, place.path, aside)
            self._aside[dataset_name] = (place, content, aside)

    def _look_aside(self, dataset_name: str) -> None:
        """Say what was moved aside, unless what was made now is equal: then it is not kept twice."""
        place, content, aside = self._aside.pop(dataset_name, (None, None, ""))
        if place is None:
            return
        if place.content() == content:
            place.fs.rm_file(aside)
            return
        log.warning(
            "%s: %s was not made by a run that the ledger knows, so it may be somebody's work: moved to "
            "%s",
            *(dataset_name, place.path, aside),
        )

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Write the ledger entries of what was just saved, as made from what was read."""
        inputs = getattr(self, "_inputs", {}).get(node.name)
        if inputs is None:
            return
        for name, value in inputs.items() if dataset_name == node.outputs[-1] else ():
            if isinstance(value, Partitions) and (late := value.changed()):
                log.warning(
                    "%s: %s %s changed while %s was made from it: what is saved counts as stale, and "
                    "the next run makes it again",
                    *(node.name, name, ", ".join(late[:3]), dataset_name),
                )
        now = time.monotonic()
        seconds = now - self._clock[node.name]
        self._clock[node.name] = now  # a group's first output carries its time, others their saving
        dataset = self._catalog.get(dataset_name)
        self._look_aside(dataset_name)
        identities = list(data) if isinstance(dataset, PartitionedDataset) else [None]
        for identity in identities:
            group: dict[str, str] = {}
            if is_lifted(node.func) and identity is not None:
                group = group_of(spec_of(node.func), node.outputs.index(dataset_name), identity)
            try:
                digests = input_digests(node.func, inputs, group, self._hashed[node.name])
            except PartitionError:
                digests = {}  # never current: its inputs have no content that can be hashed
            saved = datetime.now(UTC)
            entry = record(
                dataset,
                identity,
                digests,
                run_id=self._run_id,
                saved_at=saved,
                seconds=round(seconds, 4),
            )
            if entry is not None:
                self._append(
                    {
                        "dataset": dataset_name,
                        "partition": identity,
                        "node": node.name,
                        "seconds": entry.seconds,
                        "saved_at": saved.isoformat(),
                        "content": entry.content,
                        **self._where,
                    }
                )

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Finish the run's manifest."""
        self._finish("done")

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Finish the run's manifest with the error."""
        try:
            write_traceback(self._folder, error)
        except OSError as full:
            self._lament(full)
        self._finish("failed", f"{type(error).__name__}: {error}")

    def _append(self, item: dict[str, Any]) -> None:
        try:
            with self._partitions.open("a", encoding="utf-8") as file:
                file.write(json.dumps(item) + "\n")
        except OSError as error:  # the partition is saved, and so is its ledger entry
            self._lament(error)

    def _lament(self, error: OSError) -> None:
        """Say once that the record of the run has gaps; the run itself goes on."""
        if not self._unwritten:
            log.error(
                "%s cannot be written (%s): the run goes on, but its manifest will lack what was saved "
                "from here on",
                *(self._partitions.parent, error),
            )
        self._unwritten = True

    def _finish(self, state: str, error: str | None = None) -> None:
        finished = {"state": state, "finished": datetime.now(UTC).isoformat()}
        self._manifest |= finished | history.collect(self._folder)
        end_all()
        if error is not None:
            self._manifest["error"] = error
        try:
            self._write()
        except OSError as full:
            self._lament(full)
            return
        log.info("Run %s: %s", state, self._folder / "manifest.json")

    def _write(self) -> None:
        write_json(
            self._folder / "manifest.json", json.dumps(self._manifest, indent=1, default=str)
        )


def _ordered(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks in the order of the analysis: Kedro reads their files in no order of its own."""
    from cyto_kedro.parameters import MODELS

    order = {name: place for place, name in enumerate(MODELS)}
    return dict(sorted(parameters.items(), key=lambda each: (order.get(each[0], 99), each[0])))


@cache
def _packages(path: tuple[str, ...]) -> dict[str, str]:
    """Name -> version of all installed on `path` (``sys.path``): hundreds of files, read once."""
    found = []
    for each in distributions():  # its own parser of these files takes four times as long
        text = each.read_text("METADATA") or each.read_text("PKG-INFO") or ""
        said = dict(_SAID.findall(text.partition("\n\n")[0]))
        found.append((said.get("Name", ""), said.get("Version", "")))
    return dict(sorted(found))


def _git(root: Path) -> dict[str, Any]:
    """The commit that ran, and whether files differed from it."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain")) if commit else None}
