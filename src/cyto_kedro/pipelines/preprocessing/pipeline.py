"""preprocessing: raw images -> measurement images (by channel), segmentation images (by population)."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.preprocessing.nodes import (
    apply_preprocessing,
    estimate_preprocessing,
    show_preprocessing,
)


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "preprocessing",
        [
            node(
                lift(estimate_preprocessing, by="fov"),
                ["raw_images", "reference_images", "manifest", "params:preprocessing"],
                "preprocessing_state",
                name="estimate_preprocessing",
            ),
            node(
                lift(
                    apply_preprocessing,
                    by="fov/block",
                    out=["fov/channel/block", "fov/population/block"],
                    wide=["raw_images"],
                ),
                ["raw_images", "preprocessing_state", "manifest", "frames", "params:preprocessing"],
                ["measurement_images", "segmentation_images"],
                name="apply_preprocessing",
            ),
            node(
                lift(show_preprocessing, by="fov", out=["fov"] * 3),
                ["raw_images", "preprocessing_state", "manifest", "params:preprocessing"],
                ["preprocessing_effects", "registration", "preprocessing_picture"],
                name="show_preprocessing",
            ),
        ],
    )
