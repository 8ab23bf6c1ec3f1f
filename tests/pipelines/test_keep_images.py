"""Images that are made as they are read, and what of them is stored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cyto_kedro.corrections import put_in_place
from cyto_kedro.datasets.recipe import Recipe
from tiny_project import Project

MADE = "treated_1/CancerCell/t0000-0006"
IMAGES = ("measurement_images", "segmentation_images")
PERCENTILES = {"name": "PercentileNormalisation"}
FLAT = {"name": "FlatField", "args": {"flat": "mean"}}
QUICK: dict[str, dict[str, Any]] = {
    "none": {"measurement": [], "segmentation": []},
    "quick": {
        "measurement": [
            FLAT,
            {
                "name": "BleedThrough",
                "args": {"channels": ["Dead", "CancerCell"], "source": "TCell", "fraction": 0.1},
            },
            {"name": "BleachCorrection", "args": {"channels": ["TCell"]}},
        ],
        "segmentation": [
            PERCENTILES,
            {"name": "AddStained", "args": {"channels": ["CancerCell", "Dead"], "output": "Both"}},
            {"name": "ChannelMerge", "args": {"channels": ["TCell", "Dead"], "output": "Sum"}},
            {"name": "Gamma", "args": {"channels": ["Both", "TCell"]}},
        ],
    },
    "moved": {
        "measurement": [
            {"name": "DriftRegistration", "args": {"channel": "TCell"}},
            {"name": "ChannelOffset", "args": {"shift_yx_px": {"Dead": [1.5, 0]}}},
            {"name": "Background", "args": {"method": "polynomial"}},
        ],
        "segmentation": [
            {"name": "Background", "args": {"method": "percentile"}},
            {
                "name": "CrossChannelCorrelation",
                "args": {"channels": ["Dead", "CancerCell"], "output": "Both"},
            },
        ],
    },
}


def images(project: Project) -> dict[str, np.ndarray]:
    catalog = project.catalog
    manifest = catalog.load("manifest")
    return {
        f"{name}/{identity}": np.asarray(parts[identity]())
        for name in IMAGES
        for parts in [catalog.load(name)]
        for identity in manifest.ids(parts.grain)
    }


def files(project: Project, suffix: str) -> list[str]:
    folder = project.path / "data/02_intermediate"
    return sorted(
        str(path.relative_to(folder))
        for name in IMAGES
        for path in (folder / name).rglob(f"*{suffix}")
        if ".ledger" not in path.parts
    )


def both(project: Project, path: Path) -> Project:
    """The same project with all images stored."""
    return project.copy(path).assay(keep_images="stored")


def sources(project: Project, **target: Any) -> Project:
    found = project.read("parameters")["assay"]["populations"]
    found["CancerCell"] |= target
    return project.assay(populations=found)


@pytest.mark.parametrize(
    ("name", "combine"),
    [("none", "mean"), ("none", "separate"), ("quick", "mean"), ("moved", "separate")],
)
def test_images_made_on_reading_equal_stored_ones(
    fresh: Project, tmp_path: Path, name: str, combine: str
) -> None:
    more = ["Dead"] if name == "none" else ["Both"]
    sources(fresh, channels=["CancerCell", *more], combine=combine)
    if combine == "separate":
        args = {"nucleus": more[0], "engine": "Otsu", "engine_args": {"diameter_px": 12}}
        fresh.block("segmentation", CancerCell={"name": "SeededGrowth", "args": args})
    fresh.block("preprocessing", **QUICK[name])
    stored = both(fresh, tmp_path / "stored")
    for project in (fresh, stored):
        project.run("ingestion", "preprocessing")
    assert not files(fresh, ".ome.tif") and not files(stored, ".recipe.json")
    assert len(files(fresh, ".recipe.json")) == len(files(stored, ".ome.tif")) == 20
    found, truth = images(fresh), images(stored)
    for key, image in truth.items():
        np.testing.assert_array_equal(found[key], image, err_msg=key)
        assert found[key].dtype == image.dtype
    for name in IMAGES:
        one, other = (each.catalog.get(name).one(MADE) for each in (fresh, stored))
        assert one.load_metadata() == other.load_metadata()
        assert one.glance().endswith("made on reading")
        assert one.preview() == other.preview()
        assert list(fresh.catalog.load(name)) == list(stored.catalog.load(name))


def test_slow_steps_are_stored_and_only_their_images(fresh: Project) -> None:
    slow = {"name": "Background", "args": {"radius_px": 5, "channels": ["CancerCell"]}}
    fresh.block("preprocessing", measurement=[], segmentation=[slow, PERCENTILES])
    fresh.run("ingestion", "preprocessing")
    assert {Path(each).parts[2] for each in files(fresh, ".ome.tif")} == {"CancerCell"}
    assert all(each.startswith("segmentation") for each in files(fresh, ".ome.tif"))
    assert len(files(fresh, ".ome.tif")) == 4 and len(files(fresh, ".recipe.json")) == 16


@pytest.mark.parametrize("how", ["tiles", "binned"])
def test_what_takes_long_to_make_of_raw_films_is_stored(fresh: Project, how: str) -> None:
    if how == "tiles":
        fresh.assay(tiles={"side_px": 64, "overlap_px": 16})
    else:
        raw = fresh.read("parameters")["assay"]["raw"]
        fresh.assay(raw=raw | {"view": {"bin_px": 2}})
    fresh.run("ingestion", "preprocessing")
    assert not files(fresh, ".recipe.json") and len(files(fresh, ".ome.tif")) == 20


def test_what_follows_hangs_on_pixels_and_own_steps_alone(fresh: Project) -> None:
    stages = ("ingestion", "preprocessing", "segmentation", "tabulation")
    fresh.block("preprocessing", **QUICK["none"])
    fresh.run(*stages)
    raw = fresh.path.parent / "raw"
    for film in raw.rglob("*.tif*"):
        os.utime(film, (1e9, 1e9))  # the films were copied, or restored
    assert {name for name, _ in fresh.resume(*stages)}.isdisjoint({"cells", "engine_labels"})
    fresh.block(
        "preprocessing", segmentation=[PERCENTILES | {"args": {"channels": ["CancerCell"]}}]
    )
    saved = fresh.resume(*stages)
    assert {each.split("/")[1] for name, each in saved if name == "engine_labels"} == {"CancerCell"}
    masks = fresh.catalog.get("labels")
    first = masks.list_ids()[0]
    over = fresh.catalog.load("segmentation_images")[first]()
    assert masks.preview() == masks.one(first).preview(over=over) != masks.one(first).preview()


def test_a_film_replaced_after_preprocessing_is_refused_until_it_is_run_again(
    fresh: Project,
) -> None:
    fresh.run("ingestion", "preprocessing")
    film = next(
        Path(each.files[0])
        for each in fresh.catalog.load("manifest").raw
        if (each.fov, each.channel) == ("treated_1", "CancerCell")
    )
    with tifffile.TiffFile(film) as tif:
        pixels, described = tif.asarray(), tif.pages[0].description  # type: ignore[union-attr]
    tifffile.imwrite(film, pixels // 2, description=described.encode(), metadata=None)
    os.utime(film, (1e9, 1e9))
    with pytest.raises(Exception, match="CancerCell, frame 0: the raw film is another"):
        np.asarray(fresh.catalog.load("measurement_images")[MADE]())
    assert np.asarray(fresh.catalog.load("measurement_images")["control_1/Dead/t0000-0006"]()).any()
    fresh.run("ingestion", "preprocessing")
    found = np.asarray(fresh.catalog.load("measurement_images")[MADE]())
    np.testing.assert_array_equal(found, pixels[:7] // 2)


def test_states_of_another_estimate_are_refused(fresh: Project) -> None:
    fresh.run("ingestion", "preprocessing")
    state = fresh.path / "data/02_intermediate/preprocessing_state"
    shutil.copy(state / "control_1.pkl", state / "treated_1.pkl")
    with pytest.raises(Exception, match=r"what its steps estimated changed since preprocessing"):
        fresh.catalog.load("segmentation_images")[MADE]()
    fresh.block("preprocessing", **QUICK["none"])
    fresh.run("preprocessing", nodes=["estimate_preprocessing"])  # of no step
    with pytest.raises(Exception, match=r"what its steps estimated changed since preprocessing"):
        fresh.catalog.load("segmentation_images")[MADE]()


def test_how_images_are_kept_may_change_and_a_person_s_file_stays(fresh: Project) -> None:
    fresh.run("ingestion", "preprocessing")
    before = images(fresh)
    fresh.assay(keep_images="stored")
    assert "segmentation_images" not in {name for name, _ in fresh.resume()}  # no pixel is another
    fresh.run("ingestion", "preprocessing")
    assert not files(fresh, ".recipe.json") and len(files(fresh, ".ome.tif")) == 20
    own = fresh.path / "data/02_intermediate/segmentation_images" / f"{MADE}.ome.tif"
    tifffile.imwrite(own, np.ones((7, 96, 96), np.uint8))
    fresh.assay(keep_images="virtual")
    fresh.run("ingestion", "preprocessing")
    assert not files(fresh, ".ome.tif") and len(files(fresh, ".recipe.json")) == 20
    aside = list((fresh.path / "data/aside").rglob("*.tif"))
    assert [tifffile.imread(each).max() for each in aside] == [1]
    for key, image in images(fresh).items():
        np.testing.assert_array_equal(image, before[key])


def test_a_corrected_image_takes_the_place_of_its_recipe(fresh: Project, tmp_path: Path) -> None:
    fresh.run("ingestion", "preprocessing")
    tifffile.imwrite(tmp_path / "fixed.tif", np.full((7, 96, 96), 3, np.uint16))
    put_in_place(
        fresh.catalog, "segmentation_images", MADE, tmp_path / "fixed.tif", "Ada", "a hair"
    )
    found = [each for each in files(fresh, "") if MADE in each and each.startswith("segm")]
    assert found == [f"segmentation_images/{MADE}.ome.tif"]
    assert (np.asarray(fresh.catalog.load("segmentation_images")[MADE]()) == 3).all()
    fresh.run("ingestion", "preprocessing")
    assert (np.asarray(fresh.catalog.load("segmentation_images")[MADE]()) == 3).all()
    assert fresh.catalog.get("segmentation_images").drop_correction(MADE).who == "Ada"
    assert ("segmentation_images", MADE) in fresh.resume("preprocessing")
    assert isinstance(fresh.catalog.get("segmentation_images").one(MADE).recipe(), Recipe)
