"""comparison: survival curves, contact and death, conditions compared by replicates."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.comparison import nodes

FILMS = ["fields", "frames"]
PLAN = ["manifest", "params:comparison"]


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "comparison",
        [
            node(
                nodes.estimate_survival,
                [*FILMS, "fates", *PLAN],
                ["survival_curves", "survival_bounds"],
                name="estimate_survival",
            ),
            node(
                nodes.relate_contact,
                [*FILMS, "fates", "bouts", *PLAN],
                ["contact_survival", "hazards"],
                name="relate_contact",
            ),
            node(
                nodes.compare_conditions,
                [
                    *(*FILMS, "track_points", "motility", "bouts", "fates", "kills"),
                    *PLAN,
                ],
                [*nodes.COMPARED],
                name="compare_conditions",
            ),
        ],
    )
