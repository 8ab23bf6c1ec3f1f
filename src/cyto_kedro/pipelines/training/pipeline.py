"""training: corrected masks and their images -> engines, and how good they are."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.training.nodes import train_engines


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "training",
        [
            node(
                train_engines,
                [
                    *("segmentation_images", "labels", "engine_labels", "fields", "manifest"),
                    *("params:segmentation", "params:training"),
                ],
                ["trained_engines", "training_scores"],
                name="train_engines",
            )
        ],
    )
