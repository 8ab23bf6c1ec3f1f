"""``kedro cyto watch``: films that the microscope is still writing, each analysed once it is complete.

A field is complete when none of its files has changed in size or time for a while, ingestion accepts it
(every channel there, no gap in its frames, no file cut short), and it has as many frames as were asked
for. Changes are seen by looking, not by comparing times with this machine's clock, which may differ
from the file server's. What a run makes of a field is kept by the ledger: a later run, with more fields,
does not make it again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession
from kedro.pipeline.node import Node

from cyto_kedro.datasets.containers import films_in
from cyto_kedro.datasets.ome_zarr import is_zarr
from cyto_kedro.datasets.patterns import Pattern, RawFile, find
from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.datasets.urls import find_place
from cyto_kedro.errors import CytoError, InputError
from cyto_kedro.kedro_private import add_hook
from cyto_kedro.ledger import stat

if TYPE_CHECKING:
    from cyto_kedro.parameters import Assay

log = logging.getLogger(__name__)

Stamps = frozenset[tuple[str, int, str]]


@dataclass(frozen=True)
class Seen:
    """The fields of the sample sheet: complete, and why the others are waited for."""

    complete: frozenset[str]
    waiting: Mapping[str, str]


@dataclass
class Watched:
    """A raw folder, looked at again and again.

    `n_frames`: of a whole film; None where it is not known. `settle_s`: for so long a film's files have
    not changed when it is complete.
    """

    folder: RawFolder
    assay: Assay
    settle_s: float
    n_frames: int | None = None
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, tuple[Stamps, float]] = field(default_factory=dict)
    _judged: dict[str, tuple[Stamps, str]] = field(default_factory=dict)

    def look(self, sheet: pd.DataFrame) -> Seen:
        """What is complete of the fields of `sheet`, the sample sheet as it is loaded."""
        rows = _rows(sheet)
        there, now = self._stamps(), self.clock()
        complete: set[str] = set()
        waiting: dict[str, str] = {}
        for fov in map(str, rows.loc[~rows["exclude"].to_numpy(bool), "fov"]):
            if fov not in there:
                waiting[fov] = "no film yet"
                continue
            stamps, since = self._since.get(fov, (None, now))
            if stamps != there[fov]:
                self._since[fov], since = (there[fov], now), now
            if now - since < self.settle_s:
                waiting[fov] = "still being written"
            elif said := self._problem(fov, there, sheet):
                waiting[fov] = said
            else:
                complete.add(fov)
        return Seen(frozenset(complete), waiting)

    def only(self, fields: Iterable[str], sheet: pd.DataFrame) -> dict[str, Any]:
        """Inputs of ingestion that know of `fields` alone."""
        return narrowed(self.folder, sheet, frozenset(fields), self._stamps())

    def _stamps(self) -> dict[str, Stamps]:
        fs, root = find_place(self.folder.folder, **self.folder.storage_options)
        names = [self.assay.raw.names.get(each, each) for each in self.assay.channels]
        try:
            files, _ = find(
                fs, root, Pattern(self.assay.raw.pattern, names), self.assay.raw.exclude
            )
        except InputError:
            if not fs.isdir(root):
                raise
            return {}  # nothing that fits the pattern yet
        found: dict[str, set[tuple[str, int, str]]] = {}
        options = self.folder.storage_options
        films, _ = films_in(self.folder.folder, files, self.assay.raw.exclude, options)
        for file in films:  # a scene is complete when its file is
            found.setdefault(file.fov, set()).update(_parts(fs, root, file))
        return {fov: frozenset(each) for fov, each in found.items()}

    def _problem(self, fov: str, there: Mapping[str, Stamps], sheet: pd.DataFrame) -> str:
        """Why ingestion would not take a field as it is now; empty if it would."""
        if fov not in self._judged or self._judged[fov][0] != there[fov]:
            self._judged[fov] = there[fov], self._judge(fov, there, sheet)
        return self._judged[fov][1]

    def _judge(self, fov: str, there: Mapping[str, Stamps], sheet: pd.DataFrame) -> str:
        from cyto_kedro.pipelines.ingestion.nodes import plan_assay

        inputs = narrowed(self.folder, sheet, frozenset({fov}), there)
        try:
            manifest, _, _ = plan_assay(**inputs, assay=self.assay)
        except CytoError as error:
            return str(error)
        length = next(each.n_frames for each in manifest.raw if each.fov == fov)
        if self.n_frames is not None and length < self.n_frames:
            return f"has {length} of {self.n_frames} frames"
        return ""


def narrowed(
    folder: RawFolder, sheet: pd.DataFrame, fields: frozenset[str], found: Iterable[str]
) -> dict[str, Any]:
    """``raw_folder`` and ``sample_sheet`` for ingestion, without what is not in `fields`.

    `found`: every field of which there are files.
    """
    rows = _rows(sheet)
    kept = rows["fov"].isin(fields).to_numpy(bool)
    return {
        "raw_folder": _Narrowed(folder, frozenset(found) - fields),
        "sample_sheet": sheet[kept].reset_index(drop=True),
    }


class _Narrowed(RawFolder):
    """A raw folder without some of its fields."""

    def __init__(self, folder: RawFolder, without: frozenset[str]) -> None:
        super().__init__(folder.folder, folder.storage_options)
        self._without = without

    def scan(self, pattern: str, channels: Any = None, **how: Any) -> list[Any]:
        skipped = {*how.pop("skip_fovs", ()), *self._without}
        return super().scan(pattern, channels, skip_fovs=skipped, **how)


class OnlyFields:
    """Lets a run's ingestion see the complete fields alone."""

    def __init__(self, watched: Watched, fields: frozenset[str]) -> None:
        self._watched, self._fields = watched, fields

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> dict[str, Any] | None:
        """Replace the folder and the sheet of `plan_assay`."""
        if node.name.rpartition(".")[2] != "plan_assay":
            return None
        return self._watched.only(self._fields, inputs["sample_sheet"])


