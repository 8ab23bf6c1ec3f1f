"""Survival, and conditions compared by their replicates."""

from cyto_kedro.pipelines.comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
