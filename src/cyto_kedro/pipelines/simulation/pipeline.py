"""simulation: an assay with known truth; not part of the analysis."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.simulation.nodes import simulate, write_sample_sheet


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "simulation",
        [
            node(
                simulate,
                ["params:simulation"],
                [
                    "simulated_films",
                    "true_labels",
                    "true_track_points",
                    "true_tracks",
                    "true_contacts",
                    "true_deaths",
                    "true_kills",
                ],
                name="simulate",
            ),
            node(
                write_sample_sheet,
                ["params:simulation"],
                "simulated_sample_sheet",
                name="write_sample_sheet",
            ),
        ],
    )
