"""What columns mean, and their units, where schemas do not say."""

from __future__ import annotations

# the last words of a name, longest first -> unit
_UNITS = {
    "_um2_per_min2": "µm²/min²",
    "_px2_per_frame2": "px²/frame²",
    "_um2_per_min": "µm²/min",
    "_px2_per_frame": "px²/frame",
    "_rad_per_frame": "rad/frame",
    "_rad_per_min": "rad/min",
    "_um_per_min": "µm/min",
    "_px_per_frame": "px/frame",
    "_per_px2": "1/px²",
    "_per_px3": "1/px³",
    "_per_mm2": "1/mm²",
    "_per_min": "1/min",
    "_per_h": "1/h",
    "_um2": "µm²",
    "_px2": "px²",
    "_um": "µm",
    "_px": "px",
    "_min": "min",
    "_s": "s",
    "_rad": "rad",
    "_frames": "frames",
    "_frame": "frame",
}
# pixels counted, not measured along a line
_AREAS = ("area_px", "overlap_px", "min_visible_px", "min_size_px")
# names whose last word is not a unit, or that have a unit without saying so
_OTHERS = {
    "frame": "frame",
    "t": "frame",
    "x": "px",
    "y": "px",
    "velocity_x": "px/frame",
    "velocity_y": "px/frame",
    "block_length": "frames",
    "memory": "frames",
    "tiles.overlap_px": "px",
    "dt_frames_from_previous": "frames",
}

