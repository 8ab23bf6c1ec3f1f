"""Further analyses, run by name; the report shows them when they are there."""

from cyto_kedro.pipelines.extended.pipeline import create_pipeline

__all__ = ["create_pipeline"]
