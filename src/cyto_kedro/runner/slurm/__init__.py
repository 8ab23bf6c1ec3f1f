"""SLURM: the submission script, the client commands, watching, and the runner."""

from cyto_kedro.runner.slurm.runner import SlurmRunner

__all__ = ["SlurmRunner"]
