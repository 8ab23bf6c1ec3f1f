"""Typed Kedro datasets: image, label, table, graph, object, model, picture, and the raw films."""

from cyto_kedro.datasets.graph import GraphDataset
from cyto_kedro.datasets.image import ImageDataset
from cyto_kedro.datasets.label import LabelDataset
from cyto_kedro.datasets.model import ModelDataset
from cyto_kedro.datasets.object_ import ObjectDataset
from cyto_kedro.datasets.partitioned import PartitionedDataset
from cyto_kedro.datasets.picture import PictureDataset, TextDataset
from cyto_kedro.datasets.raw import RawFolderDataset
from cyto_kedro.datasets.raw_images import RawImages
from cyto_kedro.datasets.table import TableDataset

__all__ = [
    "GraphDataset",
    "ImageDataset",
    "LabelDataset",
    "ModelDataset",
    "ObjectDataset",
    "PartitionedDataset",
    "PictureDataset",
    "RawFolderDataset",
    "RawImages",
    "TableDataset",
    "TextDataset",
]
