"""Kinematics of real tracks beside what Imaris, TrackMate and celltrackR say of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import lsqr

from cyto_kedro.algorithms.contacts.kinematics import Kinematics

pytestmark = pytest.mark.shared


def points_of(track, frame, time_min, **axes) -> pd.DataFrame:
    """Track points of plain arrays: a pixel is a micrometre."""
    table = pd.DataFrame(
        {
            "fov": "A",
            "population": "T",
            "track_id": np.asarray(track),
            "frame": np.asarray(frame),
            "time_min": np.asarray(time_min, float),
            "interpolated": False,
        }
    )
    both = {f"{axis}_{u}": np.asarray(v, float) for axis, v in axes.items() for u in ("px", "um")}
    return table.assign(**both)


def run(points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = Kinematics()({"dataframe": points})
    return found["steps"], found["motility"]


@pytest.fixture(scope="module")
def imaris(shared_data: Path) -> pd.DataFrame:
    """All 321 tracks with Imaris' own measures, in order of track and time."""
    folder = shared_data / "behav3d_tcell_organoid_tracks"
    stem = "DemoDataset1_20190523_CD8green_"

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / f"{stem}{name}.csv.gz", skiprows=3).set_index("ID")

    place = read("Position")
    place["net2"] = read("Displacement^2")["Displacement^2"]
    place["speed"] = read("Speed")["Speed"]
    place = place.sort_values(["TrackID", "Time"], ignore_index=True)
    place["track"] = pd.factorize(place["TrackID"])[0] + 1
    return place


def rounding(values: pd.Series | np.ndarray) -> np.ndarray:
    """Half of the last digit of numbers that were printed with six."""
    values = np.maximum(np.abs(np.asarray(values, float)), 1e-12)
    return 0.5 * 10.0 ** (np.floor(np.log10(values)) - 5)


def test_imaris_displacement_squared_is_ours_to_rounding(imaris):
    place = {axis: imaris[f"Position {axis.upper()}"] for axis in "xyz"}
    steps, motility = run(points_of(imaris["track"], imaris["Time"], 2.0 * imaris["Time"], **place))
    assert len(motility) == 321 and len(steps) == 29_535
    slack = rounding(imaris["net2"])
    for values in place.values():
        first = values.groupby(imaris["track"]).transform("first")
        half = rounding(values) + rounding(first)
        slack = slack + 2 * np.abs(values - first) * half + half**2
    error = np.abs(steps["net_displacement_um"] ** 2 - imaris["net2"])
    assert (error <= slack + 1e-12).all()


def test_imaris_speed_is_our_central_speed(imaris):
    place = {axis: imaris[f"Position {axis.upper()}"] for axis in "xyz"}
    keys = imaris["track"], imaris["Time"]
    speed = imaris["speed"].to_numpy()
    steps, _ = run(points_of(*keys, 2.0 * imaris["Time"], **place))
    mine = 60 * steps["central_speed_um_per_min"].to_numpy()
    assert (np.abs(mine - speed) <= 0.009 * speed + 0.01).all()

    # Imaris had the real times of the frames, which the files do not give: the times between which
    # it measured follow from its own speeds (29,535 speeds tell 613 times), and then all agree
    frame, track = imaris["Time"].to_numpy(), imaris["track"].to_numpy()
    rows = np.arange(len(frame))
    before = np.where(track == np.roll(track, 1), rows - 1, rows)
    after = np.where(track == np.roll(track, -1), rows + 1, rows)
    xyz = np.stack(list(place.values()), axis=1)
    moved = np.linalg.norm(xyz[after] - xyz[before], axis=1)
    far = moved > 1
    between = pd.DataFrame({"a": frame[before], "b": frame[after]})[far]
    between["minutes"] = 60 * moved[far] / speed[far]
    known = between.groupby(["a", "b"])["minutes"].agg(["median", "size"]).reset_index()
    n, k = frame.max() + 1, np.arange(len(known))
    signs = np.concatenate([np.ones(len(k)), -np.ones(len(k))])
    ends = np.concatenate([known["b"], known["a"]])
    weight = np.sqrt(known["size"].to_numpy(float))
    system = diags(weight) @ coo_matrix((signs, (np.tile(k, 2), ends)), shape=(len(k), n))
    clock = lsqr(system, weight * known["median"].to_numpy(), atol=1e-13, btol=1e-13)[0]
    steps, _ = run(points_of(*keys, clock[frame], **place))
    error = np.abs(60 * steps["central_speed_um_per_min"].to_numpy() - speed)
    half = np.linalg.norm(rounding(xyz)[after] + rounding(xyz)[before], axis=1)
    slack = 60 * half / (clock[frame[after]] - clock[frame[before]]) + rounding(speed)
    assert (error <= 1.01 * slack + 1e-4 * speed).mean() > 0.9995
    assert error.max() < 0.2  # µm/h


