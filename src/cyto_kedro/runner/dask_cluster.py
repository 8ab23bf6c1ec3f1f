"""Where a run's Dask workers come from: this machine, an address, or the jobs of PBS, SGE, LSF, …

`dask_jobqueue` writes the job scripts, and submits and cancels them. A job is one worker with as many
threads as cores, which says what it has, so that Dask keeps to what each task asks for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kedro.utils import load_obj

from cyto_kedro.errors import ConfigError, lacking
from cyto_kedro.runner.memory import cores, total_mb
from cyto_kedro.runner.resources import Machine, megabytes

CONNECT_S = 30.0
AGAIN_S = 30.0  # a job that ended, at its time limit say, is asked for again
SHAPE = "cores", "memory"  # of a job, in dask-jobqueue's words
CORES, MEMORY = "cores", "memory_mb"  # Dask's resources that a worker may say it has


class JobWorkers:
    """Workers in the jobs of a cluster's scheduler; none is submitted before `keep` is called.

    Parameters
    ----------
    asked
        ``type``, a class of `dask_jobqueue` such as PBSCluster; ``jobs``, how many at once; all else is
        handed to the class. What is left out stands in Dask's own ``jobqueue.yaml``.

    Raises
    ------
    MissingExtraError
        If dask-jobqueue is not installed.
    ConfigError
        If there is no such class, or it does not take what it is given.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        try:
            import dask
            import dask_jobqueue
            from dask.utils import parse_bytes
        except ImportError as error:
            raise lacking(
                "machine: cluster", "jobqueue", error, ", here and on the workers"
            ) from error
        given = {"processes": 1, "nanny": False, **asked}
        name, self._jobs = str(given.pop("type", None)), int(given.pop("jobs", 1))
        try:
            kind = load_obj(name, dask_jobqueue.__name__)
            told = f"jobqueue.{kind.job_cls.default_config_name()}"
            shape = {key: given.get(key) or dask.config.get(f"{told}.{key}", None) for key in SHAPE}
            if missing := [key for key in SHAPE if not shape[key]]:
                raise ValueError(f"{' and '.join(missing)} of a job must be said")
            #: what each worker has, in Dask's words
            self.each = {
                CORES: float(shape["cores"]),
                MEMORY: float(parse_bytes(shape["memory"]) // 2**20),
            }
            has = ",".join(f"{key}={value:g}" for key, value in self.each.items())
            more = given.get("worker_extra_args") or dask.config.get(
                f"{told}.worker-extra-args", []
            )
            given["worker_extra_args"] = [*more, "--resources", has]
            given["scheduler_options"] = {
                "dashboard_address": ":0",
                **(
                    given.get("scheduler_options")
                    or dask.config.get(f"{told}.scheduler-options", {})
                ),
            }
            self.cluster = kind(**given)
        except (AttributeError, TypeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(
                f"machine: cluster: {name}: {said}. Give type: dask_jobqueue.PBSCluster (SGECluster, "
                "LSFCluster, …), jobs, and what that class takes: cores, memory, queue, walltime"
            ) from error
        self.threads = self._jobs * int(self.each[CORES])
        self._asked = float("-inf")

    def keep(self) -> None:
        """Ask for the jobs, and now and then for those that ended."""
        if time.monotonic() - self._asked > AGAIN_S:
            self._asked = time.monotonic()
            self.cluster.scale(jobs=self._jobs)

    @property
    def script(self) -> str:
        """What is submitted for each job."""
        return str(self.cluster.job_script())


def connect(machine: Machine, scheduler: str | None) -> tuple[Any, Any, JobWorkers | None]:
    """A client, the cluster that it started (None: it was there), and the jobs of that.

    Raises MissingExtraError or ConfigError; see `DaskRunner` and `JobWorkers`.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        more = (
            ", here and on the workers. --runner-params resources=local without --runner needs none"
        )
        raise lacking("DaskRunner", "dask", error, more) from error
    if scheduler is None and machine.cluster:
        jobs = JobWorkers(machine.cluster)
        return Client(jobs.cluster), jobs.cluster, jobs
    if scheduler is None:
        n_cores = machine.cores or cores()
        memory = megabytes(machine.memory) if machine.memory else 0.8 * total_mb()
        # its threads only wait: what computes are the processes that they start
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=n_cores,
            processes=False,
            memory_limit=0,
            dashboard_address=None,
            resources={CORES: n_cores, MEMORY: memory},
        )
        return Client(cluster), cluster, None
    given = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    try:
        client = Client(**given, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler!r} ({error}): give the address that `dask "
            "scheduler` prints, such as tcp://host:8786, or its --scheduler-file, in --runner-params "
            "scheduler=..."
        ) from error
    return client, None, None
