"""Tracks of other programs, as they come in: against our own exports, and small films drawn here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from films import (
    FILM,
    FOV,
    come_in,
    dividing,
    is_the_dividing_film,
    masks_of,
    paths_of,
    points_of,
    square,
)
from kedro.framework.startup import bootstrap_project

from cyto_kedro.algorithms.tracking.links import chains
from cyto_kedro.cli import cli
from cyto_kedro.errors import InputError
from cyto_kedro.export.command import export_to
from cyto_kedro.importing.ctc import ctc_film
from cyto_kedro.importing.identities import _are_identities, detections, identity_links
from cyto_kedro.importing.label_films import label_film
from tiny_project import N_FRAMES, POPULATIONS, Project

TRACKS = "7 0 4 0\n300000 5 8 7\n9 5 8 7\n4 0 8 0\n"


def write_ctc(folder: Path, label: np.ndarray, tracks: str = TRACKS, stem: str = "mask") -> Path:
    folder.mkdir()
    for t, frame in enumerate(label):
        tifffile.imwrite(folder / f"{stem}{t:03}.tif", frame, photometric="minisblack")
    table = {"mask": "res_track.txt"}.get(stem, f"{stem}.txt")
    (folder / table).write_text(tracks)
    return folder


@pytest.mark.parametrize("stem", ["mask", "man_track"])
def test_a_challenge_folder_keeps_identities_and_lineage(
    ingested: Project, tmp_path: Path, stem: str
) -> None:
    folder = write_ctc(tmp_path / "Zellen_µ 細胞", dividing(), stem=stem)
    found = come_in(ingested, folder)
    assert (found.n_cells, found.n_tracks) == (4 + 8 + N_FRAMES, 4)
    assert "4 tracks, 1 divisions" in str(found)
    is_the_dividing_film(points_of(ingested))
    np.testing.assert_array_equal(masks_of(ingested), dividing())


@pytest.mark.slow
def test_our_own_export_comes_back_and_the_run_goes_on(project: Project, tmp_path: Path) -> None:
    """The tables then hold exactly the tracks that were written, and a run changes none of them."""
    before = project.table("track_points").query("fov == @FOV")
    alone = project.table("cells").merge(
        before[["population", "frame", "label", "track_id"]].dropna(),
        on=["population", "frame", "label"],
        how="left",
    )
    alone = alone[(alone["fov"] == FOV) & alone["track_id"].isna()]
    export_to(project.catalog, "ctc", tmp_path / "out", (FOV,))
    for population in POPULATIONS:
        come_in(project, tmp_path / "out" / FOV / f"{population}_RES", population)
    after = project.table("track_points").query("fov == @FOV")
    of_one = {
        frozenset([each])
        for each in alone[["frame", "y_px", "x_px"]].round(3).itertuples(False, None)
    }
    assert paths_of(after) == paths_of(before) | of_one
    saved = {name for name, _ in project.resume()}
    assert {"cells", "tracks", "contacts"} <= saved and "labels" not in saved
    assert paths_of(project.table("track_points").query("fov == @FOV")) == paths_of(after)
    tracks = project.table("tracks").query("fov == @FOV")
    assert len(tracks) == after.groupby(["population", "track_id"]).ngroups


def test_our_own_session_comes_back(project: Project, tmp_path: Path) -> None:
    """Interpolated points are no spots there, and are made anew here; places and tracks are equal."""
    before = project.table("track_points").query("fov == @FOV")
    export_to(project.catalog, "trackmate", tmp_path / "out", (FOV,))
    for population in POPULATIONS:
        come_in(project, tmp_path / "out" / FOV / f"{population}.xml", population)
    assert paths_of(project.table("track_points").query("fov == @FOV")) == paths_of(before)


def test_the_commands_say_what_they_read(ingested: Project, tmp_path: Path) -> None:
    metadata = bootstrap_project(ingested.path)
    folder = write_ctc(tmp_path / "a", dividing())
    words = ["cyto", "import", str(folder), FOV, "TCell", "--who", "Ada"]
    done = CliRunner().invoke(cli, words, obj=metadata)
    assert done.exit_code == 0, done.output
    assert "Challenge result: 21 cells, 4 tracks, 1 divisions" in " ".join(done.output.split())
    assert "kedro run" in done.output
    is_the_dividing_film(points_of(ingested))
    refused = CliRunner().invoke(cli, [*words[:2], str(tmp_path), *words[3:]], obj=metadata)
    assert refused.exit_code != 0 and "what can be imported" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ("7 0 4 0\n", "label 4 has no line"),
        (TRACKS + "7 0 4 0\n", "line 5.*there twice"),
        (TRACKS.replace("9 5 8 7", "9 5 8"), "line 3.*not four whole numbers"),
        (TRACKS.replace("9 5 8 7", "9 5 8 77"), "came of 77, which is not there"),
        (TRACKS.replace("9 5 8 7", "9 5 8 300000"), "begins no earlier"),
        (TRACKS.replace("9 5 8 7", "0 5 8 7"), "cannot be"),
    ],
)
def test_damaged_tables_of_the_challenge(
    ingested: Project, tmp_path: Path, tracks: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        come_in(ingested, write_ctc(tmp_path / "a", dividing(), tracks))


def test_damaged_folders_of_the_challenge(ingested: Project, tmp_path: Path, caplog: Any) -> None:
    folder = write_ctc(tmp_path / "a", dividing())
    (folder / "mask003.tif").rename(tmp_path / "mask003.tif")
    with pytest.raises(InputError, match="frame 3 is missing"):
        ctc_film(folder)
    (folder / "mask003.tif").write_bytes((tmp_path / "mask003.tif").read_bytes()[:300])
    with pytest.raises(InputError, match="mask003"):
        come_in(ingested, folder)
    tifffile.imwrite(folder / "mask003.tif", np.zeros((50, 96), np.uint16))
    with pytest.raises(InputError, match=r"mask003.tif has shape \(1, 50, 96\)"):
        come_in(ingested, folder)
    (folder / "res_track.txt").unlink()
    with pytest.raises(InputError, match=r"res_track\.txt is missing"):
        come_in(ingested, folder)
    short = write_ctc(tmp_path / "short", dividing()[:-1])
    with pytest.raises(
        InputError, match=r"8 frames of \(96, 96\) pixels, but field 'treated_1' has 9"
    ):
        come_in(ingested, short)
    label = dividing()
    label[8][label[8] == 9] = 0
    come_in(ingested, write_ctc(tmp_path / "lost", label))
    assert "track 9 has no mask in frame 8" in caplog.text


def test_numbers_given_anew_in_every_frame_are_no_tracks(ingested: Project, tmp_path: Path) -> None:
    label = np.zeros(FILM, np.uint16)
    for t in range(N_FRAMES):
        for i in range(5):
            square(label, 1 + (i + t) % 5, t, 15 * i, 40)
    folder = write_ctc(tmp_path / "a", label, "".join(f"{i} 0 8 0\n" for i in range(1, 6)))
    with pytest.raises(InputError, match=r"given anew in every frame.*--masks-only"):
        come_in(ingested, folder)
    found = come_in(ingested, folder, masks_only=True)
    assert (found.n_cells, found.points) == (45, None)
    assert not list(ingested.path.glob("data/**/track_points/**/TCell*"))
    assert list(ingested.path.glob("data/**/labels/**/TCell*"))


def test_lineage_through_cells_that_are_not_seen() -> None:
    """1 came before 2 (seen nowhere) before 3; 4's mother 5 goes on; 6's mother comes later."""
    label = np.zeros((6, 60, 60), np.uint32)
    for t in range(6):
        square(label, 5, t, 40, 40)
        square(label, 1 if t < 2 else 3, t, 2, 2)
        if t > 2:
            square(label, 4, t, 40, 50)
    square(label, 6, 0, 20, 20), square(label, 8, 4, 20, 20)
    cells = detections(lambda t: label[t], list(range(6)), "a")
    links = identity_links(cells, {3: 2, 2: 1, 4: 5, 6: 8}, "a")
    names = cells[["label", "frame"]].to_numpy()
    joined = {
        (*names[a].tolist(), *names[b].tolist())
        for a, b in zip(links.source, links.target, strict=True)
    }
    assert {each for each in joined if each[0] != each[2]} == {(1, 1, 3, 2), (5, 2, 4, 3)}
    assert len(joined) == 5 + 1 + 3 + 2 + 2
    with pytest.raises(InputError, match="came of each other"):
        identity_links(cells, {3: 30, 30: 31, 31: 30}, "a")
    assert len(identity_links(detections(lambda t: label[t], [], "a"), {}, "a").source) == 0


def test_what_is_none_of_these_is_named(ingested: Project, tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_bytes(b"words")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a.doc", tmp_path / "empty"):
        with pytest.raises(InputError, match=r"what can be imported: a TrackMate session"):
            come_in(ingested, path)
    with pytest.raises(InputError, match=r"unknown population 'Tcell'.*TCell"):
        come_in(ingested, tmp_path / "a.doc", "Tcell")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "n_tracks", "n_daughters"),
    [("ctc_Fluo-N2DH-GOWT1_seq01_f40", 25, 2), ("ctc_Fluo-N2DH-SIM+_seq01", 92, 56)],
)
def test_references_of_the_challenge(
    shared_data: Path, name: str, n_tracks: int, n_daughters: int
) -> None:
    """As their own tables have it: 95 lines of SIM+, of which three go on as one successor."""
    film = ctc_film(shared_data / name / "01_GT" / "TRA")
    cells = detections(film.read, list(range(film.shape[0])), name)
    links = identity_links(cells, film.parents, name)
    _are_identities(cells, links, name)
    siblings = Counter(film.parents.values())
    alone = sum(n == 1 for n in siblings.values())
    assert len(film.spans) - alone == n_tracks and len(film.parents) - alone == n_daughters
    track, parent, merged = chains(len(cells), links.source, links.target)
    assert (track.max(), (parent > 0).sum(), merged.any()) == (n_tracks, n_daughters, False)


@pytest.mark.shared
def test_masks_of_single_frames_are_told_from_tracks(shared_data: Path) -> None:
    film = label_film(shared_data / "small_timelapse_nuclei" / "c2c12_phase_labels_TYX.tif")
    cells = detections(film.read, list(range(film.shape[0])), "a")
    with pytest.raises(InputError, match="in 80% of 86 steps another cell was nearer"):
        _are_identities(cells, identity_links(cells, {}, "a"), "a")
