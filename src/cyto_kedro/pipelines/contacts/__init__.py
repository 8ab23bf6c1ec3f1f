"""Motion, contact, death and kill."""

from cyto_kedro.pipelines.contacts.pipeline import create_pipeline

__all__ = ["create_pipeline"]
