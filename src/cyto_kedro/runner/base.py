"""What the runners that know partitions share: checks before the run, the lease, the dry run."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import click
from kedro.io import MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner
from pluggy import PluginManager

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.backend import Backend, Submission
from cyto_kedro.runner.context import RunContext, context_of
from cyto_kedro.runner.driver import Driver
from cyto_kedro.runner.graph import find_stale, is_light, output_places, pipelines_of
from cyto_kedro.runner.holding import Hold, held_by
from cyto_kedro.runner.planning import plan_node, safe_name
from cyto_kedro.runner.records import TaskFolder
from cyto_kedro.runner.resources import Machine, ResourceFile, read_resources

log = logging.getLogger(__name__)

GIVEN = ("run_info",)  # memory datasets that every session makes itself, workers too


class BatchRunner(AbstractRunner):
    """Base of the runners that know partitions.

    Parameters
    ----------
    resources
        Name of a file in ``conf/resources``, without ``.yml``.
    dry_run
        Show the plan and run nothing.
    is_async
        Passed by Kedro; asynchronous loading cannot serve generator nodes and is refused.
    again
        Nodes that run whole even in a run of what is not current.
    """

    def __init__(
        self,
        resources: str | None = None,
        dry_run: bool = False,
        is_async: bool = False,
        again: Sequence[str] = (),
    ) -> None:
        if said := refused(type(self).__name__, is_async):
            raise ConfigError(said)
        super().__init__(is_async=False)
        self._name, self._dry = resources, dry_run
        self._again = frozenset(again)
        self._only_stale = False

    adopts = False  # takes over jobs that an earlier driver left running

    @abstractmethod
    def _backend(self, machine: Machine, context: RunContext) -> Backend:
        """Where batches run."""

    def run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run `pipeline`; with `only_missing_outputs`, only what is not current."""
        self._only_stale = only_missing_outputs
        return super().run(pipeline, catalog, hook_manager, run_id)

    def _get_executor(self, max_workers: int) -> Executor | None:
        return None

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        if self._name is None:
            file, backend, context = ResourceFile(), None, None
        else:
            context = context_of(hook_manager)
            file = read_resources(context.conf_source / "resources", self._name)
            check_names(file, pipeline)
            check_memory(pipeline, catalog, file)
            backend = self._backend(file.machine, context)
        if self._dry:
            self._show(pipeline, catalog, file, backend, context, str(run_id))
            return
        if backend is not None:
            homes = pipelines_of(pipeline)
            heavy = [node for node in pipeline.nodes if not is_light(node, file, homes)]
            backend.check([file.of(n.name, None, n.tags, homes.get(n.name, ())) for n in heavy])
        driver_args = (pipeline, catalog, hook_manager, str(run_id), context, file, backend)
        try:
            if (hold := held_by(hook_manager)) is not None:
                Driver(*driver_args, self._only_stale, hold, self._again).run()
                return
            runs = None if context is None else context.runs
            with Hold(output_places(pipeline, catalog), str(run_id), runs, self.adopts) as hold:
                Driver(*driver_args, self._only_stale, hold, self._again).run()
        finally:
            if backend is not None:
                backend.close()

    def _show(
        self,
        pipeline: Pipeline,
        catalog: Any,
        file: ResourceFile,
        backend: Backend | None,
        context: RunContext | None,
        run_id: str,
    ) -> None:
        """Print the plan: per node its groups, tasks, resources, and how they would be started."""
        homes = pipelines_of(pipeline) if context is not None else {}
        tasks, hours, files = 0, 0.0, 0
        for node in pipeline.nodes:
            if context is None or backend is None or is_light(node, file, homes):
                click.echo(f"{node.name}: in the driver")
                continue
            try:
                groups, why = find_stale(
                    node, catalog, self._only_stale and node.name not in self._again
                )
            except Exception as error:  # noqa: BLE001 - its inputs are not there yet
                text = str(error).splitlines()[0]
                click.echo(f"{node.name}: cannot be planned yet, its inputs are not there ({text})")
                continue
            names = homes.get(node.name, ())
            arrays = plan_node(
                node.name,
                [{}] if groups is None else groups,
                file,
                tags=node.tags,
                pipelines=names,
                slots=backend.slots,
            )
            if not arrays:
                click.echo(f"{node.name}: current")
            for number, array in enumerate(arrays, 1):
                tasks, hours = tasks + len(array.batches), hours + array.cpu_hours
                files += (array.n_groups + 1) * len(node.outputs) + 3 * len(array.batches) + 3
                asked = array.resources
                click.echo(
                    f"{node.name}: {array.n_groups} partitions in {len(array.batches)} tasks ({why}); "
                    f"each {asked.cpus_per_task} cores, {asked.mem}, {asked.time}"
                )
                name = safe_name(node.name)
                folder = TaskFolder(context.runs / run_id / "jobs" / name / f"{number:03d}")
                submission = Submission(array, folder, f"cyto:{run_id}:{name}:{number:03d}")
                click.echo("    " + backend.text(submission).rstrip().replace("\n", "\n    "))
        click.echo(
            f"In all: {tasks} tasks, about {files} files, at most {hours:.1f} CPU hours (if every task "
            "used all its time). Nothing was submitted."
        )


