"""The driver of a run: which node starts when, what happens to a batch that failed, and the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from cyto_kedro.errors import GroupsFailedError, RunFailedError, RunStoppedError
from cyto_kedro.lift import restrict
from cyto_kedro.runner.backend import Backend, Cause, Ended, Submission, why
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.feed import Feed
from cyto_kedro.runner.graph import find_stale, is_light, pipelines_of
from cyto_kedro.runner.lease import Lease
from cyto_kedro.runner.planning import Array, Group, again, plan_node
from cyto_kedro.runner.records import GroupRecord, TaskFile
from cyto_kedro.runner.report import Failure, failure_table, left, resume_command, task_line
from cyto_kedro.runner.resources import ResourceFile

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 10.0
TICK_S, TICK_MAX_S = 0.05, 1.0


@dataclass
class NodeRun:
    """What the driver keeps of a node that has started."""

    node: Node
    total: int = 0
    done: int = 0
    open: int = 0  # tasks submitted, and batches that wait to be
    failures: list[Failure] = field(default_factory=list)
    adopted: set[Submission] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)


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
    lease
        Held by the caller; a lost one stops the run.
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
        lease: Lease | None = None,
    ) -> None:
        self._pipeline, self._catalog, self._hooks = pipeline, catalog, hook_manager
        self._run_id, self._context, self._resources = run_id, context, resources
        self._backend, self._only_stale, self._lease = backend, only_stale, lease
        self._todo: list[Node] = list(pipeline.nodes)
        self._running: dict[str, NodeRun] = {}
        self._ended: set[Node] = set()
        self._blocked: dict[Node, bool] = {}  # node -> whether it failed itself
        self._failures: list[Failure] = []
        self._homes = pipelines_of(pipeline) if backend is not None else {}
        self._feed: Feed | None = None
        if backend is not None and context is not None:
            self._feed = Feed(backend, context, run_id, resources.machine, self._homes)
        self._progressed = 0.0
        self._left: list[Submission] = []

    # -- the loop ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Run all nodes.

        Raises
        ------
        RunFailedError
            At the end, if a group failed: with a table and the command that resumes.
        RunStoppedError
            If the run was interrupted, or lost its lease.
        """
        try:
            self._take_over()
            tick = TICK_S
            while self._todo or self._running:
                if self._lease is not None and self._lease.lost.is_set():
                    raise RunStoppedError("another driver took over this run's outputs")
                moved = self._start_ready()
                moved |= self._submit()
                ended = self._backend.poll() if self._backend is not None else []
                for each in ended:
                    self._handle(each)
                self._finish()
                self._progress(bool(ended))
                tick = TICK_S if ended or moved else min(tick * 1.3, TICK_MAX_S)
                if self._running:
                    time.sleep(tick)
        except BaseException as error:
            self._stop(error)
            if isinstance(error, KeyboardInterrupt):
                raise RunStoppedError(self._kept("stopped by Ctrl-C")) from error
            raise
        if self._failures:
            blocked = [node.name for node, itself in self._blocked.items() if not itself]
            raise RunFailedError(failure_table(self._failures, blocked, resume_command()))

    def _start_ready(self) -> bool:
        """Start the nodes whose inputs are there; at most one of them in this process."""
        moved, light = False, None
        for node in list(self._todo):
            needs = self._pipeline.node_dependencies[node]
            if needs & self._blocked.keys():
                log.warning("%s: not run, it depends on a node that failed", node.name)
                self._todo.remove(node)
                self._blocked[node] = False
                moved = True
            elif needs <= self._ended:
                if self._is_light(node):
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

    def _names(self, node: Node) -> Sequence[str]:
        return self._homes.get(node.name, ())

    def _start(self, node: Node) -> None:
        state = self._running[node.name] = NodeRun(node)
        state.adopted = {each for each in self._left if each.array.node == node.name}
        if not state.adopted:
            self._plan(state)

    def _plan(self, state: NodeRun) -> None:
        node = state.node
        assert self._backend is not None
        try:
            groups, reason = find_stale(node, self._catalog, self._only_stale)
        except Exception as error:  # noqa: BLE001 - nodes that do not depend on it go on
            state.failures.append(Failure(node.name, {}, f"{type(error).__name__}: {error}", 0))
            return
        if groups == []:
            log.info("%s: current", node.name)
            return
        arrays = plan_node(
            node.name,
            [{}] if groups is None else groups,
            self._resources,
            tags=node.tags,
            pipelines=self._names(node),
            slots=self._backend.slots,
        )
        state.total = sum(array.n_groups for array in arrays)
        tasks = sum(len(array.batches) for array in arrays)
        log.info("%s: %d to run in %d tasks (%s)", node.name, state.total, tasks, reason)
        for array in arrays:
            self._push(array)

    def _push(self, array: Array) -> None:
        assert self._feed is not None
        self._running[array.node].open += len(array.batches)
        self._feed.push(array)

    def _run_here(self, node: Node) -> None:
        todo = node
        try:
            groups, reason = (
                find_stale(node, self._catalog, True) if self._only_stale else (None, "")
            )
            if groups == []:
                log.info("%s: current", node.name)
                self._ended.add(node)
                return
            if self._only_stale:
                log.info("%s: %s to run (%s)", node.name, len(groups) if groups else "all", reason)
            if groups is not None:
                todo = node._copy(func=restrict(node.func, groups))
            Task(
                node=todo,
                catalog=self._catalog,
                hook_manager=self._hooks,
                is_async=False,
                run_id=self._run_id,
            ).execute()
        except GroupsFailedError as error:
            log.error("%s: %s", node.name, error)
            self._blocked[node] = True
            self._failures += [
                Failure(node.name, group, f"{type(e).__name__}: {e}", 1)
                for group, e in error.failures
            ]
        except Exception as error:
            log.error("%s: %s", node.name, error, exc_info=log.isEnabledFor(logging.DEBUG))
            self._blocked[node] = True
            self._failures.append(Failure(node.name, {}, f"{type(error).__name__}: {error}", 1))
        else:
            self._ended.add(node)

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
        assert self._feed is not None
        self._feed.ended(sub.array.node)
        ends = ended.record.groups if ended.record else sub.folder.read_progress(index)
        by_key = {tuple(sorted(each.group.items())): each for each in ends}
        retry: dict[Cause, list[Group]] = {}
        lost: list[GroupRecord] = []
        done = 0
        for group in sub.array.batches[index]:
            found = by_key.get(tuple(sorted(group.items())))
            if found is not None and found.state == "done":
                done += 1
                continue
            cause, reason = why(ended, found)
            if self._may_retry(sub.array, cause):
                retry.setdefault(cause, []).append(group)
                continue
            lost.append(GroupRecord(group=dict(group), state="failed", error=reason))
            tail = "" if found is not None else sub.folder.tail(index)  # else it says all
            state.failures.append(
                Failure(
                    sub.array.node, group, reason, sub.array.attempt, sub.folder.log(index), tail
                )
            )
        state.done += done
        for cause, groups in retry.items():
            grown = again(
                sub.array,
                [groups],
                mem=cause is Cause.MEMORY,
                time=cause is Cause.TIME,
                restart=cause.restart,
            )
            log.warning(
                "%s: %d partitions again (%s): attempt %d with %s, %s",
                *(sub.array.node, len(groups), cause.value, grown.attempt),
                *(grown.resources.mem, grown.resources.time),
            )
            self._push(grown)
        causes = ", ".join(cause.value for cause in retry)
        self._note(task_line(ended, done, lost, causes or (lost[0].error or "" if lost else "")))

    def _may_retry(self, array: Array, cause: Cause) -> bool:
        asked = array.resources
        if cause.grows:
            return array.attempt - array.restarts < asked.attempts
        return cause.restart and array.restarts < asked.restarts

    def _finish(self) -> None:
        for name, state in list(self._running.items()):
            if state.open or state.adopted:
                continue
            del self._running[name]
            if state.failures:
                log.error("%s: %d partitions failed", name, len(state.failures))
                self._failures += state.failures
                self._blocked[state.node] = True
            else:
                self._ended.add(state.node)
                if state.total:
                    spent = time.monotonic() - state.began
                    log.info("%s: %d done, %.1f s", name, state.done, spent)

    # -- what it says, and what it leaves ---------------------------------------------------------

    def _progress(self, moved: bool) -> None:
        now = time.monotonic()
        if self._backend is None or now - self._progressed < PROGRESS_EVERY_S or not self._running:
            return
        self._progressed = now
        states = self._backend.states()
        for name, state in self._running.items():
            if state.total:
                failed = len(state.failures)
                running, pending = (
                    states.get(f"{name} running", 0),
                    states.get(f"{name} pending", 0),
                )
                log.info(
                    "%s: %d of %d partitions done, %d failed; %d tasks running, %d pending%s",
                    *(name, state.done, state.total, failed, running, pending),
                    left(state.done + failed, state.total, now - state.began),
                )

    def _note(self, line: str) -> None:
        assert self._context is not None
        path = self._context.runs / self._run_id / "tasks.jsonl"
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _take_over(self) -> None:
        """Adopt what an earlier driver left running, or cancel it where it would be redone."""
        if self._backend is None or self._context is None:
            return
        names = {node.name for node in self._pipeline.nodes}
        for submission in self._backend.live(self._context.runs):
            if submission.array.node not in names or not submission.open:
                continue
            if self._only_stale and self._same_session(submission):
                log.info("adopted job %s (%s) of an earlier run", submission.job, submission.name)
                submission.adopted = True
                self._backend.adopt(submission)
                self._left.append(submission)
            else:
                log.warning(
                    "cancelling job %s (%s) of an earlier run", submission.job, submission.name
                )
                self._backend.drop(submission)

    def _same_session(self, submission: Submission) -> bool:
        """Whether a live job would compute what this run would: same environment and parameters.

        Parameters that changed on disk are seen by the ledger: what the job saves is then stale,
        and redone after it ended.
        """
        task = TaskFile.model_validate_json(submission.folder.task.read_bytes())
        assert self._context is not None
        ours = (
            str(self._context.conf_source),
            self._context.env,
            dict(self._context.runtime_params),
        )
        return ours == (task.conf_source, task.env, task.runtime_params)

    def _stop(self, error: BaseException) -> None:
        if self._lease is not None and self._lease.lost.is_set():
            return  # the jobs are another driver's now
        if self._backend is not None:
            log.warning("cancelling this run's jobs (%s)", type(error).__name__)
            self._backend.cancel()

    def _kept(self, why: str) -> str:
        done = sum(state.done for state in self._running.values())
        done += self._feed.kept() if self._feed is not None else 0
        return (
            f"{why}: its jobs are cancelled. {len(self._ended)} nodes are finished, and {done} "
            "partitions of those that were running; all of that stays, and nothing is half "
            "written. Go on with:\n"
            f"  {resume_command()}"
        )
