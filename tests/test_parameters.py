from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cyto_kedro.errors import ConfigError
from cyto_kedro.parameters import MODELS, Assay, Preprocessing, Segmentation, check_together


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


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "CleanUp"}, "CleanUp is a step on labels, not an engine"),
        ({"name": "Otsu", "steps": [{"name": "Li"}]}, "Li is no step on labels"),
        ({"name": "Otsu", "steps": [{"name": "SubtractPopulation"}]}, "is no step on labels"),
    ],
)
def test_engines_and_steps_on_labels_are_told_apart(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Segmentation.model_validate({"T": spec})


def test_steps_on_labels_are_part_of_the_fingerprint() -> None:
    step = {"name": "CleanUp", "args": {"min_area_px": 40}}
    block = Segmentation.model_validate(
        {"T": {"name": "Otsu"}, "C": {"name": "Otsu", "steps": [step]}}
    )
    without, given = (block.root[name].fingerprint() for name in "TC")
    assert "steps" not in without
    assert given["steps"][0]["args"]["min_area_px"] == 40
    assert {**given, "steps": None} == {**without, "steps": None}
