"""tabulation: labels and measurement images -> cells and touches."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.tabulation.nodes import find_touches, measure_cells


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
            node(
                lift(find_touches, by="fov/block"),
                ["labels", "manifest", "params:tabulation.touches"],
                "touches",
                name="find_touches",
            ),
        ],
    )
