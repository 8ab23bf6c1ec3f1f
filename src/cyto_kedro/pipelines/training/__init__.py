"""Engines learnt from corrected masks, run by name."""

from cyto_kedro.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
