"""``kedro cyto``: put a correction in place, see what is current, what a run did."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import ProjectMetadata
from kedro.io import MemoryDataset

from cyto_kedro.console import PlainCommand, plain_errors
from cyto_kedro.corrections import keep, put_in_place, writing
from cyto_kedro.currency import EVERY_RUN, stale_groups
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.export.command import export
from cyto_kedro.export.methods import methods
from cyto_kedro.importing.command import import_, read_session, trackmate
from cyto_kedro.kedro_private import BOXES, open_at_boxes
from cyto_kedro.new_assay.command import new
from cyto_kedro.new_assay.pycyto import from_pycyto
from cyto_kedro.run_command import run
from cyto_kedro.runner import history
from cyto_kedro.runner.report import usage
from cyto_kedro.viewing.command import review, view
from cyto_kedro.watch import watch

log = logging.getLogger(__name__)
plain_errors()  # Kedro imports this where a person types commands
if sys.argv[1:3] == ["viz", "run"]:
    open_at_boxes()
    click.secho(
        f"Boxes alone, which can be read: put {BOXES} behind the address below.", fg="green"
    )
# what Kedro looks for here (`run` where the package is installed), and the door of corrections
__all__ = ["cli", "keep", "put_in_place", "read_session", "run"]


@click.group(name="cyto_kedro")
def cli() -> None:
    """The project's own commands."""


cli.add_command(run)


@cli.group()
def cyto() -> None:
    """Corrections by hand, what is current, and what a run did."""


cyto.add_command(new)
cyto.add_command(from_pycyto)


@dataclass(frozen=True)
class Opened:
    """The project that a command is given in, from any of its folders, as `kedro run` would open it."""

    path: Path
    env: str | None = None
    conf_source: str | None = None
    params: dict[str, Any] | None = None

    @property
    def context(self) -> Any:
        """Its context."""
        session: Any = KedroSession.create(
            self.path, env=self.env, conf_source=self.conf_source, runtime_params=self.params
        )
        return session.load_context()

    @property
    def catalog(self) -> Any:
        """Its catalog."""
        return self.context.catalog


