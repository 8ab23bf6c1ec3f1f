"""films: a film of each field with what was found in it, and clips of single events."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.films import nodes

DRAWN_ON = ["measurement_images", "labels", "track_points"]


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "films",
        [
            node(
                lift(nodes.film_field, by="fov"),
                [
                    *DRAWN_ON,
                    *("viability", "contacts", "deaths", "kills", "frames", "manifest"),
                    "params:films.field",
                ],
                "films",
                name="film_field",
            ),
            node(
                lift(nodes.clip_events, by="fov"),
                [
                    *DRAWN_ON,
                    *("cells", "viability", "deaths", "kills", "bouts", "frames", "manifest"),
                    "params:films.clips",
                ],
                "clips",
                name="clip_events",
            ),
        ],
    )
