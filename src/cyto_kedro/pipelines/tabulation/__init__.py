"""Read cells and touches off the masks."""

from cyto_kedro.pipelines.tabulation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
