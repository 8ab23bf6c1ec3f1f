"""Motion: per step, per track, per population."""

from __future__ import annotations

from pandera.typing import Series

from cyto_kedro.schemas.base import PerFov, PerPopulation, PerTrack, known, nullable


class Steps(PerTrack, key="fov population track_id frame"):
    """Kinematics of one track point. `from_previous` looks back, `to_next` ahead."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    dt_frames_from_previous: Series[float] = nullable()
    dt_from_previous_min: Series[float] = nullable()
    displacement_from_previous_px: Series[float] = nullable()
    displacement_from_previous_um: Series[float] = nullable()
    displacement_to_next_px: Series[float] = nullable()
    velocity_x_px_per_frame: Series[float] = nullable()
    velocity_y_px_per_frame: Series[float] = nullable()
    velocity_x_um_per_min: Series[float] = nullable()
    velocity_y_um_per_min: Series[float] = nullable()
    speed_px_per_frame: Series[float] = nullable()
    speed_um_per_min: Series[float] = nullable()
    turning_angle_rad: Series[float] = nullable()
    net_displacement_px: Series[float] = known("from the track's first point")
    net_displacement_um: Series[float] = nullable()
    # Tables made by hand, or by another tool, may lack these.
    displacement_to_next_um: Series[float] | None = nullable("the same")
    central_speed_px_per_frame: Series[float] | None = nullable(
        "from the previous to the next point (Imaris' Speed)"
    )
    central_speed_um_per_min: Series[float] | None = nullable("the same")
    path_length_px: Series[float] | None = nullable(
        "of the track up to here; empty where interpolated"
    )
    path_length_um: Series[float] | None = nullable("the same")


class Motility(PerTrack, key="fov population track_id"):
    """Kinematics of a whole track."""

    n_points: Series[int] = known(ge=1)
    duration_frames: Series[int] = known(ge=0)
    duration_min: Series[float] = nullable()
    path_length_px: Series[float]
    path_length_um: Series[float] = nullable()
    net_displacement_px: Series[float]
    net_displacement_um: Series[float] = nullable()
    straightness: Series[float] = nullable("net / path, 0 to 1")
    mean_speed_px_per_frame: Series[float] = nullable()
    mean_speed_um_per_min: Series[float] = nullable()
    arrest_coefficient: Series[float] = nullable("share of time arrested")
    # Tables made by hand, or by another tool, may lack these.
    max_displacement_px: Series[float] | None = nullable("largest distance from the first point")
    max_displacement_um: Series[float] | None = nullable("the same")
    displacement_ratio: Series[float] | None = nullable("net over largest displacement, 0 to 1")
    outreach_ratio: Series[float] | None = nullable("largest displacement over path, 0 to 1")
    asphericity: Series[float] | None = nullable(
        "of the cloud of positions: 0 round, 1 a line; empty below three points"
    )
    radius_of_gyration_px: Series[float] | None = nullable(
        "root mean square distance from the mean position"
    )
    radius_of_gyration_um: Series[float] | None = nullable("the same")
    mean_step_speed_px_per_frame: Series[float] | None = nullable(
        "mean of the steps' speeds, each counted once"
    )
    median_speed_px_per_frame: Series[float] | None = nullable("of the steps' speeds")
    sd_speed_px_per_frame: Series[float] | None = nullable("of the steps' speeds, n - 1")
    min_speed_px_per_frame: Series[float] | None = nullable("of the steps' speeds")
    max_speed_px_per_frame: Series[float] | None = nullable("of the steps' speeds")
    mean_step_speed_um_per_min: Series[float] | None = nullable("the same")
    median_speed_um_per_min: Series[float] | None = nullable("the same")
    sd_speed_um_per_min: Series[float] | None = nullable("the same")
    min_speed_um_per_min: Series[float] | None = nullable("the same")
    max_speed_um_per_min: Series[float] | None = nullable("the same")
    mean_turning_angle_rad: Series[float] | None = nullable(
        "0 straight on, pi / 2 without memory of direction"
    )
    mean_directional_change_rad_per_frame: Series[float] | None = nullable(
        "mean of turning angle over the time of the step out"
    )
    mean_directional_change_rad_per_min: Series[float] | None = nullable("the same")
    directional_persistence: Series[float] | None = nullable(
        "mean cosine of the turning angles, -1 to 1"
    )


class Drift(PerFov, key="fov frame"):
    """Common motion of a field's cells, a row per frame; see `CommonDrift`."""

    frame: Series[int] = known("number of the frame, from 0", ge=0)
    n_cells: Series[int] = known("cells measured here and in the frame before", ge=0)
    drift_x_px: Series[float] = known("from the frame before to this one")
    drift_error_x_px: Series[float] = nullable("standard error of the mean; empty below two cells")
    total_drift_x_px: Series[float] = known("from the first frame to this one")
    drift_y_px: Series[float] = known("from the frame before to this one")
    drift_error_y_px: Series[float] = nullable("standard error of the mean; empty below two cells")
    total_drift_y_px: Series[float] = known("from the first frame to this one")
    drift_x_um: Series[float] = nullable("the same")
    drift_error_x_um: Series[float] = nullable("the same")
    total_drift_x_um: Series[float] = nullable("the same")
    drift_y_um: Series[float] = nullable("the same")
    drift_error_y_um: Series[float] = nullable("the same")
    total_drift_y_um: Series[float] = nullable("the same")
    reference: Series[str] = known("population whose cells were averaged, or all")
    subtracted: Series[bool] = known(
        "whether motion measures are of positions less the total drift"
    )


