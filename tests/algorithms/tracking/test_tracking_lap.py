"""`LAP` against TrackMate's own links, and against hand-made lineages of real nuclei."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from skimage.io import imread

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking.lap import LAP
from cyto_kedro.algorithms.tracking.trackpy import TrackPy


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
