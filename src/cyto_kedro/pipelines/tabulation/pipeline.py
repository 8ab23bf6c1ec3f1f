"""tabulation: labels and images -> cells, touches, and how well masks and image agree."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import TabulationSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.pipelines.tabulation.nodes import measure_cells, with_others

TOUCHES = (TabulationSpec, "tabulation.touches")
EVIDENCE = (TabulationSpec, "tabulation.evidence")


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "tabulation",
        [
            node(
                lift(measure_cells, by="fov/population/block"),
                [
                    "labels",
                    "measurement_images",
                    "registration",
                    "manifest",
                    "frames",
                    "params:tabulation.features",
                    "params:tabulation.steps",
                ],
                "cells",
                name="measure_cells",
            ),
            generated(
                "find_touches",
                TOUCHES,
                "fov/block",
                ["touches"],
                reads={"label": "labels", "image": "measurement_images"},
            ),
            generated(
                "weigh_masks",
                EVIDENCE,
                "fov/population/block",
                ["mask_evidence"],
                reads={
                    **{"label": "labels", "image": "segmentation_images"},
                    **{"other_labels": "labels", "other_images": "segmentation_images"},
                },
                wide=dict.fromkeys(("labels", "segmentation_images", "manifest"), "population"),
                prepare=with_others,
            ),
        ],
    )
