"""`LAP` against TrackMate's own links, and against hand-made lineages of real nuclei."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from skimage.io import imread

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.common import Detections
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.trackpy import TrackPy
from cyto_kedro.errors import ConfigError


def cells(frame, y, x, label):
    table = {name: np.ones(len(frame), int) for name in schemas.dtypes(schemas.Cells)}
    table |= {"frame": frame, "label": label, "y_px": y, "x_px": x}
    table |= {"fov": "f1", "population": "T", "on_border": False}
    return schemas.conform(schemas.Cells, pd.DataFrame(table))


def link_pairs(points, tracks, names):
    """Links as pairs of names; `names` maps (frame, label) to a name."""
    real = points[points["label"].notna()].sort_values(["track_id", "frame"])
    name = np.array([names[key] for key in zip(real["frame"], real["label"], strict=True)])
    same = (np.diff(real["track_id"]) == 0).nonzero()[0]
    pairs = set(zip(name[same].tolist(), name[same + 1].tolist(), strict=True))
    first = dict(zip(real["track_id"][::-1], name[::-1].tolist(), strict=True))
    last = dict(zip(real["track_id"], name.tolist(), strict=True))
    born = tracks.dropna(subset="parent_track_id")
    joined = tracks.dropna(subset="merged_into_track_id")
    pairs |= {(last[r.track_id], first[r.merged_into_track_id]) for r in joined.itertuples()}
    return pairs | {(last[r.parent_track_id], first[r.track_id]) for r in born.itertuples()}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("setting", "more", "n_links", "merges"),
    [
        ("without_gap_closing", {"gap_closing_max_frames": 0}, 127, 0),
        ("with_gap_closing", {}, 128, 0),
        ("with_splitting", {"splitting": True}, 130, 0),
        ("with_merging", {"merging": True}, 129, 1),
        ("with_splitting_merging", {"splitting": True, "merging": True}, 180, 1),
    ],
)
def test_links_are_those_of_trackmate(shared_data, setting, more, n_links, merges):
    folder = shared_data / "trackmate_reference" / "laptrack_faketracks"
    spots = pd.read_csv(folder / f"trackmate_tracks_{setting}_spots.csv")
    edges = pd.read_csv(folder / f"trackmate_tracks_{setting}_edges.csv")
    spots["label"] = spots.groupby("frame").cumcount() + 1
    table = cells(spots["frame"], spots["position_y"], spots["position_x"], spots["label"])
    result = LAP(max_distance_px=15, gap_closing_max_distance_px=15, **more)(
        {"dataframe": table, "n_frames": 50, "shape": (128, 128)}
    )
    names = dict(zip(zip(spots["frame"], spots["label"], strict=True), spots["id"], strict=True))
    ours = link_pairs(result["dataframe"], result["tracks"], names)
    truth = set(zip(edges["spot_source_id"], edges["spot_target_id"], strict=True))
    assert ours == truth
    assert len(truth) == n_links
    assert edges["spot_target_id"].duplicated().sum() == merges
    assert (result["tracks"]["end_reason"] == "merge").sum() == 2 * merges


def test_size_tells_cells_apart_where_position_does_not():
    """A large and a small cell change places: 5 and 3 px, where the wrong links are 2 and 0 px."""
    y = np.array([4.0, 12, 6, 11, 8, 11, 6, 13])
    table = cells(np.repeat(np.arange(4), 2), y, np.full(8, 5.0), np.tile([1, 2], 4))
    table["area_px"] = [49.0, 9, 49, 9, 9, 49, 9, 49]
    data = {"dataframe": table}

    def first(linker):
        points = linker(data)["dataframe"]
        return points.loc[points["track_id"] == 1, "label"].tolist()

    assert first(LAP(max_distance_px=16)) == [1, 1, 1, 1]
    assert first(LAP(max_distance_px=16, penalties={"area_px": 1})) == [1, 1, 2, 2]
    with pytest.raises(ConfigError, match=r"penalties.*'area'.*Did you mean 'area_px'"):
        first(LAP(max_distance_px=16, penalties={"area": 1}))


def test_cost_is_trackmates():
    """(d · (1 + 3 w |a - b| / (a + b)))²: with d = 4, a = 30, b = 10, w = 1 it is 100."""
    table = cells(np.array([0, 1]), np.zeros(2), np.array([0.0, 4]), np.ones(2, int))
    table["area_px"] = [30.0, 10]
    for reach, n in ((10.1, 1), (9.9, 2)):
        linker = LAP(max_distance_px=reach, penalties={"area_px": 1}, gap_closing_max_frames=0)
        assert len(linker({"dataframe": table})["tracks"]) == n


def test_frame_to_frame_links_are_those_of_trackmates_matrix():
    """Jaqaman's matrix, whole, solved by scipy's dense solver."""
    rng = np.random.default_rng(5)
    for _ in range(10):
        a, b = rng.uniform(0, 30, (12, 2)), rng.uniform(0, 30, (14, 2))
        square = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        able = square < 8**2
        no = 1.05 * square[able].max()
        big = 1e9
        matrix = np.full((26, 26), big)
        matrix[:12, :14] = np.where(able, square, big)
        matrix[:12, 14:][np.eye(12, dtype=bool)] = matrix[12:, :14][np.eye(14, dtype=bool)] = no
        matrix[12:, 14:] = np.where(able.T, no, big)
        i, j = linear_sum_assignment(matrix)
        truth = {(p, q + 12) for p, q in zip(i, j, strict=True) if p < 12 and q < 14}
        label = np.append(np.arange(12), np.arange(14)) + 1
        position = np.concatenate([a, b])
        table = cells(np.repeat([0, 1], [12, 14]), position[:, 0], position[:, 1], label)
        linker = LAP(max_distance_px=8, gap_closing_max_frames=0)
        source, target = linker.link(Detections(table, None))
        assert set(zip(source.tolist(), target.tolist(), strict=True)) == truth


def test_cells_that_merge():
    """Two come together at frame 3 and go on as one; the merged track has no parent."""
    rows = [(t, 1, 50.0, 50.0) for t in range(8)]
    rows += [(t, 2, 50.0, 58.0 - 2 * t) for t in range(3)]
    data = {"dataframe": cells(*(np.array(c) for c in _columns(rows))), "shape": (100, 100)}
    result = LAP(max_distance_px=5, merging=True)(data)
    tracks = schemas.check(schemas.Tracks, result["tracks"]).set_index("track_id")
    assert tracks["end_reason"].tolist() == ["merge", "merge", "film_end"]
    assert tracks["merged_into_track_id"].fillna(0).tolist() == [3, 3, 0]
    assert tracks["parent_track_id"].isna().all()
    assert tracks["n_points"].tolist() == [3, 3, 5]
    assert len(LAP(max_distance_px=5)(data)["tracks"]) == 2
    assert len(LAP(max_distance_px=5, merging=True, merging_max_distance_px=1)(data)["tracks"]) == 2


def test_a_division_gives_two_daughters():
    #  One cell at x = 50 splits at frame 3; another, far off, does not.
    rows = [(t, 1, 50.0, 50.0) for t in range(3)]
    rows += [
        (t, n, 50.0, 50 + s * (2.0 + t - 3)) for t in range(3, 8) for n, s in ((1, -1), (2, 1))
    ]
    rows += [(t, 9, 10.0, 10.0) for t in range(8)]
    data = {"dataframe": cells(*(np.array(c) for c in _columns(rows))), "n_frames": 8}
    data |= {"shape": (100, 100)}
    tracks = LAP(max_distance_px=5, splitting=True)(data)["tracks"].set_index("track_id")
    schemas.check(schemas.Tracks, tracks.reset_index())
    assert tracks["end_reason"].tolist() == ["division", "film_end", "film_end", "film_end"]
    assert tracks["parent_track_id"].fillna(0).tolist() == [0, 0, 1, 1]
    assert tracks["first_frame"].tolist() == [0, 0, 3, 3]
    assert len(LAP(max_distance_px=5)(data)["tracks"]) == 3
    # The splitting distance is its own.
    near = LAP(max_distance_px=5, splitting=True, splitting_max_distance_px=1)
    assert len(near(data)["tracks"]) == 3


def _columns(rows):
    frame, label, y, x = zip(*rows, strict=True)
    return frame, y, x, label


@pytest.mark.parametrize(("max_frames", "n_tracks"), [(0, 2), (1, 2), (2, 1), (3, 1)])
def test_gap_closing_counts_frames_as_trackmate_does(max_frames, n_tracks):
    table = cells(np.array([0, 1, 3, 4]), np.zeros(4), np.arange(4.0), np.ones(4, int))
    linker = LAP(max_distance_px=3, gap_closing_max_frames=max_frames)
    data = {"dataframe": table, "n_frames": 5, "shape": (9, 9)}
    assert len(linker(data)["tracks"]) == n_tracks


def truth_of(folder):
    """Cells table of a Cell Tracking Challenge marker film, and its true links by position."""
    files = sorted((folder / "TRA").glob("man_track*.tif"))
    film = np.stack([imread(file) for file in files])
    data = {"label": film, "fov": "f1", "population": "T", "time_min": None, "pixel_size_um": None}
    table = Features()(data)["dataframe"]
    links = set()
    for label, group in table.groupby("label"):
        keys = [(int(frame), int(label)) for frame in sorted(group["frame"])]
        links |= set(pairwise(keys))
    lineage = np.loadtxt(folder / "TRA" / "man_track.txt", dtype=int)
    ends = table.groupby("label")["frame"].agg(["min", "max"])
    for label, _, _, parent in lineage[lineage[:, 3] > 0]:
        if label in ends.index and parent in ends.index:
            source = (int(ends.loc[parent, "max"]), int(parent))
            links.add((source, (int(ends.loc[label, "min"]), int(label))))
    return {"dataframe": table, "n_frames": len(files), "shape": film.shape[1:]}, links


@pytest.mark.shared
@pytest.mark.parametrize(
    ("linker", "least"),
    [
        (LAP(max_distance_px=40, splitting=True), 0.99),
        (TrackPy(search_range_px=40, memory=1, adaptive_stop_px=5), 0.99),
    ],
    ids=["LAP", "TrackPy"],
)
def test_true_links_of_real_nuclei(shared_data, linker, least):
    """Real nuclei, hand-marked; the linker is told where they are and not which is which."""
    data, truth = truth_of(shared_data / "ctc_Fluo-N2DH-GOWT1_seq01_f40" / "01_GT")
    table = data["dataframe"]
    names = {key: key for key in zip(table["frame"], table["label"], strict=True)}
    result = linker(data)
    real = result["dataframe"]
    ours = links_by_key(real, result["tracks"], names)
    assert len(truth) > 800
    assert len(ours & truth) / len(truth) > least
    assert len(ours & truth) / len(ours) > least


def links_by_key(points, tracks, names):
    number = {key: i for i, key in enumerate(names)}
    keys = list(names)
    return {
        tuple((int(keys[i][0]), int(keys[i][1])) for i in pair)
        for pair in link_pairs(points, tracks, number)
    }
