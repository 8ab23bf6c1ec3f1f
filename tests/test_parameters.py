from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cyto_kedro.errors import ConfigError
from cyto_kedro.ledger import digest
from cyto_kedro.parameters import (
    MODELS,
    Assay,
    Preprocessing,
    Segmentation,
    check_together,
    given_in,
)

CONF = Path(__file__).resolve().parents[1] / "conf" / "base"


@pytest.fixture
def blocks(project_root: Path) -> dict[str, Any]:
    """All parameters of conf/base."""
    found: dict[str, Any] = {}
    for path in (project_root / "conf" / "base").glob("parameters*.yml"):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_the_base_parameters_are_valid_and_every_block_has_a_model(blocks: dict[str, Any]) -> None:
    assert set(blocks) == set(MODELS)
    check_together(blocks)


def test_a_population_segmentation_does_not_know_is_named(blocks: dict[str, Any]) -> None:
    blocks["segmentation"]["CancerCel"] = blocks["segmentation"].pop("CancerCell")
    with pytest.raises(
        ConfigError, match=r"segmentation: unknown population 'CancerCel'.*'CancerCell'"
    ):
        check_together(blocks)


def test_a_population_without_a_linker_is_named(blocks: dict[str, Any]) -> None:
    del blocks["tracking"]["TCell"]
    with pytest.raises(ConfigError, match=r"tracking says nothing of.*'TCell'.*add tracking.TCell"):
        check_together(blocks)


def test_a_channel_that_nothing_makes_is_named(blocks: dict[str, Any]) -> None:
    blocks["assay"]["populations"]["TCell"]["channels"] = ["TCel"]
    with pytest.raises(
        ConfigError, match=r"assay\.populations\.TCell\.channels: unknown channel 'TCel'.*'TCell'"
    ):
        check_together(blocks)
    blocks["assay"]["populations"]["TCell"]["channels"] = ["TCell"]
    blocks["preprocessing"]["segmentation"][0]["args"]["channels"] = ["Ded"]
    with pytest.raises(
        ConfigError, match=r"preprocessing, PercentileNormalisation: unknown channel 'Ded'.*'Dead'"
    ):
        check_together(blocks)


def test_a_marker_on_an_unknown_channel_is_named(blocks: dict[str, Any]) -> None:
    blocks["assay"]["markers"]["death"] = "PI"
    with pytest.raises(ValidationError, match=r"markers\.death: unknown channel 'PI'"):
        Assay.model_validate(blocks["assay"])


@pytest.mark.parametrize("other", ["TCel", "CancerCell"])
def test_a_population_subtracts_known_others_only(blocks: dict[str, Any], other: str) -> None:
    blocks["assay"]["populations"]["CancerCell"]["subtract"] = [other]
    with pytest.raises(ValidationError, match="unknown other population"):
        Assay.model_validate(blocks["assay"])


def test_contrast_steps_never_reach_measurement_images() -> None:
    spec = {"name": "PercentileNormalisation", "args": {}}
    with pytest.raises(
        ValidationError, match=r"PercentileNormalisation changes what.*preprocessing\.segmentation"
    ):
        Preprocessing.model_validate({"measurement": [spec]})


@pytest.mark.parametrize(
    ("key", "value"),
    [("block_length", 0), ("block_length", "many"), ("pixel_size_um", -1), ("blok_length", 5)],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(
    blocks: dict[str, Any], key: str, value: Any
) -> None:
    with pytest.raises(ValidationError, match=key):
        Assay.model_validate({**blocks["assay"], key: value})


def test_a_group_sees_its_populations_part() -> None:
    block = Segmentation.model_validate({"T": {"name": "Otsu"}, "C": {"name": "LocalThreshold"}})
    assert block.for_group({"fov": "a", "population": "C"}).name == "LocalThreshold"
    assert block.for_group({"fov": "a"}) is block


def test_a_tile_sees_the_engine_without_its_steps() -> None:
    steps = [{"name": "CleanUp", "args": {"min_area_px": 9}}, {"name": "CleanUp"}]
    block = Segmentation.model_validate({"T": {"name": "Otsu", "steps": steps}})
    bare = Segmentation.model_validate({"T": {"name": "Otsu"}})
    tile = {"fov": "a", "population": "T", "tile": "t0000-0004"}
    assert block.for_group(tile) == bare.for_group(tile)
    assert digest(block.for_group(tile)) == digest(bare.for_group(tile))
    whole = {"fov": "a", "block": "t0000-0004"}
    assert digest(block.for_group(whole)) != digest(bare.for_group(whole))
    assert given_in("um", "px", {"segmentation": bare}) == []
    um = {"T": {"name": "Otsu", "steps": [{"name": "SmoothOutlines", "args": {"radius_um": 2}}]}}
    assert given_in("um", "px", {"segmentation": um}) == ["segmentation.T.steps[0].args.radius_um"]


def test_a_duration_whose_twin_is_given_needs_no_times() -> None:
    def asked(**args: object) -> list[str]:
        contacts = yaml.safe_load((CONF / "parameters_contacts.yml").read_text())["contacts"]
        contacts["kills"] = {"name": "KillShares", "args": args}
        found = given_in("min", "frames", {"contacts": contacts})
        return [name for name in found if name.startswith("contacts.kills.")]

    assert asked() == ["contacts.kills.args.window_min"]
    assert asked(window_frames=30) == asked(window_min=None, window_frames=30) == []


@pytest.mark.parametrize(
    ("block", "value", "why"),
    [
        ("segmentation", {"name": "CleanUp"}, r"not an engine.*segmentation\.<population>\.steps"),
        ("segmentation", {"name": "SubtractPopulation"}, r"no engine.*subtraction\.name"),
        (
            "segmentation",
            {"steps": [{"name": "Otsu"}]},
            r"no step.*segmentation\.<population>\.name",
        ),
        ("segmentation", {"steps": [{"name": "SubtractPopulation"}]}, r"subtraction\.name"),
        ("segmentation", {"steps": [{"name": "CleenUp"}]}, "Did you mean 'CleanUp'"),
        (
            "segmentation",
            {"steps": [{"name": "SplitTouching"}]},
            "needs diameter_um or diameter_px",
        ),
        ("tracking", {"name": "MinimumLength", "args": {"min_points": 3}}, "not a linker"),
        ("tracking", {"name": "LAP", "steps": [{"name": "LAP"}]}, "a linker, not a step"),
    ],
)
def test_engines_and_steps_stand_in_their_own_places(block: str, value: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MODELS[block].model_validate({"T": {"name": "Otsu"} | value})


def test_only_a_subtraction_subtracts() -> None:
    with pytest.raises(ValidationError, match="subtracts nothing"):
        MODELS["subtraction"].model_validate({"name": "Otsu"})
