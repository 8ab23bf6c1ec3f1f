"""Correct the images: estimate over the film, apply by block."""

from cyto_kedro.pipelines.preprocessing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
