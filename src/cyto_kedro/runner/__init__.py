"""Layer 4: runners. Only they read ``conf/resources``."""

from cyto_kedro.runner.dask_runner import DaskRunner
from cyto_kedro.runner.partition import PartitionRunner
from cyto_kedro.runner.slurm import SlurmRunner

__all__ = ["DaskRunner", "PartitionRunner", "SlurmRunner"]
