"""tracking: cells -> track points and tracks, by population."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.tracking.nodes import track


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return Pipeline(
        [
            node(
                lift(track, by="fov/population", out=["fov/population", "fov/population"]),
                ["cells", "manifest", "frames", "params:tracking"],
                ["track_points", "tracks"],
                name="track",
            ),
        ],
        tags="tracking",
    )
