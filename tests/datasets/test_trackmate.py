"""TrackMate's files, against what TrackMate itself exported and the label image it measured."""

from __future__ import annotations

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
from cyto_kedro.pipelines.tracking.trackmate import masks, numbered, track_points


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
