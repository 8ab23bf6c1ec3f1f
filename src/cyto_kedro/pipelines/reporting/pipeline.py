"""reporting: results table, overlays, summary, figures, report."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import ReportingSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.pipelines.reporting import figure_nodes, nodes

FILMS = ["fields", "frames"]


def pictures(names: Iterable[str]) -> list[str]:
    """The catalog's names of figures."""
    return [f"{name}_figure" for name in names]


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return tables() + overlays() + figures() + page()


def tables() -> Pipeline:
    """The results table, headline numbers and warnings."""
    return category(
        "reporting.tables",
        [
            node(
                lift(nodes.tabulate_results, by="fov", out=["fov"] * 2),
                ["cells", "track_points", "viability", "steps", "contacts", "manifest"],
                ["results", "results_csv"],
                name="tabulate_results",
            ),
            node(
                nodes.summarise,
                [
                    *(*FILMS, "quality", "track_points", "motility", "bouts", "fates", "kills"),
                    *("touches", "mask_quality", "cell_sizes", "viability_state", "manifest"),
                ],
                ["summary_by_fov", "summary_by_condition", "warnings"],
                name="summarise",
            ),
        ],
    )


def overlays() -> Pipeline:
    """Masks and tracks drawn on the films."""
    return category(
        "reporting.overlays",
        [
            generated(
                "draw_overlays",
                (ReportingSpec, "films.overlays"),
                "fov",
                {"segmentation": "segmentation_overlay", "tracks": "track_overlay"},
                reads={"image": "measurement_images", "label": "labels"},
            ),
        ],
    )


def figures() -> Pipeline:
    """What is drawn of the tables."""
    return category(
        "reporting.figures",
        [
            node(
                figure_nodes.draw_figures,
                {name: name for name in (*FILMS, "manifest", *figure_nodes.DRAWN)}
                | {name: f"params:{name}" for name in ("comparison", "reporting")},
                pictures(figure_nodes.FIGURES),
                name="draw_figures",
            ),
        ],
    )


def page() -> Pipeline:
    """The report itself."""
    return category(
        "reporting.page",
        [
            node(
                nodes.write_report,
                [
                    *("summary_by_fov", "summary_by_condition", "warnings", "mask_quality"),
                    *("cell_sizes", *FILMS),
                    *("comparisons", "replicate_summaries", "hazards"),
                    *("segmentation_overlay", "track_overlay", "clips", "manifest", "run_info"),
                    "params:reporting",
                    *pictures(figure_nodes.FURTHER),
                    *pictures(figure_nodes.FIGURES),
                ],
                "report",
                name="write_report",
            ),
        ],
    )
