"""A runner that knows partitions: ``--only-missing-outputs`` means "what is not current"."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner
from kedro.runner.task import Task
from pluggy import PluginManager

from cyto_kedro.currency import stale_groups
from cyto_kedro.errors import GroupsFailedError
from cyto_kedro.lift import is_lifted, restrict

log = logging.getLogger(__name__)


class PartitionRunner(AbstractRunner):
    """Runs node after node in this process; resumes by partition, by the ledger.

    ``kedro run --runner cyto_kedro.runner.PartitionRunner --only-missing-outputs`` skips every
    partition that is current and runs what is missing, stale, or depends on something redone. A node
    that fails stops the nodes that depend on it, and no others.

    Parameters
    ----------
    is_async
        Passed by Kedro; asynchronous loading cannot serve generator nodes and is refused.
    """

    def __init__(self, is_async: bool = False) -> None:
        if is_async:
            raise ValueError(
                "PartitionRunner cannot run with --async: its nodes are generators, which Kedro "
                "saves one partition at a time"
            )
        super().__init__(is_async=False)
        self._only_stale = False

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
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        failed: dict[str, Exception] = {}
        blocked: set[Node] = set()
        for node in pipeline.nodes:
            if pipeline.node_dependencies[node] & blocked:
                log.warning("%s: not run, it depends on a node that failed", node.name)
                blocked.add(node)
                continue
            try:
                self._run_node(node, catalog, hook_manager, run_id)
            except Exception as error:  # noqa: BLE001 - nodes that do not depend on it go on
                log.error("%s: %s", node.name, error)
                failed[node.name] = error
                blocked.add(node)
        if failed:
            first = next(iter(failed))
            raise GroupsFailedError(
                f"{len(failed)} nodes failed: {', '.join(failed)}; {len(blocked) - len(failed)} that "
                "depend on them were not run. What is finished stays: mend the cause and run the "
                "same command with --only-missing-outputs."
            ) from failed[first]

    def _run_node(
        self,
        node: Node,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None,
        run_id: str | None,
    ) -> None:
        todo = node
        if self._only_stale:
            inputs = {name: catalog.load(name) for name in node.inputs}
            stale = stale_groups(node, inputs, catalog)
            if not stale:
                log.info("%s: current", node.name)
                return
            log.info("%s: %d to run (%s)", node.name, len(stale), stale[0].reason)
            if is_lifted(node.func):
                todo = node._copy(func=restrict(node.func, [each.group for each in stale]))
        Task(
            node=todo, catalog=catalog, hook_manager=hook_manager, is_async=False, run_id=run_id
        ).execute()
