"""reporting: results table, overlays, summary, figures, report."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.reporting import nodes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return Pipeline(
        [
            node(
                lift(nodes.tabulate_results, by="fov", out=["fov"] * 2),
                ["cells", "track_points", "viability", "steps", "contacts", "manifest"],
                ["results", "results_csv"],
                name="tabulate_results",
            ),
            node(
                lift(nodes.draw_overlays, by="fov", out=["fov"] * 2),
                [
                    "measurement_images",
                    "labels",
                    "track_points",
                    "viability",
                    "deaths",
                    "kills",
                    "frames",
                    "manifest",
                    "params:reporting",
                ],
                ["segmentation_overlay", "track_overlay"],
                name="draw_overlays",
            ),
            node(
                nodes.summarise,
                [
                    "fields",
                    "frames",
                    "quality",
                    "track_points",
                    "motility",
                    "bouts",
                    "fates",
                    "deaths",
                    "kills",
                    "manifest",
                ],
                ["summary_by_fov", "summary_by_condition", "warnings"],
                name="summarise",
            ),
            node(
                nodes.draw_figures,
                [
                    "fields",
                    "frames",
                    "quality",
                    "motility",
                    "bouts",
                    "fates",
                    "deaths",
                    "kills",
                    "manifest",
                ],
                [f"{name}_figure" for name in nodes.FIGURES],
                name="draw_figures",
            ),
            node(
                nodes.write_report,
                [
                    "summary_by_fov",
                    "summary_by_condition",
                    "warnings",
                    "fields",
                    "frames",
                    *(f"{name}_figure" for name in nodes.FIGURES),
                    "segmentation_overlay",
                    "track_overlay",
                    "manifest",
                    "run_info",
                    "params:reporting",
                ],
                "report",
                name="write_report",
            ),
        ],
        tags="reporting",
    )
