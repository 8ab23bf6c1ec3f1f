"""Films copied in slowly: a field is taken when it is whole, and not before."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from cyto_kedro.cli import Opened, cli
from cyto_kedro.datasets import microscopes
from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.datasets.scene import Scene
from cyto_kedro.parameters import Assay
from cyto_kedro.watch import Seen, Watched, follow, narrowed, run_fields
from tiny_project import FOVS, N_FRAMES, Project, finished, session_folder, tiny_raw

__all__ = ["finished", "session_folder", "tiny_raw"]
CHANNELS = ("TCell", "CancerCell", "Dead")
SHEET = pd.DataFrame({"fov": FOVS, "condition": ["control", "treated"]})


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def watched(
    raw: Path, clock: Callable[[], float], pattern: str = "{fov}/{channel}.ome.tif", **more: Any
) -> Watched:
    populations = {
        "TCell": {"role": "effector", "channels": ["TCell"]},
        "CancerCell": {"role": "target", "channels": ["CancerCell"]},
    }
    assay = Assay.model_validate(
        {
            "raw": {"pattern": pattern},
            "channels": CHANNELS,
            "populations": populations,
            "markers": {"death": "Dead"},
        }
    )
    return Watched(RawFolder(str(raw)), assay, **{"settle_s": 60.0, "clock": clock} | more)


def copy(tiny_raw: Path, raw: Path, fov: str, *channels: str) -> None:
    (raw / fov).mkdir(parents=True, exist_ok=True)
    for channel in channels or CHANNELS:
        shutil.copy(tiny_raw / fov / f"{channel}.ome.tif", raw / fov)


def test_a_field_is_complete_when_nothing_of_it_changed_for_a_while(
    tiny_raw: Path, tmp_path: Path
) -> None:
    clock, raw = Clock(), tmp_path / "raw"
    raw.mkdir()
    here = watched(raw, clock)
    assert here.look(SHEET).waiting == dict.fromkeys(FOVS, "no film yet")
    copy(tiny_raw, raw, "treated_1")
    assert here.look(SHEET).waiting["treated_1"] == "still being written"
    clock.now = 59.0
    with (raw / "treated_1/Dead.ome.tif").open("ab") as file:
        file.write(b"\0")  # one byte more, and the minute begins anew
    assert here.look(SHEET).waiting["treated_1"] == "still being written"
    clock.now = 118.0
    assert not here.look(SHEET).complete
    clock.now = 120.0
    assert here.look(SHEET) == Seen(frozenset({"treated_1"}), {"control_1": "no film yet"})


def test_what_a_run_would_refuse_is_waited_for(tiny_raw: Path, tmp_path: Path) -> None:
    clock, raw = Clock(), tmp_path / "raw"
    copy(tiny_raw, raw, "treated_1", "TCell", "Dead")
    copy(tiny_raw, raw, "control_1")
    film = raw / "control_1/Dead.ome.tif"
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    here = watched(raw, clock)
    here.look(SHEET)
    clock.now = 100.0
    waiting = here.look(SHEET).waiting
    assert "channel CancerCell is missing" in waiting["treated_1"]
    assert "Dead.ome.tif" in waiting["control_1"]  # cut short
    film.write_bytes(whole)
    here.look(SHEET)
    clock.now = 200.0
    assert here.look(SHEET).complete == {"control_1"}


def test_a_film_shorter_than_it_will_be_is_waited_for(tiny_raw: Path, tmp_path: Path) -> None:
    copy(tiny_raw, tmp_path, "treated_1")
    longer = watched(tmp_path, Clock(), settle_s=0.0, n_frames=N_FRAMES + 1)
    assert longer.look(SHEET).waiting["treated_1"] == f"has {N_FRAMES} of {N_FRAMES + 1} frames"
    exact = watched(tmp_path, Clock(), settle_s=0.0, n_frames=N_FRAMES)
    assert exact.look(SHEET).complete == {"treated_1"}


def test_excluded_fields_are_not_waited_for(tiny_raw: Path, tmp_path: Path) -> None:
    copy(tiny_raw, tmp_path, "treated_1")
    sheet = SHEET.assign(exclude=["yes", "no"], exclude_reason=["spilt", ""])
    seen = watched(tmp_path, Clock(), settle_s=0.0).look(sheet)
    assert seen == Seen(frozenset({"treated_1"}), {})


def test_each_new_field_is_one_run_and_patience_ends() -> None:
    clock = Clock()
    looks = iter(
        [Seen(frozenset(done), dict.fromkeys(left, "…")) for done, left in
         [("", "ab"), ("a", "b"), ("a", "b"), ("", "ab"), ("a", "b"), ("ab", "")]]
    )  # fmt: skip
    runs: list[str] = []
    end = Seen(frozenset("ab"), {})
    seen = follow(
        lambda: next(looks, end), lambda f: runs.append("".join(sorted(f))), 10.0,
        sleep=clock.sleep, clock=clock,
    )  # fmt: skip
    assert seen == end and runs == ["a", "a", "ab"]  # a grew again after its first run

    never = Seen(frozenset("a"), {"b": "no film yet"})
    runs.clear()
    seen = follow(lambda: never, lambda f: runs.append("a"), 10.0, 100.0, clock.sleep, clock)
    assert seen is never and runs == ["a"]


@pytest.mark.slow
def test_films_are_analysed_as_they_come(tiny_raw: Path, tmp_path: Path) -> None:
    """A thread copies in pieces; no run sees a film in pieces, and none is made twice."""
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(tiny_raw / "sample_sheet.csv", raw)
    sheet = pd.read_csv(raw / "sample_sheet.csv", dtype=str, keep_default_na=False)
    project = Project.make(tmp_path / "project", raw)
    assert project.catalog  # bootstrapped
    finished_at: dict[str, float] = {}

    def microscope() -> None:
        for fov in FOVS:
            for channel in CHANNELS:
                (raw / fov).mkdir(exist_ok=True)
                content = (tiny_raw / fov / f"{channel}.ome.tif").read_bytes()
                with (raw / fov / f"{channel}.ome.tif").open("wb") as file:
                    for start in range(0, len(content), len(content) // 4 + 1):
                        file.write(content[start : start + len(content) // 4 + 1])
                        file.flush()
                        time.sleep(0.05)
            finished_at[fov] = time.monotonic()

    here = watched(raw, time.monotonic, settle_s=1.0)
    runs: list[tuple[frozenset[str], float]] = []

    def run(fields: frozenset[str]) -> None:
        runs.append((fields, time.monotonic()))
        run_fields(Opened(project.path), here, fields, ["ingestion"])

    writer = threading.Thread(target=microscope)
    writer.start()
    follow(lambda: here.look(sheet), run, every_s=0.1, patience_s=60.0)
    writer.join()
    for fields, started in runs:
        assert all(finished_at[fov] + 1.0 <= started + 0.2 for fov in fields)
    assert runs[-1][0] == set(FOVS) and len(runs) <= 2
    assert set(project.catalog.load("manifest").fovs) == set(FOVS)
    if len(runs) == 2:
        made = [each["partition"] for each in project.manifest()["partitions"]]
        assert "treated_1" in made and "control_1" not in made


@pytest.mark.slow
def test_the_command_ends_when_all_is_done(tiny_raw: Path, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", tiny_raw)
    metadata = bootstrap_project(project.path)
    words = ["cyto", "watch", "--settle", "0", "--every", "0.01", "--pipelines", "ingestion"]
    done = CliRunner().invoke(cli, [*words, "--frames", str(N_FRAMES)], obj=metadata)
    assert done.exit_code == 0 and "2 fields are done" in done.output, done.output
    assert set(project.catalog.load("manifest").fovs) == set(FOVS)
    longer = [*words, "--frames", "100", "--give-up", "0"]
    done = CliRunner().invoke(cli, longer, obj=metadata)
    assert f"treated_1: not analysed: has {N_FRAMES} of 100 frames" in done.output, done.output


def test_a_run_sees_the_complete_fields_alone(tiny_raw: Path, tmp_path: Path) -> None:
    copy(tiny_raw, tmp_path, "treated_1")
    copy(tiny_raw, tmp_path, "control_1", "TCell")
    (tmp_path / "control_1/TCell.ome.tif").write_bytes(b"half")
    inputs = narrowed(RawFolder(str(tmp_path)), SHEET, frozenset({"treated_1"}), FOVS)
    assert inputs["sample_sheet"]["fov"].tolist() == ["treated_1"]
    found = inputs["raw_folder"].scan("{fov}/{channel}.ome.tif", list(CHANNELS))
    assert {each.fov for each in found} == {"treated_1"}


@contextmanager
def npy_scenes(path: str) -> Iterator[list[Scene]]:
    """A stand-in for a library of microscopes' files: an array (scene, T, C, Y, X)."""
    film = np.load(path)
    sizes = dict(zip("TCYX", film.shape[1:], strict=True))

    def plane(scene: int, t: int, c: int, z: int) -> np.ndarray:
        return np.asarray(film[scene, t, c])

    yield [
        Scene(*(name, sizes, film.dtype, CHANNELS, (0.5, 0.5), 60.0, tuple), partial(plane, number))
        for number, name in enumerate(FOVS)
    ]


