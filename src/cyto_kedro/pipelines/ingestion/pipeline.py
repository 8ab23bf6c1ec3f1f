"""ingestion: raw files and the sample sheet -> manifest, fields, frames, quality."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.ingestion.nodes import assess_quality, plan_assay


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "ingestion",
        [
            node(
                plan_assay,
                ["raw_folder", "sample_sheet", "params:assay"],
                ["manifest", "fields", "frames"],
                name="plan_assay",
            ),
            node(
                lift(assess_quality, by="fov"),
                ["raw_images", "manifest"],
                "quality",
                name="assess_quality",
            ),
        ],
    )
