"""tracking: cells -> track points and tracks, by population; and how far they are trusted."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import TabulationSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.pipelines.tracking.nodes import end_tracks, track, used_by_linker

QUALITY = (TabulationSpec, "tabulation.quality")


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "tracking",
        [
            node(
                lift(track, by="fov/population", used=used_by_linker),
                [
                    "cells",
                    "labels",
                    "segmentation_images",
                    "manifest",
                    "frames",
                    "params:tracking",
                ],
                "track_points",
                name="track",
            ),
            node(
                lift(end_tracks, by="fov/population"),
                ["track_points", "cells", "manifest", "params:tracking"],
                "tracks",
                name="end_tracks",
            ),
            generated("judge_masks", QUALITY, "fov/population", ["mask_quality"]),
        ],
    )