def refused(runner: str, is_async: bool) -> str | None:
    """Why nodes cannot run so, in a sentence; None where they can."""
    if is_async:
        return (
            "--async cannot be used here: the nodes are generators, which Kedro saves one partition "
            "at a time. Leave it out; --runner-params resources=local runs partitions side by side"
        )
    if runner.rsplit(".", 1)[-1].split(" ")[0] == "ParallelRunner":
        return (
            "ParallelRunner cannot run these nodes: it sends whole nodes to other processes, which "
            "would not keep the ledger. Leave it out and give --runner-params resources=local: "
            "PartitionRunner then runs partitions in several processes"
        )
    return None


def check_names(file: ResourceFile, pipeline: Pipeline) -> None:
    """Refuse entries of `file` that name no node, tag or pipeline of the project.

    Raises ConfigError, with the nearest name.
    """
    from kedro.framework.project import pipelines

    from cyto_kedro.errors import unknown
    from cyto_kedro.runner.resources import split_selector

    every = Pipeline([]) + pipeline
    nodes = {node.name for node in every.nodes}
    tags = {tag for node in every.nodes for tag in node.tags}
    for selector in file.nodes:
        name, _ = split_selector(selector)
        if name not in nodes and (near := _near(name, nodes)):
            raise ConfigError(f"resources: nodes: {unknown('node', near[0], nodes)}")
    for kind, given, known in (
        ("tag", file.tags, tags),
        ("pipeline", file.pipelines, set(pipelines)),
    ):
        for name in given:
            if name not in known and (near := _near(name, known)):
                raise ConfigError(f"resources: {unknown(kind, near[0], known)}")


def _near(name: str, known: set[str]) -> list[str]:
    """`name` in a list if it looks like a slip of one of `known`.

    A run of some pipelines knows only their nodes: what looks like none of them is let be.
    """
    from difflib import get_close_matches

    return [name] if get_close_matches(name, known, n=1, cutoff=0.85) else []


def check_memory(pipeline: Pipeline, catalog: Any, file: ResourceFile) -> None:
    """Refuse data that lives only in memory where it would have to cross from process to process.

    Raises ConfigError, naming the dataset and the nodes on both sides.
    """
    homes = pipelines_of(pipeline)
    makers = {name: node for node in pipeline.nodes for name in node.outputs}
    for node in pipeline.nodes:
        here = is_light(node, file, homes)
        for name in (*node.inputs, *node.outputs):
            if name in GIVEN or name == "parameters" or name.startswith("params:"):
                continue
            dataset = catalog.get(name)
            if not _is_of_one_process(dataset):
                continue
            maker = makers.get(name)
            if here and (maker is None or is_light(maker, file, homes)):
                continue
            other = maker.name if maker is not None and maker is not node else "another process"
            raise ConfigError(
                f"dataset {name!r} of node {node.name!r} ({other}) lives only in memory, so it cannot "
                "pass between processes: give it an entry in the catalog, on a disk or in an object "
                "store, or set light: true for the nodes on both sides in conf/resources"
            )


def _is_of_one_process(dataset: Any) -> bool:
    inside = isinstance(dataset, MemoryDataset) or getattr(dataset, "_EPHEMERAL", False)
    return inside or getattr(dataset, "_protocol", None) == "memory"  # of memory:// URLs
