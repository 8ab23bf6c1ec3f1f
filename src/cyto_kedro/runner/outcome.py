"""What became of a batch: its groups that are done, that run again, and that are given up."""

from __future__ import annotations

from dataclasses import dataclass, field

from cyto_kedro.runner.backend import Cause, Ended, beyond, may_retry, why
from cyto_kedro.runner.planning import Group, key_of
from cyto_kedro.runner.records import GroupRecord
from cyto_kedro.runner.report import Failure, task_line


@dataclass
class Outcome:
    """The groups of a batch that ended, by what happens to them."""

    ended: Ended
    #: what was saved
    done: list[Group] = field(default_factory=list)
    #: what is run again, by its cause
    retry: dict[Cause, list[Group]] = field(default_factory=dict)
    #: lost, failures: what is given up, for the run's record and for its last message
    lost: list[GroupRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The batch in the run's record."""
        causes = ", ".join(cause.value for cause in self.retry)
        reason = causes or (self.lost[0].error or "" if self.lost else "")
        return task_line(self.ended, len(self.done), self.lost, reason)


def outcome(ended: Ended, limits: tuple[float | None, float | None]) -> Outcome:
    """Decide for each group of a batch, by its own record, or by how the batch ended.

    `limits`: the most memory (MiB) and time (s) that a task can get; None: unknown.
    """
    sub, index = ended.submission, ended.index
    array, found = sub.array, Outcome(ended)
    ends = ended.record.groups if ended.record else sub.folder.groups(index)
    by_key = {key_of(each.group): each for each in ends}
    for group in array.batches[index]:
        record = by_key.get(key_of(group))
        if record is not None and record.state == "done":
            found.done.append(group)
            continue
        cause, reason = why(ended, record)
        if said := beyond(array.resources, cause, limits):
            reason = f"{reason}; {said}"
        elif may_retry(array, cause):
            found.retry.setdefault(cause, []).append(group)
            continue
        found.lost.append(GroupRecord(group=dict(group), state="failed", error=reason))
        tail = "" if record is not None else sub.folder.tail(index)  # else it says all
        log = sub.folder.log(index)
        found.failures.append(Failure(array.node, group, reason, array.attempt, log, tail))
    return found
