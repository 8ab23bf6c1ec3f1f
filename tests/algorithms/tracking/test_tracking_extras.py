"""Engines whose packages are optional: their errors, and btrack where it is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tracking import btrack
from cyto_kedro.algorithms.tracking.btrack import BTrack, _links
from cyto_kedro.algorithms.tracking.trackastra import Trackastra, _folder
from cyto_kedro.errors import InputError, MissingExtraError


def walkers(n_frames=12):
    """Three cells that walk straight on, 5 px wide; a fourth turns up beside one."""
    label = np.zeros((n_frames, 120, 120), np.uint32)
    for t in range(n_frames):
        label[t, 10:15, 10 + 3 * t : 15 + 3 * t] = 1
        label[t, 40 + 2 * t : 45 + 2 * t, 60:65] = 2
        if t < 6:
            label[t, 90:96, 90:96] = 3
        else:
            label[t, 90 - 3 * (t - 5) : 94 - 3 * (t - 5), 90:94] = 3
            label[t, 92 + 3 * (t - 5) : 96 + 3 * (t - 5), 90:94] = 4
    data = {"label": label, "fov": "A1", "population": "T"}
    return {**data, "dataframe": Features()(data)["dataframe"], "image": label.astype(float)}


def test_btrack_follows_straight_walks():
    pytest.importorskip("btrack", reason="needs the extra btrack")
    try:
        result = BTrack(max_search_radius_px=20, splitting=True)(walkers())
    except MissingExtraError as error:
        pytest.skip(str(error))
    points = result["dataframe"]
    for label in (1, 2):
        assert points.loc[points["label"] == label, "track_id"].nunique() == 1
    assert 3 <= points["track_id"].nunique() <= 5


def test_what_btrack_is_told():
    knobs = {"max_lost_frames": 3, "hypothesis": {"lambda_branch": 7.0}, "max_gap_frames": 4}
    told = BTrack(max_search_radius_px=5, **knobs)._configuration(12.0)
    assert told["max_search_radius"] == 12.0 and told["motion_model"]["max_lost"] == 3
    model = told["hypothesis_model"]
    assert (model["lambda_branch"], model["dist_thresh"], model["time_thresh"]) == (7.0, 12.0, 4)
    assert "P_branch" not in model["hypotheses"]
    divide = BTrack(max_search_radius_px=5, splitting=True)._configuration(12.0)
    assert "P_branch" in divide["hypothesis_model"]["hypotheses"]


@pytest.mark.parametrize("optimise", [True, False])
def test_btrack_joins_globally_only_when_asked(optimise, monkeypatch):
    from unittest.mock import MagicMock

    tracker = MagicMock(tracks=[])
    monkeypatch.setattr(btrack, "_tracker", lambda: tracker)
    monkeypatch.setattr(btrack, "_objects", lambda frame, position: [])
    BTrack(max_search_radius_px=20, optimise=optimise)(walkers())
    assert tracker.optimise.called is optimise


def test_links_of_btracks_tracks():
    source, target = _links([(1, 1, [0, 3, 5]), (4, 1, [7]), (5, 1, [8, 9]), (6, 99, [10])])
    pairs = {(0, 3), (3, 5), (8, 9), (5, 7), (5, 8)}
    assert set(zip(source.tolist(), target.tolist(), strict=True)) == pairs


@pytest.mark.parametrize(
    ("linker", "package"),
    [
        (BTrack(max_search_radius_px=5), "btrack"),
        (Trackastra(model="general_2d"), "trackastra.model"),
    ],
)
def test_a_missing_package_is_named_with_how_to_install_it(linker, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    extra = package.split(".")[0]
    with pytest.raises(MissingExtraError, match=rf'pip install "cyto_kedro\[{extra}\]"'):
        linker(walkers(3))


def test_a_missing_model_says_where_it_was_looked_for(monkeypatch, tmp_path):
    import types

    monkeypatch.setitem(sys.modules, "trackastra", types.ModuleType("trackastra"))
    fake = types.ModuleType("trackastra.model")
    fake.Trackastra = object
    monkeypatch.setitem(sys.modules, "trackastra.model", fake)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"general_2d.*model\.pt.*trackastra/models/general_2d"):
        Trackastra(model="general_2d")(walkers(3))
    folder = tmp_path / "trackastra" / "models" / "mine"
    folder.mkdir(parents=True)
    for name in ("model.pt", "config.yaml", "train_config.yaml"):
        (folder / name).write_text("")
    assert _folder("mine") == _folder(str(folder)) == folder


def test_trackastra_needs_images():
    data = walkers(3)
    del data["image"]
    with pytest.raises(InputError, match=r"'A1'.*'image', 'label'"):
        Trackastra(model="general_2d")(data)
