"""TrackMate's files, against what TrackMate itself exported and the label image it measured."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import tifffile
from kedro.io import DatasetError

from cyto_kedro import schemas
from cyto_kedro.datasets import TrackMateDataset
from cyto_kedro.datasets.trackmate import read_trackmate
from cyto_kedro.errors import InputError
from cyto_kedro.pipelines.tracking.trackmate import (
    masks,
    numbered,
    track_points,
    viewed,
    without_frames,
)
from cyto_kedro.view import View


def session(spots="", tracks="", *, units=("micron", "min"), image="", filtered="0"):
    """A small file: 8 x 12 pixels of 0.5 units, 3 frames of 2 units."""
    size = 'width="12" height="8" nslices="1" nframes="3" pixelwidth="0.5" pixelheight="0.5"'
    return f"""<TrackMate version="7.9"><Model spatialunits="{units[0]}" timeunits="{units[1]}">
    <AllSpots>{spots}</AllSpots><AllTracks>{tracks}</AllTracks>
    <FilteredTracks><TrackID TRACK_ID="{filtered}"/></FilteredTracks></Model>
    <Settings><ImageData {image or size} timeinterval="2.0"/></Settings></TrackMate>""".encode()


def spot(name, frame, x, y, more="", roi=""):
    text = f'ROI_N_POINTS="{len(roi.split()) // 2}">{roi}</Spot>' if roi else "/>"
    return (
        f'<Spot ID="{name}" name="s{name}" FRAME="{frame}" POSITION_X="{x}" POSITION_Y="{y}" '
        f'RADIUS="0.75" QUALITY="4.5" {more} {text}'
    )


def read(text):
    return read_trackmate(BytesIO(text), "film.xml")


TRACK = (
    '<Track TRACK_ID="0"><Edge SPOT_SOURCE_ID="8" SPOT_TARGET_ID="7"/></Track>'
    '<Track TRACK_ID="1"><Edge SPOT_SOURCE_ID="7" SPOT_TARGET_ID="9"/></Track>'
)
SPOTS = spot(7, 0, 1.0, 2.0) + spot(8, 2, 1.5, 2.0) + spot(9, 0, 5, 1) + spot(5, 1, 1, 1)


def test_units_filters_and_direction_of_links():
    film = read(session(SPOTS + spot(4, 1, 1, 1, 'VISIBILITY="0"'), TRACK))
    assert (film.n_frames, film.shape, film.version) == (3, (8, 12), "7.9")
    assert (film.pixel_size_um, film.frame_interval_s) == (0.5, 120.0)
    assert film.spots["spot_id"].tolist() == [7, 9, 5, 8]
    assert film.spots["x_px"].tolist() == [2, 10, 2, 3]
    assert film.spots["radius_px"].tolist() == [1.5] * 4
    assert film.spots["QUALITY"].tolist() == [4.5] * 4
    assert film.links.values.tolist() == [[7, 8]]  # the earlier first; track 1 was filtered out
    assert film.spots["track"].tolist() == [0, pd.NA, pd.NA, 0]
    points = schemas.check(
        schemas.TrackPoints, track_points(film, "A1", "T", film.pixel_size_um, [0.0, 2.0, 5.0])
    )
    assert points[["track_id", "frame", "x_px"]].values.tolist() == [
        [1, 0, 2],
        [1, 1, 2.5],
        [1, 2, 3],
    ]
    assert points["interpolated"].tolist() == [False, True, False]
    assert points["time_min"].tolist() == [0, 2, 5]
    plain = read(session(SPOTS, TRACK, units=("pixel", "frame")))
    assert plain.pixel_size_um is plain.frame_interval_s is None


def test_outlines_and_disks_become_masks_and_none_is_lost():
    square = spot(3, 1, 2.0, 2.0, roi="-0.6 -0.6 0.6 -0.6 0.6 0.6 -0.6 0.6")
    near = spot(6, 1, 2.4, 2.0)
    film = read(session(SPOTS + square + near, TRACK))
    label = masks(film)
    table = numbered(film)
    for t in range(3):
        assert set(np.unique(label[t])) - {0} == set(table.loc[table["frame"] == t, "label"])
    name = table.set_index("spot_id")["label"]
    own = label[1] == name[3]
    assert own[3:6, 3:5].all()
    assert not own[2].any()
    # shared pixels go to the nearer centre
    assert label[1, 4, 4] == name[3]
    assert label[1, 4, 5] == name[6]


def test_empty_and_bad_sessions():
    film = read(session())
    assert len(film.spots) == len(film.links) == 0
    assert len(track_points(film, "A1", "T", None, None)) == 0
    assert not masks(film).any()
    for text, message in (
        (b"<TrackMate>", "not a whole XML"),
        (b"<other/>", "no TrackMate session"),
        (session(spot(7, 9, 1, 1)), "frame 9 of a film of 3"),
        (session(spot(7, 0, 1, 1), TRACK), "names spot 8"),
        (session(image='nslices="4" width="3" height="3" nframes="3"'), "4 z planes"),
        (session(image='pixelwidth="1" pixelheight="2" nframes="3"'), "not square"),
    ):
        with pytest.raises(InputError, match=f"film.xml.*{message}"):
            read(text)


def test_the_dataset_reads_only(tmp_path):
    (tmp_path / "a.xml").write_bytes(session(SPOTS, TRACK))
    dataset = TrackMateDataset(filepath=tmp_path / "a.xml")
    assert len(dataset.load().spots) == 4
    with pytest.raises(DatasetError, match="not written"):
        dataset.save({})


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["without_gap_closing", "with_gap_closing", "with_splitting", "with_splitting_merging"]
)
def test_spots_and_links_are_those_that_trackmate_exported(shared_data, name):
    folder = shared_data / "trackmate_reference" / "laptrack_faketracks"
    film = TrackMateDataset(filepath=folder / f"trackmate_tracks_{name}.xml").load()
    spots = pd.read_csv(folder / f"trackmate_tracks_{name}_spots.csv").set_index("id")
    edges = pd.read_csv(folder / f"trackmate_tracks_{name}_edges.csv")
    tracked = film.spots[film.spots["track"].notna()].set_index("spot_id")
    truth = spots.loc[tracked.index]
    np.testing.assert_allclose(tracked["x_px"], truth["position_x"])
    np.testing.assert_allclose(tracked["y_px"], truth["position_y"])
    assert (tracked["frame"] == truth["frame"]).all()
    pairs = set(map(tuple, edges[["spot_source_id", "spot_target_id"]].to_numpy().tolist()))
    assert set(map(tuple, film.links.to_numpy().tolist())) == pairs
    points = schemas.check(schemas.TrackPoints, track_points(film, "A", "T", None, None))
    assert points["merged_into_track_id"].notna().any() == ("merging" in name)


@pytest.mark.shared
def test_masks_are_the_label_image_that_trackmate_drew_outlines_of(shared_data):
    folder = shared_data / "trackmate_reference" / "morphology"
    film = TrackMateDataset(filepath=folder / "LabelImage.xml").load()
    truth, label = tifffile.imread(folder / "LabelImage.tif"), masks(film)[0]
    names = np.append(0, film.spots["MEDIAN_INTENSITY_CH1"]).astype(int)
    drawn = np.append(0, numbered(film)["label"])
    table = np.zeros(label.max() + 1, int)
    table[drawn] = names
    kept = np.isin(truth, names)
    assert (table[label] == truth)[kept].mean() > 0.999


@pytest.mark.shared
def test_versions_3_to_8_are_read(shared_data):
    films = {
        file.name: TrackMateDataset(filepath=file).load()
        for file in sorted((shared_data / "trackmate_reference" / "xml").glob("*.xml"))
    }
    assert [len(film.spots) for film in films.values()] == [
        243,
        133,
        106,
        268,
    ]  # of the third, one was filtered out
    assert sorted({film.version[0] for film in films.values()}) == ["3", "6", "8"]
    assert [film.pixel_size_um for film in films.values()] == [None, None, 1.0, None]
    assert all(film.frame_interval_s == 1 for film in films.values())


def test_a_session_of_the_whole_film_seen_through_a_view():
    """Frames 1 and 3 of five, without the first two rows and three columns, two pixels in one."""
    path = [(0, 6.0, 5.0), (1, 6.5, 5.5), (2, 7.0, 6.0), (3, 7.5, 6.5), (4, 7.5, 7.0)]
    spots = "".join(spot(i, t, x / 2, y / 2) for i, (t, x, y) in enumerate(path, 1))
    spots += spot(9, 3, 0.5, 3.0)  # x is 1 px: outside
    edges = "".join(f'<Edge SPOT_SOURCE_ID="{i}" SPOT_TARGET_ID="{i + 1}"/>' for i in range(1, 5))
    size = 'width="13" height="12" nslices="1" nframes="5" pixelwidth="0.5" pixelheight="0.5"'
    film = read(session(spots, f'<Track TRACK_ID="0">{edges}</Track>', image=size))
    view = View(first_frame=1, every_frame=2, crop_px=(2, 12, 3, 13), bin_px=2)
    seen = viewed(film, view)
    assert (seen.n_frames, seen.shape, seen.pixel_size_um) == (2, (5, 5), 1.0)
    assert seen.spots["spot_id"].tolist() == [2, 4] and seen.spots["frame"].tolist() == [0, 1]
    # a disk drawn on the film, binned, has its centre where the spot is said to be
    for row in seen.spots.itertuples():
        _, x, y = path[row.spot_id - 1]
        whole = np.zeros((12, 13))
        whole[round(y), round(x)] = 1
        y_px, x_px = np.argwhere(view.plane(whole))[0]
        assert abs(y_px - row.y_px) <= 0.75 and abs(x_px - row.x_px) <= 0.75
        assert (row.y_px, row.x_px) == ((y - 2 - 0.5) / 2, (x - 3 - 0.5) / 2)
    assert seen.links.values.tolist() == [[2, 4]]  # over frame 2, which is not used
    assert len(track_points(seen, "A", "T", 1.0, None)) == 2


def test_excluded_frames_of_a_session_hold_no_cells_and_tracks_go_on():
    spots = "".join(spot(i, t, 1.0, 1.0) for i, t in ((1, 0), (2, 1), (3, 2), (4, 2)))
    edges = "".join(
        f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}"/>' for a, b in ((1, 2), (2, 3), (2, 4))
    )
    film = read(session(spots, f'<Track TRACK_ID="0">{edges}</Track>'))
    kept = without_frames(film, [1])
    assert kept.spots["frame"].tolist() == [0, 2, 2]
    assert sorted(kept.links.values.tolist()) == [[1, 3], [1, 4]]
    assert not masks(kept)[1].any()
    assert without_frames(film, []).links.equals(film.links)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ID": None}, "a Spot has no ID"),
        ({"ID": "one"}, "ID is 'one', not a number"),
        ({"ID": "1.5"}, "not a whole number"),
        ({"ID": "nan"}, "not a whole number"),
        ({"FRAME": None}, "a Spot has no FRAME"),
        ({"FRAME": "first"}, "FRAME is 'first'"),
        ({"FRAME": "1e30"}, "not a whole number"),
        ({"FRAME": "-1"}, "frame -1 of a film of 3"),
        ({"POSITION_X": None}, "has no POSITION_X"),
        ({"POSITION_X": "inf"}, "is nowhere"),
        ({"SPOT_SOURCE_ID": None}, "a Edge has no SPOT_SOURCE_ID"),
        ({"SPOT_TARGET_ID": "x"}, "SPOT_TARGET_ID is 'x'"),
        ({"TRACK_ID": ""}, "TRACK_ID"),
        ({"pixelwidth": "nan"}, "cannot be"),
        ({"pixelwidth": "0"}, "cannot be"),
        ({"nframes": "many"}, "nframes is 'many'"),
    ],
)
def test_attributes_that_are_missing_or_text(wrong, message):
    text = session(SPOTS, TRACK).decode()
    if "TRACK_ID" in wrong:
        text = text.replace('TRACK_ID="0"', 'TRACK_ID=""')
    ((key, value),) = wrong.items()
    text = re.sub(rf'\b{key}="[^"]*"', "" if value is None else f'{key}="{value}"', text, count=1)
    with pytest.raises(InputError, match=message):
        read(text.encode())


def test_impossible_calibration_is_no_source():
    size = 'width="9" height="9" pixelwidth="2" pixelheight="2"'
    film = read(session(units=("mm", "h"), image=f'{size} nframes="3"'))
    assert film.pixel_size_um is None and film.frame_interval_s == 7200
    assert "cannot be" in film.said[0].doubt