class ProjectCommand(PlainCommand):
    """A command with `kedro run`'s own ``--env``, ``--conf-source`` and ``--params``.

    What is refused on purpose is said in a sentence.
    """

    options = ("env", "conf_source", "params")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [each for each in run.params if each.name in self.options]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command on the opened project."""
        given = {name: ctx.params.pop(name) for name in self.options}
        ctx.obj = Opened(Path(ctx.obj.project_path), **given)
        return super().invoke(ctx)


for each in (export, view, review, methods, trackmate, watch):
    cyto.command(cls=ProjectCommand)(each)
cyto.command(name="import", cls=ProjectCommand)(import_)


@cyto.command(cls=ProjectCommand)
@click.argument("dataset")
@click.argument("partition")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--who", required=True, help="who corrected it")
@click.option("--why", required=True, help="what was wrong")
@click.pass_obj
def correct(project: Opened, dataset: str, partition: str, file: Path, who: str, why: str) -> None:
    """Put FILE in place of PARTITION of DATASET, and record who did it and why.

    A mask saved from napari or Fiji for `labels`, a table with joined tracks for `track_points`.
    What depends on it is redone by the next ``kedro run``, and nothing else.
    """
    catalog = project.catalog
    if dataset not in catalog:
        raise InputError(unknown("dataset", dataset, catalog.keys()))
    with writing(catalog, dataset):
        put_in_place(catalog, dataset, partition, file, who, why)
    click.secho(f"{dataset} {partition} is now {file}", fg="green")
    click.echo(
        "Redo what depends on it: kedro run" + (f" --env {project.env}" if project.env else "")
    )


@cyto.command(cls=ProjectCommand)
@click.argument("dataset")
@click.argument("partition")
@click.pass_obj
def uncorrect(project: Opened, dataset: str, partition: str) -> None:
    """Drop the correction of PARTITION: the next resuming run makes it again."""
    catalog = project.catalog
    if dataset not in catalog:
        raise InputError(unknown("dataset", dataset, catalog.keys()))
    held = catalog.get(dataset)
    with writing(catalog, dataset):
        was = held.drop_correction(partition) if isinstance(held, PartitionedDataset) else None
    if was is None:
        raise click.ClickException(f"{dataset} {partition} holds no correction")
    click.echo(f"{dataset} {partition}: the correction of {was.who} is dropped")


@cyto.command(cls=ProjectCommand)
@click.option("--pipeline", "-p", default="__default__")
@click.pass_obj
def status(project: Opened, pipeline: str) -> None:
    """List what of PIPELINE is current, what a resuming run would redo and why."""
    from kedro.framework.project import pipelines

    from cyto_kedro.ledger_hooks import run_info

    context = project.context
    catalog = context.catalog
    catalog["run_info"] = MemoryDataset(run_info(context, project.env))
    try:
        nodes = pipelines[pipeline].nodes
    except KeyError as error:
        raise ConfigError(unknown("pipeline", pipeline, pipelines.keys())) from error
    remade: dict[str, str] = {}  # dataset -> the step for which it will be made anew
    for node in nodes:
        first = next((remade[name] for name in node.inputs if name in remade), None)
        try:
            inputs = {name: catalog.load(name) for name in node.inputs}
            stale = stale_groups(node, inputs, catalog)
        except Exception as error:  # noqa: BLE001 - an input that is not there yet
            click.echo(f"{node.name:26} to run ({error})".splitlines()[0])
            remade |= dict.fromkeys(node.outputs, node.name)
            continue
        if stale and stale[0].reason == EVERY_RUN:
            click.echo(f"{node.name:26} {EVERY_RUN}")
        elif stale:
            click.echo(f"{node.name:26} {len(stale)} to run: {stale[0].reason}")
            remade |= dict.fromkeys(node.outputs, node.name)
        elif first is not None:
            click.echo(f"{node.name:26} current, unless {first} gives something else")
            remade |= dict.fromkeys(node.outputs, first)
        else:
            click.echo(f"{node.name:26} current")


@cyto.command()
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), default=None)
@click.pass_obj
def schema(metadata: ProjectMetadata, output: Path | None) -> None:
    """Write a JSON schema of all parameters, for editors; by default conf/parameters.schema.json.

    With ``# yaml-language-server: $schema=../parameters.schema.json`` as its first line a YAML file of
    an environment is completed and checked as it is typed.
    """
    from cyto_kedro.parameters.schema import json_schema

    path = output or Path(metadata.project_path) / "conf" / "parameters.schema.json"
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    click.secho(f"{path} written", fg="green")


@cyto.command(name="runs", cls=ProjectCommand)
@click.argument("run_id", required=False)
@click.pass_obj
def show_runs(project: Opened, run_id: str | None) -> None:
    """List the runs, or show one: what ran, what it made, how long it took."""
    folder = project.path / "runs"
    if run_id is None:
        for path in sorted(folder.glob("*/manifest.json")):
            run = history.read(path.parent)
            n = len(run.get("partitions", []))
            click.echo(
                f"{run['run_id']}  {run['state']:8} {n:6} saved  {' '.join(run['command'][1:])}"
            )
        return
    run = history.find(folder, run_id)
    click.echo(f"{run['run_id']}: {run['state']}, {run['started']} to {run.get('finished', '…')}")
    if "error" in run:
        click.secho(run["error"], fg="red")
    by_node: dict[str, list[float]] = {}
    for item in run.get("partitions", []):
        by_node.setdefault(item["node"], []).append(item["seconds"] or 0.0)
    for node, seconds in by_node.items():
        click.echo(f"{node:26} {len(seconds):6} saved {sum(seconds):8.1f} s")
    if "tasks" in run:
        show_usage(run["tasks"])


@cyto.command(cls=ProjectCommand)
@click.option(
    "--keep", default=20, show_default=True, type=click.IntRange(0), help="newest runs kept"
)
@click.option("--yes", is_flag=True, help="remove them (else they are listed)")
@click.pass_obj
def prune(project: Opened, keep: int, yes: bool) -> None:
    """Remove what old runs left in runs/: manifests, logs, job scripts; results stay.

    The newest ones are kept, runs that still go on, and killed runs of the last 30 days whose jobs may
    be in a cluster's queue.
    """
    folder = project.path / "runs"
    old = history.old_runs(folder, keep)
    for path, size in old:
        click.echo(f"{path.name}  {size / 1e6:.1f} MB")
        if yes:
            shutil.rmtree(path)
    done = "removed" if yes else "would be removed (--yes removes them)"
    click.echo(f"{len(old)} runs, {sum(size for _, size in old) / 1e6:.1f} MB {done}")


def show_usage(tasks: list[dict[str, Any]]) -> None:
    """What each node's tasks used of what they asked for, and which of them failed."""
    click.echo(
        "\nnode                       tasks  again  failed  time used / asked   memory used / asked"
    )
    for row in usage(tasks):
        time = (
            f"{row['time_s']:.0f} / {row['asked_time_s']} s" if row["time_s"] is not None else "-"
        )
        mem = f"{row['peak_mb']:.0f} / {row['asked_mb']:.0f} M" if row["peak_mb"] else "-"
        click.echo(
            f"{row['node']:26} {row['tasks']:5} {row['again']:6} {row['failed']:7}  "
            f"{time:>18}  {mem:>20}  on {len(row['hosts'])} hosts, {row['cpu_h']:.3f} CPU h"
        )
    click.echo("(the largest task of each node; ask for a little more than what was used)")
    for task in tasks:
        for each in task["failed"]:
            where = "/".join(each["group"].values()) or "-"
            click.secho(f"{task['node']} {where}: {each.get('error')} ({task['log']})", fg="red")
