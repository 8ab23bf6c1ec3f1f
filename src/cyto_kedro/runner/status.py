"""The run's status in kedro-viz, which itself records only runs of Kedro's SequentialRunner.

What a run left in its folder, by whichever process, is told in kedro-viz's own events when the run
ends. Like kedro-viz, only of runs of the whole analysis: others would hide its status.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.kedro_private import forget_last_run
from cyto_kedro.runner import history

_PARTIAL = (
    "tags",
    "from_nodes",
    "to_nodes",
    "node_names",
    "from_inputs",
    "to_outputs",
    "namespaces",
)


class RunStatusHooks:
    """Writes ``.viz/kedro_pipeline_events.json`` at the end of a run of our runners."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep where the project is."""
        self._root = Path(context.project_path)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        """Note when the run began, if its status is to be told."""
        self._pipeline = None
        forget_last_run()
        # else it says at every run of a part, and under our runners, that it records nothing
        logging.getLogger("kedro_viz.integrations.kedro.run_hooks").setLevel(logging.ERROR)
        names = run_params.get("pipeline_names") or ["__default__"]
        partial = "__default__" not in names or any(run_params.get(key) for key in _PARTIAL)
        if partial or "cyto_kedro.runner" not in str(run_params.get("runner")):
            return
        self._pipeline, self._catalog, self._began = pipeline, catalog, _now()
        self._errors: dict[str, str] = {}

    @hook_impl
    def on_node_error(self, error: Exception, node: Node) -> None:
        """Keep what a node of this process died of."""
        if self._pipeline is not None:
            self._errors[node.name] = f"{type(error).__name__}: {error}"

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Tell of a run that is done."""
        self._write(str(run_params["run_id"]), None)

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Tell of a run that failed."""
        self._write(str(run_params["run_id"]), error)

    def _write(self, run_id: str, error: Exception | None) -> None:
        if self._pipeline is None:
            return
        from kedro_viz.integrations.kedro import hooks_utils as viz

        left = history.collect(self._root / "runs" / run_id)
        found = events(self._pipeline, self._catalog, left, self._errors, error)
        began: dict[str, Any] = {"event": "before_pipeline_run", "timestamp": self._began}
        text = json.dumps([began, *found], indent=1)
        viz.write_events_to_file(self._root, viz.EVENTS_DIR, viz.EVENTS_FILE, text)


def events(
    pipeline: Pipeline,
    catalog: Any,
    left: dict[str, Any],
    errors: dict[str, str],
    error: Exception | None,
) -> list[dict[str, Any]]:
    """What became of each node and dataset, and of the run, as kedro-viz's events.

    `left`: what the run left, of all its processes (`history.collect`). `errors`: node -> what it
    died of in this process; nodes that died elsewhere are in ``left["tasks"]``. `error`: what the
    run died of. Without one, a node that saved nothing was current.
    """
    from kedro_viz.integrations.kedro.hooks_utils import hash_node
    from kedro_viz.integrations.kedro.run_hooks import create_dataset_event

    seconds: dict[str, float] = {}
    for each in left["partitions"]:
        seconds[each["node"]] = seconds.get(each["node"], 0.0) + (each["seconds"] or 0.0)
    failed = dict(errors)
    for task in left.get("tasks", ()):
        for group in task["failed"]:
            failed[task["node"]] = str(group.get("error") or "failed")
    found: list[dict[str, Any]] = []
    for node in pipeline.nodes:
        about = {"node": node.name, "node_id": hash_node(node)}
        if node.name in failed:
            lost = {"event": "on_node_error", "error": failed[node.name], "timestamp": _now()}
            found.append(about | lost)
        elif error is None or node.name in seconds:
            spent = {"duration": seconds.get(node.name, 0.0), "status": "success"}
            found.append({"event": "after_node_run"} | about | spent)
            found += [
                create_dataset_event("after_dataset_saved", name, True, catalog)
                for name in node.outputs
            ]
    if error is None:
        return [*found, {"event": "after_pipeline_run", "timestamp": _now()}]
    return [*found, {"event": "on_pipeline_error", "error": str(error), "timestamp": _now()}]


def _now() -> str:
    return datetime.now(UTC).isoformat()
