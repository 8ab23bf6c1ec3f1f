"""Contacts between tracked cells, bouts, and what is told of them by cell, pair and frame."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from cyto_kedro.schemas.base import ROLES, PerFov, PerPopulation, Table, known, nullable

# why a bout is seen to start or end where it does, see `Bouts`
BOUT_CAUSES = ("seen", "unseen", "pause", "film", "track_a", "track_b", "tracks")
_PAIR = "population_a track_id_a population_b track_id_b"


class Pair(PerFov):
    population_a: Series[str]
    track_id_a: Series[int] = known(ge=1)
    population_b: Series[str]
    track_id_b: Series[int] = known(ge=1)


class Contacts(Pair, key=f"fov frame {_PAIR}"):
    """A touch between two tracked cells, one row per frame and pair (sides as in `Touches`).

    Columns measured on masks are empty where a definition by position (centroid distance, k
    nearest) finds a pair whose masks are not within reach of each other.
    """

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    distance_px: Series[float] = nullable(ge=0)
    distance_um: Series[float] = nullable()
    contact_length_px: Series[float] = nullable(ge=0)
    contact_length_um: Series[float] = nullable()
    overlap_px: Series[float] = nullable(ge=0)
    # Tables made by hand, or by another tool, may lack these.
    perimeter_share_a: Series[float] | None = nullable(
        "share of the outline of a within reach of b", ge=0, le=1
    )
    perimeter_share_b: Series[float] | None = nullable(
        "share of the outline of b within reach of a", ge=0, le=1
    )
    centre_distance_px: Series[float] | None = nullable(
        "distance of the two positions, centre to centre", ge=0
    )
    centre_distance_um: Series[float] | None = nullable("the same")
    repaired: Series[bool] | None = known(
        "one of the two was repaired here: its mask is of two cells, or lacks a piece"
    )
    definition: Series[str] | None = known("what counts as a contact")


class Bouts(Pair, key=f"fov {_PAIR} bout"):
    """A run of contact of one pair. Frames are inclusive; bridged gaps count to `n_frames`.

    `start_cause` and `end_cause` say what stands before and after it: ``seen``, both cells were
    seen, apart; ``unseen``, one of them was not detected, so contact may have begun earlier or
    lasted longer; ``pause``, the film pauses, and so it is with that; ``film``, the film begins or
    ends; ``track_a``, ``track_b``, ``tracks``, the track of that side, or of both, begins or ends.
    """

    bout: Series[int] = known("1 for the pair's first bout", ge=1)
    start_frame: Series[int] = known(ge=0)
    end_frame: Series[int] = known(ge=0)
    n_frames: Series[int] = known(ge=1)
    n_contact_frames: Series[int] = known(ge=1)
    start_min: Series[float] = nullable()
    duration_min: Series[float] = nullable()
    censored_start: Series[bool]
    censored_end: Series[bool]
    # Tables made by hand, or by another tool, may lack these.
    n_repaired_frames: Series[int] | None = known(
        "of `n_frames`, those in which one of the two was repaired", ge=0
    )
    start_cause: Series[str] | None = known(
        "what stands before the bout: see above", isin=BOUT_CAUSES
    )
    end_cause: Series[str] | None = known("what stands after the bout: see above", isin=BOUT_CAUSES)
    recontact_frames: Series[float] | None = nullable(
        "frames since the pair's bout before ended; empty: first", ge=1
    )
    recontact_min: Series[float] | None = nullable("the same")


class Encounters(Pair, key=f"fov {_PAIR}"):
    """One row per pair that was ever in contact: how often, how long, how soon again."""

    first_contact_frame: Series[int] = known("start of the first bout", ge=0)
    first_contact_min: Series[float] = nullable("the same")
    first_contact_censored: Series[bool] = known(
        "in contact when both were first seen, so it may have begun before"
    )
    last_contact_frame: Series[int] = known("end of the last bout", ge=0)
    n_bouts: Series[int] = known("bouts of the pair", ge=1)
    contact_frames: Series[int] = known("frames in contact, gaps left out", ge=1)
    contact_min: Series[float] = nullable("durations of the bouts added up, bridged gaps included")
    mean_recontact_frames: Series[float] = nullable(
        "mean from the end of a bout to the start of the next", ge=1
    )
    mean_recontact_min: Series[float] = nullable("the same")
    joint_frames: Series[int] = known("frames in which both cells were seen", ge=1)
    joint_min: Series[float] = nullable("the same: a frame lasts the median interval of the film")
    contact_share: Series[float] = known("contact frames over joint frames", gt=0, le=1)
    bouts_per_hour: Series[float] = nullable("bouts per hour in which both cells were seen")


class Neighbours(PerFov, key="fov frame population track_id neighbour_population"):
    """What is around a cell in a frame: one row per track point and population of neighbours."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    population: Series[str]
    track_id: Series[int] = known(ge=1)
    interpolated: Series[bool]
    neighbour_population: Series[str] = known("population looked for around it")
    neighbour_role: Series[str] = known("role of that population", isin=ROLES)
    n_contacts: Series[pd.Int64Dtype] = nullable(
        "its contacts; empty where the cell was interpolated", ge=0
    )
    partner_track_ids: Series[str] = nullable("whom it is in contact with, track ids joined by `;`")
    nearest_track_id: Series[pd.Int64Dtype] = nullable("nearest other cell; empty without one")
    nearest_distance_px: Series[float] = nullable("its distance, centre to centre", ge=0)
    nearest_distance_um: Series[float] = nullable("the same")
    radius_um: Series[float] = nullable("radius of the surroundings; empty without a pixel size")
    n_within_radius: Series[pd.Int64Dtype] = nullable(
        "other cells whose centre is within the radius", ge=0
    )
    inside_share: Series[float] = nullable("share of the surroundings inside the image", ge=0, le=1)
    density_per_1000um2: Series[float] = nullable(
        "cells within the radius per 1000 µm² inside the image"
    )


