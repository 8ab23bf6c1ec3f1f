"""Cell graphs: triangulation and contact."""

from cyto_kedro.pipelines.networks.pipeline import create_pipeline

__all__ = ["create_pipeline"]
