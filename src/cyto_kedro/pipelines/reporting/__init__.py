"""Results table, overlays, figures and the report."""

from cyto_kedro.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
