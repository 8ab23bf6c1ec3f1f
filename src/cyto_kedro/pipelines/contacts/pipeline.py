"""contacts: kinematics, contacts and bouts, viability, deaths, kills."""

from kedro.pipeline import Pipeline, node

from cyto_kedro.lift import lift
from cyto_kedro.pipelines.contacts import motion_nodes, nodes


def create_pipeline() -> Pipeline:
    """The pipeline."""
    return Pipeline(
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
            node(
                lift(motion_nodes.describe_motion, by="fov/population", out=["fov/population"] * 4),
                [
                    "track_points",
                    "subtracted_drift",
                    "manifest",
                    "params:contacts.msd",
                    "params:contacts.autocorrelation",
                ],
                ["msd", "track_fits", "motion_fits", "velocity_autocorrelation"],
                name="describe_motion",
            ),
            node(
                lift(motion_nodes.smooth_tracks, by="fov/population"),
                ["steps", "track_points", "cells", "manifest", "params:contacts.smoothing"],
                "smoothed_steps",
                name="smooth_tracks",
            ),
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
            node(
                lift(nodes.attribute_kills, by="fov", out=["fov", "fov"]),
                ["observed_deaths", "contacts", "manifest", "params:contacts.kills"],
                ["kills", "deaths"],
                name="attribute_kills",
            ),
        ],
        tags="contacts",
    )
