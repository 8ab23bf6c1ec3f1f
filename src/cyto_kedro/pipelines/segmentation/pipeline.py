"""segmentation: segmentation images -> labels, by population."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.segmentation.nodes import looks_around, segment, subtract
from cyto_kedro.pipelines.segmentation.sizes import estimate_sizes, sizes_used


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "segmentation",
        [
            node(
                lift(estimate_sizes, by="fov/population", used=sizes_used),
                ["segmentation_images", "manifest", "params:segmentation"],
                "cell_sizes",
                name="estimate_sizes",
            ),
            node(
                lift(segment, by="fov/population/tile", looking=looks_around),
                ["segmentation_images", "manifest", "params:segmentation", "cell_sizes"],
                "engine_labels",
                name="segment",
            ),
            node(
                lift(subtract, by="fov/block", out="fov/population/block"),
                ["engine_labels", "manifest", "params:segmentation", "params:subtraction"],
                "labels",
                name="subtract",
            ),
        ],
    )
