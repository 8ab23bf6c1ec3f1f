"""networks: who neighbours whom, and who touches whom, in each frame and over the film."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.networks import nodes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "networks",
        [
            node(
                lift(nodes.triangulate, by="fov", out=["fov"] * 3),
                ["track_points", "viability", "manifest", "params:networks.delaunay"],
                ["delaunay_graphs", "delaunay_measures", "delaunay_nodes"],
                name="triangulate",
            ),
            node(
                lift(nodes.connect_contacts, by="fov", out=["fov"] * 4),
                [
                    "contacts",
                    "bouts",
                    "track_points",
                    "viability",
                    "manifest",
                    "params:networks.contact",
                    "params:networks.over_time",
                ],
                ["contact_graphs", "contact_graph_over_time", "contact_measures", "contact_nodes"],
                name="connect_contacts",
            ),
        ],
    )
