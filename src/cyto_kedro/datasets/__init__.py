"""Typed Kedro datasets: image, label, table, graph, object, model, picture, and the raw films.

Each is imported when it is first asked for: a worker of a cluster starts with those of its node only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyto_kedro.datasets.clips import ClipsDataset
    from cyto_kedro.datasets.database import DatabaseDataset
    from cyto_kedro.datasets.graph import GraphDataset
    from cyto_kedro.datasets.image import ImageDataset
    from cyto_kedro.datasets.image_partitions import ImagePartitions
    from cyto_kedro.datasets.label import LabelDataset
    from cyto_kedro.datasets.label_films import LabelFilms
    from cyto_kedro.datasets.model import ModelDataset
    from cyto_kedro.datasets.object_ import ObjectDataset
    from cyto_kedro.datasets.partitioned import PartitionedDataset
    from cyto_kedro.datasets.picture import PictureDataset, TextDataset
    from cyto_kedro.datasets.raw import RawFolderDataset
    from cyto_kedro.datasets.raw_images import RawImages
    from cyto_kedro.datasets.reference import ReferenceImagesDataset
    from cyto_kedro.datasets.sheet import SampleSheetDataset
    from cyto_kedro.datasets.table import TableDataset
    from cyto_kedro.datasets.trackmate import TrackMateDataset
    from cyto_kedro.datasets.trained import TrainedEngines

__all__ = [
    "ClipsDataset",
    "DatabaseDataset",
    "GraphDataset",
    "ImageDataset",
    "ImagePartitions",
    "LabelDataset",
    "LabelFilms",
    "ModelDataset",
    "ObjectDataset",
    "PartitionedDataset",
    "PictureDataset",
    "RawFolderDataset",
    "RawImages",
    "ReferenceImagesDataset",
    "SampleSheetDataset",
    "TableDataset",
    "TextDataset",
    "TrackMateDataset",
    "TrainedEngines",
]

_MODULES = {
    "ClipsDataset": "clips",
    "DatabaseDataset": "database",
    "GraphDataset": "graph",
    "ImageDataset": "image",
    "ImagePartitions": "image_partitions",
    "LabelDataset": "label",
    "LabelFilms": "label_films",
    "ModelDataset": "model",
    "ObjectDataset": "object_",
    "PartitionedDataset": "partitioned",
    "PictureDataset": "picture",
    "RawFolderDataset": "raw",
    "RawImages": "raw_images",
    "ReferenceImagesDataset": "reference",
    "SampleSheetDataset": "sheet",
    "TableDataset": "table",
    "TextDataset": "picture",
    "TrackMateDataset": "trackmate",
    "TrainedEngines": "trained",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
