"""Layer 4: runners. Only they read ``conf/resources``."""

from cyto_kedro.runner.partition import PartitionRunner

__all__ = ["PartitionRunner"]
