"""Moving pictures, run by name; the report shows them when they are there."""

from cyto_kedro.pipelines.films.pipeline import create_pipeline

__all__ = ["create_pipeline"]
