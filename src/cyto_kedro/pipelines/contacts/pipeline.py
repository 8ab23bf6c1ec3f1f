"""contacts: kinematics, contacts and bouts, viability, deaths, kills."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.parameters import ContactsSpec
from cyto_kedro.pipelines.category import category
from cyto_kedro.pipelines.contacts import death_nodes, motion_nodes, nodes
from cyto_kedro.pipelines.generated import generated


def slot(name: str) -> tuple[type[ContactsSpec], str]:
    """Where an algorithm of this stage is named."""
    return ContactsSpec, f"contacts.{name}"


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return motion() + touching() + death() + killing()


def motion() -> Pipeline:
    """Drift, steps and motility."""
    return category(
        "contacts.motion",
        [
            generated("estimate_drift", slot("drift"), "fov", ["drift", "subtracted_drift"]),
            generated(
                "measure_motion",
                slot("kinematics"),
                "fov/population",
                ["steps", "motility"],
                also=["subtracted_drift"],
                prepare=motion_nodes.less_drift,
            ),
        ],
    )


def touching() -> Pipeline:
    """Contacts between tracked cells, and bouts of them."""
    return category(
        "contacts.touching",
        [
            generated("join_contacts", slot("contacts"), "fov", ["contacts"]),
            generated("find_bouts", slot("bouts"), "fov", ["bouts"]),
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
                lift(nodes.assess_viability, by="fov/block", out="fov/population/block"),
                [
                    *("cells", "touches", "viability_state", "fields", "manifest"),
                    "params:contacts.viability",
                ],
                "viability",
                name="assess_viability",
            ),
            generated(
                "call_deaths",
                slot("deaths"),
                "fov/population",
                {"deaths": "observed_deaths", "fates": "fates"},
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
            generated(
                "attribute_kills",
                slot("kills"),
                "fov",
                ["kills", "deaths"],
                reads={"deaths": "observed_deaths"},
            ),
            generated("tally_cells", slot("tallies"), "fov", ["effectors", "targets"]),
        ],
    )
