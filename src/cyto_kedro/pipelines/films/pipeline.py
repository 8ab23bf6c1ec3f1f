"""films: a film of each field with what was found in it, and clips of single events."""

from kedro.pipeline import Pipeline

from cyto_kedro.parameters import ReportingSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.generated import generated

DRAWN_ON = {"image": "measurement_images", "label": "labels"}


def create_pipeline() -> Pipeline:
    """The pipeline."""
    field, clips = (ReportingSpec, "films.field"), (ReportingSpec, "films.clips")
    return category(
        "films",
        [
            generated("film_field", field, "fov", {"film": "films"}, reads=DRAWN_ON),
            generated("clip_events", clips, "fov", ["clips"], reads=DRAWN_ON),
        ],
    )