TRACKMATE = {
    "TRACK_DURATION": lambda m: m["duration_min"] * 60,
    "TRACK_DISPLACEMENT": lambda m: m["net_displacement_um"],
    "TRACK_MEAN_SPEED": lambda m: m["mean_step_speed_um_per_min"] / 60,
    "TRACK_MAX_SPEED": lambda m: m["max_speed_um_per_min"] / 60,
    "TRACK_MIN_SPEED": lambda m: m["min_speed_um_per_min"] / 60,
    "TRACK_MEDIAN_SPEED": lambda m: m["median_speed_um_per_min"] / 60,
    "TRACK_STD_SPEED": lambda m: m["sd_speed_um_per_min"] / 60,
    "TOTAL_DISTANCE_TRAVELED": lambda m: m["path_length_um"],
    "MAX_DISTANCE_TRAVELED": lambda m: m["max_displacement_um"],
    "CONFINEMENT_RATIO": lambda m: m["straightness"],
    "MEAN_STRAIGHT_LINE_SPEED": lambda m: m["net_displacement_um"] / m["duration_min"] / 60,
    "LINEARITY_OF_FORWARD_PROGRESSION": lambda m: (
        m["net_displacement_um"] / m["duration_min"] / m["mean_step_speed_um_per_min"]
    ),
    "MEAN_DIRECTIONAL_CHANGE_RATE": lambda m: m["mean_directional_change_rad_per_min"] / 60,
}


def read_csv(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Spots and tracks of TrackMate's exported tables."""
    spots, tracks = (
        pd.read_csv(path / f"FakeTracks_{name}.csv", skiprows=[1, 2, 3], encoding="latin-1")
        for name in ("spots", "tracks")
    )
    spots["TRACK_ID"] = pd.to_numeric(spots["TRACK_ID"], errors="coerce")
    return spots, tracks


def read_xml(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Spots and tracks of a TrackMate session."""
    root = ElementTree.parse(path).getroot()
    spots = pd.DataFrame([each.attrib for each in root.iter("Spot")]).set_index("ID")
    tracks = list(root.iter("Track"))
    member = {
        edge.attrib[end]: int(track.attrib["TRACK_ID"])
        for track in tracks
        for edge in track
        for end in ("SPOT_SOURCE_ID", "SPOT_TARGET_ID")
    }
    columns = ["POSITION_X", "POSITION_Y", "POSITION_T", "FRAME"]
    spots = spots[columns].astype(float)
    spots["TRACK_ID"] = spots.index.map(member)
    table = pd.DataFrame([each.attrib for each in tracks]).drop(columns="name").astype(float)
    return spots, table


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("lineage_analysis_csv", 4),
        ("xml/geff_TrackMate8_stardist_LAP10split.xml", 2),
        ("laptrack_faketracks/trackmate_tracks_with_gap_closing.xml", 5),
    ],
)
def test_trackmate_track_features_are_ours(shared_data: Path, name: str, least: int):
    path = shared_data / "trackmate_reference" / name
    spots, theirs = read_csv(path) if path.is_dir() else read_xml(path)
    simple = theirs[(theirs["NUMBER_SPLITS"] == 0) & (theirs["NUMBER_MERGES"] == 0)]
    simple = simple.set_index("TRACK_ID").sort_index()
    assert len(simple) >= least
    spots = spots[spots["TRACK_ID"].isin(simple.index)]
    place = {"x": spots["POSITION_X"], "y": spots["POSITION_Y"]}
    track, frame = (spots[each].astype(int) for each in ("TRACK_ID", "FRAME"))
    _, motility = run(points_of(track + 1, frame, spots["POSITION_T"] / 60, **place))
    shared = [each for each in TRACKMATE if each in simple]
    assert len(shared) >= 7
    for each in shared:
        ours, expected = TRACKMATE[each](motility).to_numpy(), simple[each].to_numpy()
        if each == "TRACK_MEDIAN_SPEED":
            # of an even number of steps TrackMate takes the upper of the middle two, we their mean
            odd = motility["n_points"].to_numpy() % 2 == 0
            assert (ours <= expected * (1 + 1e-9)).all()
            ours, expected = ours[odd], expected[odd]
        np.testing.assert_allclose(ours, expected, rtol=1e-9, err_msg=each)


@pytest.mark.parametrize("cells", ["TCells", "BCells", "Neutrophils"])
def test_celltrackr_tracks_by_its_published_definitions(shared_data: Path, cells: str):
    data = pd.read_csv(shared_data / "celltrackR_2photon_tracks" / f"{cells}.csv")
    data["track"] = pd.factorize(data["track"])[0] + 1
    frame = np.rint(data["t"] / 24).astype(int)
    points = points_of(data["track"], frame, data["t"] / 60, x=data["x"], y=data["y"])
    motility = run(points)[1].set_index("track_id")
    for track, rows in data.sort_values("t").groupby("track"):
        xy = rows[["x", "y"]].to_numpy()
        d = np.diff(xy, axis=0)
        length = np.linalg.norm(d, axis=1)
        net, far = np.linalg.norm(xy[-1] - xy[0]), np.linalg.norm(xy - xy[0], axis=1).max()
        minutes = (rows["t"].iloc[-1] - rows["t"].iloc[0]) / 60
        expected = {
            "path_length_um": length.sum(),
            "mean_speed_um_per_min": length.sum() / minutes,
            "max_displacement_um": far,
            "displacement_ratio": net / far,
            "outreach_ratio": far / length.sum(),
            "straightness": net / length.sum(),
        }
        if len(xy) > 2:
            variance = np.linalg.eigvalsh(np.cov(xy.T))
            mean = variance.mean()
            expected["asphericity"] = ((variance - mean) ** 2).sum() / 2 / mean**2
            moving = (length[1:] > 0) & (length[:-1] > 0)
            cosine = (d[1:] * d[:-1]).sum(axis=1)[moving] / (length[1:] * length[:-1])[moving]
            expected["mean_turning_angle_rad"] = np.arccos(np.clip(cosine, -1, 1)).mean()
        for name, value in expected.items():
            assert motility.loc[track, name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
