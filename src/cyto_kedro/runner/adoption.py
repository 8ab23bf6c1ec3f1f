"""Jobs that an earlier driver left running: taken over, or cancelled where they would be redone."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection

from cyto_kedro.runner.backend import Backend, Submission
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.records import TaskFile

log = logging.getLogger(__name__)


def take_over(
    backend: Backend,
    context: RunContext,
    nodes: Collection[str],
    resuming: bool,
    places: Collection[str] = (),
) -> list[Submission]:
    """Adopt what still runs of `nodes` if this run resumes with the same session; cancel the rest.

    The caller holds the leases of `places`, where it writes: a driver of a job that writes there is
    dead. Jobs that write elsewhere (a run on other data) are left alone, as is what their driver does.

    Returns what was adopted: their nodes are planned when they have ended.
    """
    adopted = []
    for submission in backend.live(context.runs):
        task = submission.task
        if task is None or submission.array.node not in nodes or not submission.open:
            continue
        same = _same_session(task, context)
        if not (_real(task.places) & _real(places) if task.places else same):
            log.info("job %s (%s) writes other data: left alone", submission.job, submission.name)
            continue
        if resuming and same:
            log.info("adopted job %s (%s) of an earlier run", submission.job, submission.name)
            submission.adopted = True
            backend.adopt(submission)
            adopted.append(submission)
        else:
            log.warning("cancelling job %s (%s) of an earlier run", submission.job, submission.name)
            backend.drop(submission)
    return adopted


def _real(places: Collection[str]) -> set[str]:
    """Places with symbolic links followed: one data folder may be reached by two paths."""
    return {each if "://" in each else os.path.realpath(each) for each in places}


def _same_session(task: TaskFile, context: RunContext) -> bool:
    """Whether a live job would compute what this run would: same environment and parameters.

    Parameters that changed on disk are seen by the ledger: what the job saves is then stale, and
    redone after it ended.
    """
    ours = (str(context.conf_source), context.env, dict(context.runtime_params))
    return ours == (task.conf_source, task.env, task.runtime_params)
