"""Jobs that an earlier driver left running: taken over, or cancelled where they would be redone."""

from __future__ import annotations

import logging
from collections.abc import Collection

from cyto_kedro.runner.backend import Backend, Submission
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.records import TaskFile

log = logging.getLogger(__name__)


def take_over(
    backend: Backend, context: RunContext, nodes: Collection[str], resuming: bool
) -> list[Submission]:
    """Adopt what still runs of `nodes` if this run resumes with the same session; cancel the rest.

    Returns
    -------
    list of Submission
        What was adopted: their nodes are planned when they have ended.
    """
    adopted = []
    for submission in backend.live(context.runs):
        if submission.array.node not in nodes or not submission.open:
            continue
        if resuming and _same_session(submission, context):
            log.info("adopted job %s (%s) of an earlier run", submission.job, submission.name)
            submission.adopted = True
            backend.adopt(submission)
            adopted.append(submission)
        else:
            log.warning("cancelling job %s (%s) of an earlier run", submission.job, submission.name)
            backend.drop(submission)
    return adopted


def _same_session(submission: Submission, context: RunContext) -> bool:
    """Whether a live job would compute what this run would: same environment and parameters.

    Parameters that changed on disk are seen by the ledger: what the job saves is then stale, and
    redone after it ended.
    """
    task = TaskFile.model_validate_json(submission.folder.task.read_bytes())
    ours = (str(context.conf_source), context.env, dict(context.runtime_params))
    return ours == (task.conf_source, task.env, task.runtime_params)
