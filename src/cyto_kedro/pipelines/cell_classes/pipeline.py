"""cell_classes: cells whose class a person told -> a classifier of all, and how good it is."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.cell_classes.nodes import train_classes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "cell_classes",
        [
            node(
                train_classes,
                ["cells", "told_classes", "fields", "manifest", "params:cell_classes"],
                ["trained_classifiers", "class_scores"],
                name="train_classes",
            )
        ],
    )