class Msd(PerPopulation, key="fov population lag"):
    """Mean squared displacement of a population's cells over a lag."""

    lag: Series[int] = known("in median frame intervals", ge=1)
    lag_frames: Series[float] = known("mean frames between the points of a pair")
    lag_min: Series[float] = nullable("mean time between them")
    n_tracks: Series[int] = known("tracks with a pair at this lag", ge=0)
    n_pairs: Series[int] = known("pairs of points", ge=1)
    n_independent: Series[float] = known("displacements that do not overlap, about", ge=0)
    msd_px2: Series[float] = nullable("mean squared displacement")
    msd_low_px2: Series[float] = nullable("95 % interval")
    msd_high_px2: Series[float] = nullable("95 % interval")
    msd_um2: Series[float] = nullable("the same")
    msd_low_um2: Series[float] = nullable("95 % interval")
    msd_high_um2: Series[float] = nullable("95 % interval")


class TrackFits(PerTrack, key="fov population track_id"):
    """Exponent and diffusion coefficient of each track; intervals hold for Brownian motion."""

    n_points: Series[int] = known("frames in which the cell was seen", ge=1)
    n_lags: Series[int] = known("lags used; fewer than three give no fit", ge=0)
    exponent: Series[float] = nullable("slope of log MSD over log lag")
    exponent_low: Series[float] = nullable("95 % interval")
    exponent_high: Series[float] = nullable("95 % interval")
    diffusion_px2_per_frame: Series[float] = nullable("mean of MSD / (2 d t)")
    diffusion_low_px2_per_frame: Series[float] = nullable("95 % interval")
    diffusion_high_px2_per_frame: Series[float] = nullable("95 % interval")
    diffusion_um2_per_min: Series[float] = nullable("the same")
    diffusion_low_um2_per_min: Series[float] = nullable("95 % interval")
    diffusion_high_um2_per_min: Series[float] = nullable("95 % interval")


class MotionFits(PerPopulation, key="fov population"):
    """What is fitted to the curves of a population: power law, Fürth's formula, exponential."""

    n_tracks: Series[int] = known("tracks of two points or more", ge=0)
    n_lags: Series[int] = known("lags used", ge=0)
    exponent: Series[float] = nullable("slope of log MSD over log lag: 1 a random walk, 2 straight")
    exponent_low: Series[float] = nullable("95 % interval")
    exponent_high: Series[float] = nullable("95 % interval")
    diffusion_px2_per_frame: Series[float] = nullable("mean of MSD / (2 d t) over the lags used")
    diffusion_low_px2_per_frame: Series[float] = nullable("95 % interval")
    diffusion_high_px2_per_frame: Series[float] = nullable("95 % interval")
    msd_at_1_frame_px2: Series[float] = nullable("power law at a lag of 1")
    furth_speed_px_per_frame: Series[float] = nullable("root mean square speed, by Fürth's formula")
    furth_speed_low_px_per_frame: Series[float] = nullable("95 % interval")
    furth_speed_high_px_per_frame: Series[float] = nullable("95 % interval")
    persistence_frames: Series[float] = nullable("persistence time, by Fürth's formula")
    persistence_low_frames: Series[float] = nullable("95 % interval")
    persistence_high_frames: Series[float] = nullable("95 % interval")
    position_error_px: Series[float] = nullable(
        "error of a position along one axis, by Fürth's formula"
    )
    autocorrelation_persistence_frames: Series[float] | None = nullable(
        "persistence time, from velocity autocorrelation"
    )
    autocorrelation_persistence_low_frames: Series[float] | None = nullable("95 % interval")
    autocorrelation_persistence_high_frames: Series[float] | None = nullable("95 % interval")
    diffusion_um2_per_min: Series[float] = nullable("the same")
    diffusion_low_um2_per_min: Series[float] = nullable("95 % interval")
    diffusion_high_um2_per_min: Series[float] = nullable("95 % interval")
    msd_at_1_min_um2: Series[float] = nullable("power law at a lag of 1")
    furth_speed_um_per_min: Series[float] = nullable("the same")
    furth_speed_low_um_per_min: Series[float] = nullable("95 % interval")
    furth_speed_high_um_per_min: Series[float] = nullable("95 % interval")
    persistence_min: Series[float] = nullable("the same")
    persistence_low_min: Series[float] = nullable("95 % interval")
    persistence_high_min: Series[float] = nullable("95 % interval")
    position_error_um: Series[float] = nullable("the same")
    autocorrelation_persistence_min: Series[float] | None = nullable("the same")
    autocorrelation_persistence_low_min: Series[float] | None = nullable("95 % interval")
    autocorrelation_persistence_high_min: Series[float] | None = nullable("95 % interval")
    note: Series[str] = known("why values are empty")


class VelocityAutocorrelation(PerPopulation, key="fov population lag"):
    """Mean product of a cell's velocities a lag apart."""

    lag: Series[int] = known("in median frame intervals", ge=0)
    lag_min: Series[float] = nullable("the same, in minutes")
    n_tracks: Series[int] = known("tracks with a pair of steps at this lag", ge=0)
    n_pairs: Series[int] = known("pairs of steps", ge=1)
    autocorrelation_px2_per_frame2: Series[float] = known("mean product of velocities")
    autocorrelation_um2_per_min2: Series[float] = nullable("the same")
    normalised: Series[float] = nullable("over its value at lag 0")
    normalised_low: Series[float] = nullable("95 % interval")
    normalised_high: Series[float] = nullable("95 % interval")
    mean_cosine: Series[float] = nullable("of the angle between the steps")


class SmoothedSteps(PerTrack, key="fov population track_id frame"):
    """Smoothed columns of tracks: ``<column>_smoothed``, its gradients and what was interpolated."""

    frame: Series[int] = known(ge=0)
    time_min: Series[float] = nullable()
    interpolated: Series[bool] = known("the cell was not seen here")
