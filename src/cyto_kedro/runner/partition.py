"""A runner that knows partitions: ``--only-missing-outputs`` means "what is not current"."""

from __future__ import annotations

from cyto_kedro.runner.backend import Backend
from cyto_kedro.runner.base import BatchRunner
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.local import LocalBackend
from cyto_kedro.runner.resources import Machine


class PartitionRunner(BatchRunner):
    """Runs nodes on this machine; resumes by partition, by the ledger.

    ``kedro run --runner cyto_kedro.runner.PartitionRunner --only-missing-outputs`` skips every
    partition that is current and runs what is missing, stale, or depends on something redone. A node
    that fails stops the nodes that depend on it, and no others. With ``--runner-params
    resources=local`` partitions run in several processes, bounded by cores and memory; without it,
    one after the other in this process.
    """

    def _backend(self, machine: Machine, context: RunContext) -> Backend:
        return LocalBackend(machine)
