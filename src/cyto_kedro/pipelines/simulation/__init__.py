"""Make an assay whose truth is known."""

from cyto_kedro.pipelines.simulation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
