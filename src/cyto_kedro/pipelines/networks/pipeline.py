"""networks: who neighbours whom, and who touches whom, in each frame and over the film."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import NetworksSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.pipelines.networks import nodes

GRAPHS = {"network": "graphs", "measures": "measures", "nodes": "nodes"}


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return category(
        "networks",
        [
            generated(
                "triangulate",
                (NetworksSpec, "networks.delaunay"),
                "fov",
                {name: f"delaunay_{dataset}" for name, dataset in GRAPHS.items()},
                reads={"contacts": None},
                also=["viability"],
                prepare=nodes.with_dead,
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