def follow(
    look: Callable[[], Seen],
    run: Callable[[frozenset[str]], None],
    every_s: float,
    patience_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Seen:
    """Look, and run what is complete whenever that is more, till it is all; what was seen last.

    `patience_s`: give up when nothing new became complete for so long.
    """
    done: frozenset[str] = frozenset()
    told: dict[str, str] = {}
    last = clock()
    while True:
        seen = look()
        for fov, why in seen.waiting.items():
            if told.get(fov) != why:
                log.info("%s: %s", fov, why)
        told = dict(seen.waiting)
        if seen.complete - done:
            log.info("complete: %s", ", ".join(sorted(seen.complete - done)))
            run(seen.complete)
            done, last = seen.complete, clock()
        else:
            done &= seen.complete  # a film that grew again is run again
            if not seen.waiting or (patience_s is not None and clock() - last > patience_s):
                return seen
            sleep(every_s)


@click.option(
    "--settle",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="minutes for which a film's files must not have changed",
)
@click.option("--frames", type=click.IntRange(1), help="frames of a whole film, if you know")
@click.option(
    "--every",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="minutes between looks",
)
@click.option("--give-up", type=float, help="stop when nothing became complete for these minutes")
@click.option("--pipelines", help="run these (a,b,c) instead of the whole analysis")
@click.pass_obj
def watch(
    project: Any,
    settle: float,
    frames: int | None,
    every: float,
    give_up: float | None,
    pipelines: str | None,
) -> None:
    """Analyse the films of a folder that the microscope still writes into, each once it is complete.

    Ends when every field of the sample sheet is done. Ctrl-C stops it; given again, it goes on.
    """
    from cyto_kedro.parameters import Assay

    catalog = project.catalog
    assay = Assay.model_validate(catalog.load("params:assay"))
    watched = Watched(catalog.load("raw_folder"), assay, 60 * settle, frames)
    failed: list[str] = []

    def run(fields: frozenset[str]) -> None:
        failed.clear()
        try:
            run_fields(project, watched, fields, pipelines.split(",") if pipelines else [])
        except Exception as error:  # noqa: BLE001 - one night's films do not wait for one that fails
            log.error("%s", error)
            failed.append(str(error))

    seen = follow(
        lambda: watched.look(catalog.load("sample_sheet")),
        run,
        60 * every,
        None if give_up is None else 60 * give_up,
    )
    for fov, why in seen.waiting.items():
        click.echo(f"{fov}: not analysed: {why}")
    if failed:
        raise click.ClickException(f"the last run failed: {failed[0]}")
    click.secho(f"{len(seen.complete)} fields are done", fg="green")


def run_fields(
    project: Any, watched: Watched, fields: frozenset[str], pipelines: list[str]
) -> None:
    """Run what is not current of the assay as if it had `fields` alone."""
    from cyto_kedro.run_command import with_needed
    from cyto_kedro.runner import PartitionRunner

    session: Any = KedroSession.create(
        project.path,
        env=project.env,
        conf_source=project.conf_source,
        runtime_params=project.params,
    )
    add_hook(session, OnlyFields(watched, fields))
    chosen = with_needed(pipelines) if pipelines else {"pipelines": None, "to_nodes": None}
    session.run(
        pipeline_names=chosen["pipelines"],
        to_nodes=chosen["to_nodes"] or None,
        runner=PartitionRunner(),
        only_missing_outputs=True,
    )


def _rows(sheet: pd.DataFrame) -> pd.DataFrame:
    from cyto_kedro.pipelines.ingestion.sheet import read_sheet

    return read_sheet(sheet)


def _parts(fs: Any, root: str, file: RawFile) -> set[tuple[str, int, str]]:
    """Name, size and stamp of a file, or of all files of an OME-Zarr."""
    path = f"{root}/{file.path}"
    names = fs.find(path) if is_zarr(path) else [path]
    found = set()
    for name in names:
        try:
            found.add((name, *stat(fs, name)))
        except FileNotFoundError:  # renamed since it was listed
            found.add((name, -1, ""))
    return found
