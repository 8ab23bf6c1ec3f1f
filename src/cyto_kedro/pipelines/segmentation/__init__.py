"""From images to labels, one engine per population."""

from cyto_kedro.pipelines.segmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
