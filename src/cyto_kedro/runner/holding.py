"""Who writes holds the lease: of every dataset that a run, or a correction, writes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.errors import RunStoppedError
from cyto_kedro.ledger import split_home
from cyto_kedro.runner.graph import output_places
from cyto_kedro.runner.lease import Lease, path_of

FOLDER = ".leases"


def by_folder(places: Iterable[str], runs: Path | None) -> dict[Path, list[str]]:
    """Where the leases of outputs lie: in their data folder; of what is in no folder, in `runs`."""
    found: dict[Path, list[str]] = {}
    for place in places:
        if "://" not in place:
            home, inner = split_home(place)
            found.setdefault(Path(home) / FOLDER, []).append(inner)
        elif runs is not None:
            found.setdefault(runs / FOLDER, []).append(place)
    return found


class Hold:
    """The leases of `places`, held in the ``with`` block.

    Parameters
    ----------
    places
        Paths of what is written (`output_places`).
    run_id
        Who writes.
    runs
        The project's folder of runs.
    adopts
        It takes over the jobs that a dead driver of this project left in a cluster's queue.

    Raises
    ------
    RunStoppedError
        On entering, if another writer holds one of them, or a dead one's jobs still write there.
    """

    def __init__(
        self, places: Iterable[str], run_id: str, runs: Path | None = None, adopts: bool = False
    ) -> None:
        self.lost = threading.Event()
        self._own = runs.resolve() if runs is not None and adopts else None
        self._leases = [
            Lease(folder, inner, run_id, self.lost, runs, self._in_use)
            for folder, inner in sorted(by_folder(places, runs).items())
        ]
        self._stack = ExitStack()

    def _in_use(self, holder: dict[str, Any], place: Path) -> str | None:
        from cyto_kedro.runner.slurm.leftovers import still_writes  # it imports this module

        runs = holder.get("runs")
        if self._own is not None and runs and Path(runs).resolve() == self._own:
            return None
        return still_writes(holder, place)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for lease in self._leases:
                stack.enter_context(lease)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def sign_of_life(places: Iterable[str], runs: Path | None) -> str | None:
    """One of the leases that a run holds: other machines tell by it whether the run lives."""
    for folder, inner in sorted(by_folder(places, runs).items()):
        return str(path_of(folder, min(inner)))
    return None


class LeaseHooks:
    """Holds what a run writes, under the runners that do not do so themselves."""

    def __init__(self) -> None:
        self._runs: Path | None = None
        self.hold: Hold | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep where runs lie."""
        self._runs = Path(context.project_path) / "runs"

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        """Take the leases."""
        self._let_go()  # of a run in this process that was interrupted
        if "cyto_kedro.runner" not in str(run_params.get("runner")):
            places = output_places(pipeline, catalog)
            self.hold = Hold(places, str(run_params["run_id"]), self._runs).__enter__()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Stop where another run has taken over."""
        if self.hold is not None and self.hold.lost.is_set():
            raise RunStoppedError(f"before {node.name}: another run took over what this one writes")

    @hook_impl(trylast=True)
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Let go."""
        self._let_go()

    @hook_impl(trylast=True)
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Let go."""
        self._let_go()

    def _let_go(self) -> None:
        if self.hold is not None:
            self.hold.__exit__()
            self.hold = None


def held_by(hook_manager: Any) -> Hold | None:
    """What `LeaseHooks` holds for the run already."""
    for plugin in hook_manager.get_plugins() if hasattr(hook_manager, "get_plugins") else ():
        if isinstance(plugin, LeaseHooks):
            return plugin.hold
    return None
