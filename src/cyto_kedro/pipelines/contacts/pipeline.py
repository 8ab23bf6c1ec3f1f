"""contacts: kinematics, contacts and bouts, viability, deaths, kills."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.contacts import (
    death_nodes,
    motion_nodes,
    nodes,
)


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return motion() + touching() + death() + killing()


def motion() -> Pipeline:
    """Drift, steps and motility."""
    return category(
        "contacts.motion",
        [
            node(
                lift(motion_nodes.estimate_drift, by="fov", out=["fov"] * 2),
                ["track_points", "manifest", "params:contacts.drift"],
                ["drift", "subtracted_drift"],
                name="estimate_drift",
            ),
            node(
                lift(motion_nodes.measure_motion, by="fov/population", out=["fov/population"] * 2),
                ["track_points", "subtracted_drift", "manifest", "params:contacts.kinematics"],
                ["steps", "motility"],
                name="measure_motion",
            ),
        ],
    )


def touching() -> Pipeline:
    """Contacts between tracked cells, and bouts of them."""
    return category(
        "contacts.touching",
        [
            node(
                lift(nodes.join_contacts, by="fov"),
                ["touches", "track_points", "manifest", "params:contacts.contacts"],
                "contacts",
                name="join_contacts",
            ),
            node(
                lift(nodes.find_bouts, by="fov"),
                ["contacts", "track_points", "tracks", "manifest", "params:contacts.bouts"],
                "bouts",
                name="find_bouts",
            ),
        ],
    )


def death() -> Pipeline:
    """Who is dead in a frame, who died, and what became of the others."""
    return category(
        "contacts.death",
        [
            node(
                lift(nodes.estimate_viability, by="population"),
                ["cells", "fields", "manifest", "params:contacts.viability"],
                "viability_state",
                name="estimate_viability",
            ),
            node(
                lift(nodes.assess_viability, by="fov/population/block"),
                ["cells", "viability_state", "fields", "manifest", "params:contacts.viability"],
                "viability",
                name="assess_viability",
            ),
            node(
                lift(nodes.call_deaths, by="fov/population", out=["fov/population"] * 2),
                ["viability", "track_points", "tracks", "manifest", "params:contacts.deaths"],
                ["observed_deaths", "fates"],
                name="call_deaths",
            ),
        ],
    )


def killing() -> Pipeline:
    """Who killed whom, and what that makes of each cell."""
    return category(
        "contacts.killing",
        [
            node(
                death_nodes.learn_killing,
                [
                    "observed_deaths",
                    "fates",
                    "contacts",
                    "fields",
                    "frames",
                    "manifest",
                    "params:contacts.kills",
                ],
                "attack_models",
                name="learn_killing",
            ),
            node(
                lift(nodes.attribute_kills, by="fov", out=["fov", "fov"]),
                [
                    "observed_deaths",
                    "fates",
                    "contacts",
                    "attack_models",
                    "fields",
                    "frames",
                    "manifest",
                    "params:contacts.kills",
                ],
                ["kills", "deaths"],
                name="attribute_kills",
            ),
            node(
                lift(death_nodes.tally_cells, by="fov", out=["fov", "fov"]),
                [
                    "fates",
                    "deaths",
                    "kills",
                    "contacts",
                    "bouts",
                    "frames",
                    "manifest",
                    "params:contacts.tallies",
                ],
                ["effectors", "targets"],
                name="tally_cells",
            ),
        ],
    )