def test_scenes_of_one_file_are_complete_when_it_is(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(microscopes.READERS, ".czi", npy_scenes)
    film = np.arange(2 * 4 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 4, 3, 8, 9)
    clock, path = Clock(), tmp_path / "night.czi"
    here = watched(tmp_path, clock, pattern="*.czi", n_frames=4)

    def write(content: bytes) -> None:
        path.write_bytes(content)
        clock.now += 61.0

    with BytesIO() as file:
        np.save(file, film[:, :3])
        shorter = file.getvalue()
    with BytesIO() as file:
        np.save(file, film)
        whole = file.getvalue()
    write(whole[:100])  # not readable yet
    assert here.look(SHEET).waiting == dict.fromkeys(FOVS, "no film yet")
    write(shorter)
    assert here.look(SHEET).waiting == dict.fromkeys(FOVS, "still being written")
    clock.now += 61.0
    assert here.look(SHEET).waiting == dict.fromkeys(FOVS, "has 3 of 4 frames")
    write(whole)
    assert here.look(SHEET).waiting == dict.fromkeys(FOVS, "still being written")
    clock.now += 61.0
    assert here.look(SHEET).complete == {*FOVS}
    inputs = here.only({"treated_1"}, SHEET)
    found = inputs["raw_folder"].scan("*.czi", CHANNELS)
    assert {(raw.fov, raw.scene) for raw in found} == {("treated_1", FOVS.index("treated_1"))}


def test_wells_of_a_plate_are_complete_each_by_itself(tmp_path: Path) -> None:
    plate = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "A/2"}]}
    arrays = {}
    for well in ("A/1", "A/2"):
        plate.create_group(well).attrs["well"] = {"images": [{"path": "0"}]}
        image = plate.create_group(f"{well}/0")
        arrays[well] = image.create_array("0", shape=(4, 3, 8, 9), chunks=(1, 1, 8, 9), dtype="u2")
        image.attrs["multiscales"] = [{"axes": list("tcyx"), "datasets": [{"path": "0"}]}]
        image.attrs["omero"] = {"channels": [{"label": name} for name in CHANNELS]}
    sheet = SHEET.assign(fov=["A1", "A2"])
    clock = Clock()
    here = watched(tmp_path, clock, pattern="*.zarr")
    arrays["A/1"][:] = 7
    arrays["A/2"][0] = 7
    here.look(sheet)
    clock.now = 61.0
    arrays["A/2"][1] = 7
    seen = here.look(sheet)
    assert seen == Seen(frozenset({"A1"}), {"A2": "still being written"})
