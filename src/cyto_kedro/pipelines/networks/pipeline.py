"""networks: triangulation and contact graphs, per frame and over time."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.networks.nodes import connect_contacts, triangulate


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return Pipeline(
        [
            node(
                lift(triangulate, by="fov", out=["fov"] * 2),
                ["track_points", "viability", "manifest", "params:networks.delaunay"],
                ["delaunay_graphs", "delaunay_measures"],
                name="triangulate",
            ),
            node(
                lift(connect_contacts, by="fov", out=["fov"] * 3),
                [
                    "contacts",
                    "bouts",
                    "track_points",
                    "viability",
                    "manifest",
                    "params:networks.contact",
                    "params:networks.over_time",
                ],
                ["contact_graphs", "contact_graph_over_time", "contact_measures"],
                name="connect_contacts",
            ),
        ],
        tags="networks",
    )