_SIDES = {
    side: {
        f"population_{side}": f"population of side {side}",
        f"label_{side}": f"label of side {side}",
        f"track_id_{side}": f"track of side {side}",
    }
    for side in "ab"
}
# what a column means where its schema does not say; `table.column` goes before `column`
MEANING = {
    "replicate": "from the sample sheet, or the field",
    "cluster": "what is independent of each other: replicates, or pairs of them",
    "measure": "what the response is",
    "n_fovs": "fields that it is of",
    "event": "contact, death, kill, or one of `events.define`",
    "sum": "of the column over these tracks",
    **{
        f"{number}_{end}": "standard error" if end == "se" else "95 % limit"
        for number in ("ec50", "hill", "at_zero", "at_infinity")
        for end in ("low", "high", "se")
    },
    "fov": "field of view",
    "population": "cells of one kind, as declared in the assay",
    "channel": "channel of the raw film",
    "frame": "number of the frame, from 0",
    "label": "number of the mask in its frame",
    "time_min": "time of the frame",
    "track_id": "number of the track in its field and population",
    "end_reason": "why the track ends: film_end, border (left the view), lost, division, merge",
    "first_frame": "first frame of the track",
    "last_frame": "last frame of the track",
    "n_points": "frames in which the cell was seen",
    **_SIDES["a"],
    **_SIDES["b"],
    "distance_px": "gap between the masks; 0 where they share an edge or overlap",
    "distance_um": "the same",
    "contact_length_px": "outline within reach of the other mask, mean of both sides",
    "contact_length_um": "the same",
    "overlap_px": "pixels in both masks",
    "alive_probability": "0.5 at the threshold, near 1 without death dye",
    # fields, frames, quality
    "n_frames": "length of the film",
    "height_px": "rows of an image",
    "width_px": "columns of an image",
    "pixel_size_um": "side of a pixel",
    "time_s": "time from the film's first frame, plus the field's time offset",
    "excluded": "left out by the sample sheet: the frame holds no cells",
    "mean": "mean of all pixels",
    "sd": "standard deviation of all pixels",
    "min": "smallest pixel",
    "max": "largest pixel",
    "saturated_fraction": "share of pixels at the largest value the file can hold",
    # cells and track points
    "x_px": "centre of the mask, column",
    "y_px": "centre of the mask, row",
    "x_um": "the same",
    "y_um": "the same",
    "bbox_y0_px": "first row of the cell",
    "bbox_x0_px": "first column of the cell",
    "area_px": "pixels of the mask",
    "area_um2": "the same",
    "perimeter_px": "length of the outline",
    "perimeter_um": "the same",
    "major_axis_px": "long axis of the ellipse with the same second moments",
    "minor_axis_px": "short axis of that ellipse",
    "eccentricity": "of that ellipse: 0 a circle, towards 1 a line",
    "orientation_rad": "angle of the long axis from the y axis, as in scikit-image",
    "solidity": "area over the area of the convex hull",
    "feret_px": "largest distance across the mask",
    "track_points.x_px": "centre of the mask, or interpolated, column",
    "track_points.y_px": "centre of the mask, or interpolated, row",
    "track_points.label": "mask that the track has here; empty where interpolated",
    "interpolated": "the cell was not seen here; the position lies between those before and after",
    "parent_track_id": "the track that divided into this one",
    # steps, motility
    "dt_frames_from_previous": "frames since the cell was last seen",
    "dt_from_previous_min": "time since the cell was last seen",
    "displacement_from_previous_px": "distance from where it was last seen",
    "displacement_from_previous_um": "the same",
    "displacement_to_next_px": "distance to where it is seen next",
    "velocity_x_px_per_frame": "displacement from the previous point over the time between, along x",
    "velocity_y_px_per_frame": "along y",
    "velocity_x_um_per_min": "along x",
    "velocity_y_um_per_min": "along y",
    "speed_px_per_frame": "length of the velocity",
    "speed_um_per_min": "the same",
    "turning_angle_rad": "between the step into the point and the step out of it, 0 (straight on) to pi",
    "net_displacement_um": "the same",
    "motility.net_displacement_px": "from the first to the last point",
    "duration_frames": "last frame less first",
    "duration_min": "time between them",
    "path_length_px": "sum of the steps",
    "path_length_um": "the same",
    "mean_speed_px_per_frame": "path over duration",
    "mean_speed_um_per_min": "the same",
    # bouts
    "start_frame": "first frame of contact",
    "end_frame": "last frame of contact",
    "bouts.n_frames": "frames from start to end, bridged gaps included",
    "n_contact_frames": "of these, frames in contact",
    "start_min": "time of the first frame",
    "bouts.duration_min": "from start to end, plus one frame interval",
    "censored_start": "it may have begun earlier: unseen, or before the film",
    "censored_end": "it may have lasted longer",
    # viability, fates, deaths, kills
    "marker_signal": "death marker within the mask",
    "dead": "the signal is above the threshold",
    "dead_at_first_sight": "dead when first seen, so its death was not observed",
    "died": "its death was observed",
    "death_frame": "first frame called dead",
    "entry_min": "time of the first frame seen",
    "deaths.time_min": "time of that frame",
    "target_population": "population of the cell that died",
    "target_track_id": "its track",
    "effector_population": "population of the cell blamed",
    "effector_track_id": "its track",
    "death_min": "time of the death",
    "share": "share of this effector in the death",
    "first_contact_frame": "first frame of contact in the window before death",
    "last_contact_frame": "last one",
    # networks
    "network": "delaunay (neighbours) or contact",
    "n_nodes": "cells",
    "n_edges": "pairs of neighbours, or of cells in contact",
    "n_components": "groups that hang together",
    "largest_component": "cells in the largest group",
    "mean_degree": "mean number of neighbours of a cell",
    "mean_clustering": "mean local clustering coefficient (Watts & Strogatz 1998)",
    "mean_edge_px": "delaunay: distance of the centres; contact: gap between the masks",
    # results
    "id": "number of the mask in its frame (label)",
    "results.track_id": "its track; empty where it has none",
    "x": "centre of the mask, column",
    "y": "centre of the mask, row",
    "z": "0: films are flat",
    "t": "number of the frame, from 0",
    "velocity_x": "from the previous point",
    "velocity_y": "from the previous point",
    "velocity_z": "0, empty where the velocity is unknown",
    "contact": "in contact with any tracked cell",
    "contact_count": "number of cells it is in contact with",
}


def unit(name: str) -> str:
    """The unit that the last word of `name` says, or an empty text."""
    if name in _OTHERS:
        return _OTHERS[name]
    if name.endswith(_AREAS):
        return "px²"
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def meaning(table_name: str, column: str, described: str | None) -> str:
    """What a column means: the schema's own words, else those of `MEANING`."""
    return described or MEANING.get(f"{table_name}.{column}") or MEANING[column]
