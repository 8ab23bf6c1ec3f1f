"""File I/O: find the raw films, join the sample sheet, plan the partitions, look at quality."""

from cyto_kedro.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
