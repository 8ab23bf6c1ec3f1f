"""Classes of cells, learnt from a table that a person filled, run by name."""

from cyto_kedro.pipelines.cell_classes.pipeline import create_pipeline

__all__ = ["create_pipeline"]
