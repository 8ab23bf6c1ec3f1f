"""The runner that sends batches to a SLURM cluster."""

from __future__ import annotations

from collections.abc import Sequence

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.backend import Backend
from cyto_kedro.runner.base import BatchRunner
from cyto_kedro.runner.context import RunContext
from cyto_kedro.runner.resources import Machine
from cyto_kedro.runner.slurm.watch import SlurmBackend


class SlurmRunner(BatchRunner):
    """Runs each node as job arrays, a task per batch of partitions.

    ``kedro run --pipelines segmentation --runner cyto_kedro.runner.SlurmRunner
    --runner-params resources=slurm``; ``dry_run=true`` shows what would be submitted.

    Parameters
    ----------
    resources
        Name of a file in ``conf/resources``, without ``.yml``; required.
    dry_run
        Show the plan and the scripts, submit nothing.
    """

    adopts = True

    def __init__(
        self,
        resources: str | None = None,
        dry_run: bool = False,
        is_async: bool = False,
        again: Sequence[str] = (),
    ) -> None:
        if resources is None:
            raise ConfigError(
                "SlurmRunner needs to know what to ask the cluster for: --runner-params "
                "resources=slurm (the name of a file in conf/resources)"
            )
        super().__init__(resources, dry_run, is_async, again)

    def _backend(self, machine: Machine, context: RunContext) -> Backend:
        return SlurmBackend(machine, context.project)
