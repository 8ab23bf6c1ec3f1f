"""The driver of a run: which node starts when, what happens to a batch that failed, and the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from cyto_kedro.errors import RunFailedError, RunStoppedError
from cyto_kedro.kedro_private import with_func
from cyto_kedro.lift import is_lifted, restrict, spec_of
from cyto_kedro.runner.adoption import take_over
from cyto_kedro.runner.backend import Backend, Cause, Ended, Submission
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.feed import Feed
from cyto_kedro.runner.flow import Flow, NodeRun, ready
from cyto_kedro.runner.graph import (
    find_stale,
    groups_of,
    is_light,
    merge_ledgers,
    output_places,
    pipelines_of,
    places_of,
    sweep,
)
from cyto_kedro.runner.holding import Hold
from cyto_kedro.runner.outcome import outcome
from cyto_kedro.runner.planning import Array, Group, again, key_of, plan_node
from cyto_kedro.runner.report import Failure, failure_table, resume_command
from cyto_kedro.runner.resources import ResourceFile
from cyto_kedro.runner.worker import execute

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 10.0
MERGE_EVERY = 100  # batches: each leaves a journal of what it saved
TICK_S, TICK_MAX_S = 0.05, 1.0


class Driver:
    """Runs one pipeline over a backend, or in this process where there is none.

    Parameters
    ----------
    backend
        Where batches run; None runs every node in this process.
    resources
        What nodes ask for.
    only_stale
        Run only what is not current.
    hold
        The leases held; a lost one stops the run.
    again
        Nodes that run whole all the same.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: Any,
        run_id: str,
        context: RunContext | None,
        resources: ResourceFile,
        backend: Backend | None,
        only_stale: bool,
        hold: Hold | None = None,
        again: Collection[str] = (),
    ) -> None:
        self._pipeline, self._catalog, self._hooks = pipeline, catalog, hook_manager
        self._run_id, self._context, self._resources = run_id, context, resources
        self._backend, self._only_stale, self._hold = backend, only_stale, hold
        self._again = again
        self._todo: list[Node] = list(pipeline.nodes)
        self._running: dict[str, NodeRun] = {}
        self._flow = Flow(pipeline)
        self._failures: list[Failure] = []
        self._homes = pipelines_of(pipeline) if backend is not None else {}
        self._feed: Feed | None = None
        if backend is not None and context is not None:
            places = {node.name: places_of(catalog, node.outputs) for node in pipeline.nodes}
            self._feed = Feed(backend, context, run_id, resources.machine, self._homes, places)
        self._progressed = 0.0
        self._left: list[Submission] = []

    def run(self) -> None:
        """Run all nodes.

        Raises RunFailedError at the end if a group failed, with a table and the command that resumes;
        RunStoppedError if the run was interrupted, or lost its lease.
        """
        try:
            if self._backend is not None and self._context is not None:
                names = {node.name for node in self._pipeline.nodes}
                places = output_places(self._pipeline, self._catalog)
                self._left = take_over(
                    self._backend, self._context, names, self._only_stale, places
                )
            if self._hold is not None and not self._left:  # nobody else writes here
                sweep(self._pipeline, self._catalog)
            merge_ledgers(self._hold, self._pipeline.nodes, self._catalog)
            tick = TICK_S
            while self._todo or self._running:
                if self._hold is not None and self._hold.lost.is_set():
                    raise RunStoppedError("another driver took over this run's outputs")
                moved = self._start_ready()
                for state in list(self._running.values()):
                    self._advance(state)
                moved |= self._submit()
                ended = self._backend.poll() if self._backend is not None else []
                for each in ended:
                    self._handle(each)
                self._finish()
                self._progress()
                tick = TICK_S if ended or moved else min(tick * 1.3, TICK_MAX_S)
                if self._running:
                    time.sleep(tick)
        except BaseException as error:
            self._stop(error)
            if isinstance(error, KeyboardInterrupt):
                raise RunStoppedError(self._kept("stopped by Ctrl-C")) from error
            raise
        finally:
            merge_ledgers(self._hold, self._pipeline.nodes, self._catalog)
        if self._failures:
            blocked = [node.name for node, itself in self._flow.blocked.items() if not itself]
            raise RunFailedError(
                failure_table(self._failures, blocked, resume_command(self._only_stale))
            )

    def _start_ready(self) -> bool:
        """Start the nodes whose inputs are there; at most one of them in this process."""
        moved, light = False, None
        for node in list(self._todo):
            here = self._is_light(node)
            if self._flow.never(node):
                log.warning("%s: not run, it depends on a node that failed", node.name)
                self._todo.remove(node)
                self._flow.end(node, failed=False, cut=True)
                moved = True
            elif self._flow.may_start(node, whole=here):
                if here:
                    light = light or node
                    continue
                self._todo.remove(node)
                self._start(node)
                moved = True
        if light is not None:
            self._submit()  # others run while this process is busy
            self._todo.remove(light)
            self._run_here(light)
            moved = True
        return moved

    def _is_light(self, node: Node) -> bool:
        return self._backend is None or is_light(node, self._resources, self._homes)

    def _stale_only(self, node: Node) -> bool:
        return self._only_stale and node.name not in self._again

    def _start(self, node: Node) -> None:
        state = self._running[node.name] = NodeRun(node)
        state.adopted = {each for each in self._left if each.array.node == node.name}
        if not state.adopted:
            self._plan(state)

    def _plan(self, state: NodeRun) -> None:
        """Learn which groups a node has; a node without partitions is handed out at once."""
        node = state.node
        try:
            if is_lifted(node.func):
                state.waiting = groups_of(node, self._catalog)
                state.total = len(state.waiting)
                self._flow.expect(node, state.waiting)
                return
            groups, reason = find_stale(node, self._catalog, self._stale_only(node))
        except Exception as error:  # noqa: BLE001 - nodes that do not depend on it go on
            self._unplanned(state, error)
            return
        if groups == []:
            log.info("%s: current", node.name)
            return
        state.total = 1
        self._hand_out(state, [{}], reason)

    def _advance(self, state: NodeRun) -> None:
        """Hand out the groups whose inputs have come in, by full batches while more may come."""
        if not (state.waiting or state.fresh) or state.seen == self._flow.version:
            return
        node, flow = state.node, self._flow
        state.seen = flow.version
        names = [name for name in node.inputs if name.startswith("params:")]
        looked = {name: self._catalog.load(name) for name in names if spec_of(node.func).looking}
        groups, reason = ready(node, state.waiting, flow.missing_for(node), looked), ""
        if groups:
            taken = {key_of(group) for group in groups}
            state.waiting = [each for each in state.waiting if key_of(each) not in taken]
            stale, reason = groups, "all"
            if self._stale_only(node):
                try:
                    todo = with_func(node, restrict(node.func, groups))
                    found, reason = find_stale(todo, self._catalog, True)
                except Exception as error:  # noqa: BLE001 - as above
                    self._unplanned(state, error)
                    return
                stale = found or []
            state.fresh += stale
            run = {key_of(group) for group in state.fresh}
            for group in groups:
                if key_of(group) not in run:  # it is current
                    flow.made(node, group)
                    state.total -= 1
        more = flow.runs_on(node)
        if not more:  # what still waits needs what failed
            state.cut, state.waiting = len(state.waiting), []
            state.total -= state.cut
        self._hand_out(state, state.fresh, reason, whole_batches=more)
        if not state.total and not state.cut and not state.waiting:
            log.info("%s: current", node.name)

    def _unplanned(self, state: NodeRun, error: Exception) -> None:
        state.failures.append(Failure(state.node.name, {}, f"{type(error).__name__}: {error}", 0))
        state.waiting, state.fresh = [], []

    def _hand_out(
        self, state: NodeRun, groups: list[Group], reason: str, whole_batches: bool = False
    ) -> None:
        """Push groups as arrays; with `whole_batches`, those that fill none stay in `fresh`."""
        assert self._backend is not None
        node = state.node
        arrays = plan_node(
            node.name,
            groups,
            self._resources,
            tags=node.tags,
            pipelines=self._homes.get(node.name, ()),
            slots=self._backend.slots,
            total=state.total,
            whole_batches=whole_batches,
        )
        tasks = sum(len(array.batches) for array in arrays)
        if not tasks:
            return
        out = {key_of(group) for array in arrays for batch in array.batches for group in batch}
        state.fresh = [group for group in groups if key_of(group) not in out]
        said = f" ({reason})" if reason else ""
        log.info("%s: %d to run in %d tasks%s", node.name, len(out), tasks, said)
        for array in arrays:
            self._push(array)

    def _push(self, array: Array) -> None:
        assert self._feed is not None
        self._running[array.node].open += len(array.batches)
        self._feed.push(array)

    def _run_here(self, node: Node) -> None:
        """Run a node, as far as its inputs are there, in this process."""
        flow, todo = self._flow, node
        cut: list[Group] = []
        try:
            if missing := flow.missing_for(node):
                every = groups_of(node, self._catalog)
                groups = ready(node, every, missing)
                cut = [group for group in every if group not in groups]
                todo = with_func(node, restrict(node.func, groups))
            if self._stale_only(node):
                stale, reason = find_stale(todo, self._catalog, True)
                if stale == []:
                    log.info("%s: current", node.name)
                    flow.expect(node, cut)
                    flow.end(node, failed=False, cut=bool(cut))
                    return
                log.info("%s: %s to run (%s)", node.name, len(stale) if stale else "all", reason)
                if stale is not None:
                    todo = with_func(node, restrict(node.func, stale))
            failed = execute(todo, self._catalog, self._hooks, self._run_id)
        except Exception as error:
            log.error("%s: %s", node.name, error, exc_info=log.isEnabledFor(logging.DEBUG))
            flow.end(node, failed=True)
            self._failures.append(Failure(node.name, {}, f"{type(error).__name__}: {error}", 1))
        else:
            flow.expect(node, [*cut, *(each.group for each in failed)])
            flow.end(node, failed=bool(failed), cut=bool(cut))
            self._failures += [Failure(node.name, e.group, e.error or "", 1) for e in failed]

    # -- batches ----------------------------------------------------------------------------------

    def _submit(self) -> bool:
        """Hand in what there is room for; what the cluster refuses for good has failed."""
        if self._feed is None:
            return False
        for array, reason in self._feed.refused:
            state = self._running[array.node]
            state.open -= len(array.batches)
            state.failures += [
                Failure(array.node, group, reason, array.attempt)
                for batch in array.batches
                for group in batch
            ]
        self._feed.refused.clear()
        return self._feed.submit()

    def _handle(self, ended: Ended) -> None:
        """Count what a batch did, and decide what happens to the rest of it."""
        sub, index = ended.submission, ended.index
        sub.open.discard(index)
        state = self._running.get(sub.array.node)
        if sub.adopted:
            if not sub.open:
                self._left = [each for each in self._left if each is not sub]
                if state is not None:
                    state.adopted.discard(sub)
                    if not state.adopted:
                        self._plan(state)
            return
        assert state is not None
        state.open -= 1
        assert self._feed is not None and self._backend is not None
        self._feed.ended(sub.array.node)
        limits = self._backend.limits(sub.array.resources)
        found = outcome(ended, limits)
        for group in found.done:
            self._flow.made(state.node, group)
        state.done += len(found.done)
        state.ended += 1
        if state.ended % MERGE_EVERY == 0:
            merge_ledgers(self._hold, [state.node], self._catalog)
        state.failures += found.failures
        for cause, groups in found.retry.items():
            grown = again(
                sub.array,
                [groups],
                mem=cause is Cause.MEMORY,
                time=cause is Cause.TIME,
                restart=cause.restart,
                limits=limits,
            )
            log.warning(
                "%s: %d partitions again (%s): attempt %d with %s, %s",
                *(sub.array.node, len(groups), cause.value, grown.attempt),
                *(grown.resources.mem, grown.resources.time),
            )
            self._push(grown)
        self._note(found.line)

    def _finish(self) -> None:
        for name, state in list(self._running.items()):
            if not state.over:
                continue
            del self._running[name]
            merge_ledgers(self._hold, [state.node], self._catalog)
            if state.failures:
                log.error("%s: %d partitions failed", name, len(state.failures))
                self._failures += state.failures
            if state.cut:
                log.warning("%s: %d partitions not run, what they need failed", name, state.cut)
            elif state.total and not state.failures:
                log.info("%s: %d done, %.1f s", name, state.done, time.monotonic() - state.began)
            self._flow.end(state.node, failed=bool(state.failures), cut=bool(state.cut))

    # -- what it says, and what it leaves ---------------------------------------------------------

    def _progress(self) -> None:
        now = time.monotonic()
        if self._backend is None or now - self._progressed < PROGRESS_EVERY_S or not self._running:
            return
        self._progressed = now
        states = self._backend.states()
        for state in self._running.values():
            if state.total:
                log.info("%s", state.progress(states))

    def _note(self, line: str) -> None:
        assert self._context is not None
        path = self._context.runs / self._run_id / "tasks.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:  # what the task saved is saved
            log.error("%s cannot be written (%s): the run goes on", path, error)

    def _stop(self, error: BaseException) -> None:
        if self._hold is not None and self._hold.lost.is_set():
            return  # the jobs are another driver's now
        if self._backend is not None:
            log.warning("cancelling this run's jobs (%s)", type(error).__name__)
            self._backend.cancel()

    def _kept(self, why: str) -> str:
        done = self._feed.kept() if self._feed is not None else 0
        done += sum(state.done for state in self._running.values())
        return (
            f"{why}: its jobs are cancelled. {len(self._flow.ended)} nodes are finished, and {done} "
            "partitions of those that were running; all of that stays, and nothing is half "
            f"written. Go on with: {resume_command(self._only_stale)}"
        )