class Conjugation(PerFov, key="fov frame"):
    """Effectors and targets of one frame, and how many of them are in contact with the other.

    Only cells that were detected in the frame, and only living ones where `dead_left_out`.
    """

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    dead_left_out: Series[bool] = known("dead cells were known and do not count")
    n_effectors: Series[int] = known("effectors in the frame, or tile", ge=0)
    n_targets: Series[int] = known("targets in the frame, or tile", ge=0)
    effector_target_ratio: Series[float] = nullable(
        "effectors over targets; empty without a target"
    )
    n_effectors_in_contact: Series[int] = known("effectors in contact with a target", ge=0)
    n_targets_in_contact: Series[int] = known("targets in contact with an effector", ge=0)
    effector_contact_share: Series[float] = nullable(
        "of all effectors; empty without one", ge=0, le=1
    )
    target_contact_share: Series[float] = nullable("of all targets; empty without one", ge=0, le=1)
    n_conjugates: Series[int] = known("pairs of an effector and a target", ge=0)
    n_unknown: Series[int] | None = known("cells in no other count: alive or dead is unknown", ge=0)


class ConjugationTiles(Conjugation, key="fov frame tile_row tile_column"):
    """`Conjugation` in equal tiles of the image; a cell is in the tile of its position."""

    tile_row: Series[int] = known("from the top, from 0", ge=0)
    tile_column: Series[int] = known("from the left, from 0", ge=0)
    tile_y0_px: Series[float] = known("upper edge of the tile")
    tile_x0_px: Series[float] = known("left edge of the tile")
    tile_height_um: Series[float] = nullable("height of the tile", gt=0)
    tile_width_um: Series[float] = nullable("width of the tile", gt=0)


class Dwell(Table, key="level group population_a population_b time_min time_frames"):
    """Survival of contacts: share of bouts that last longer than a time, by Kaplan and Meier."""

    level: Series[str] = known("what bouts are pooled over", isin=("condition", "fov"))
    group: Series[str] = known("name of the condition or field")
    population_a: Series[str]
    population_b: Series[str]
    time_min: Series[float] = nullable(
        "time since contact began; empty where times are unknown", ge=0
    )
    time_frames: Series[float] = nullable("the same in frames, only where times are unknown", ge=0)
    n_at_risk: Series[int] = known("bouts that last at least this long", ge=0)
    n_ended: Series[int] = known("of them, seen to end at this time", ge=0)
    n_censored: Series[int] = known("of them, lost from view at this time", ge=0)
    survival: Series[float] = known("share that lasts longer", ge=0, le=1)
    survival_low: Series[float] = nullable("lower confidence limit")
    survival_high: Series[float] = nullable("upper confidence limit")
    n_bouts: Series[int] = known("bouts that the curve is of", ge=0)
    n_left_out: Series[int] = known("bouts without a seen start, or a time", ge=0)


class CellDensity(PerPopulation, key="fov population frame label of_population"):
    """Kernel density of a population at a cell: one row per cell and population looked at."""

    frame: Series[int] = known(ge=0)
    label: Series[int] = known(ge=1)
    of_population: Series[str] = known("whose density; a cell never counts itself")
    density_per_px2: Series[float] = nullable(
        "cells per area; empty where no bandwidth can be told", ge=0
    )
    density_per_mm2: Series[float] = nullable("the same", ge=0)
    # Tables made by an earlier version lack these.
    gradient_x_per_px3: Series[float] | None = nullable("its gradient, to the right")
    gradient_y_per_px3: Series[float] | None = nullable("its gradient, downwards")
    bandwidth_px: Series[float] = nullable("standard deviation of the kernel", gt=0)
    bandwidth_um: Series[float] = nullable("the same", gt=0)
