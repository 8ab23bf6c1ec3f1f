"""Link cells through time."""

from cyto_kedro.pipelines.tracking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
