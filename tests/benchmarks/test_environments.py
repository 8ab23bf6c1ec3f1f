"""The environments of the real assays hold together, and find their files where these exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.parameters import Assay, Preprocessing, SegmentationSpec, check_together
from cyto_kedro.pipelines.ingestion.nodes import plan_assay
from cyto_kedro.pipelines.ingestion.sheet import read_sheet


def load(root: Path, env: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(conf_source=str(root / "conf"), base_env="base", default_run_env=env)


@pytest.mark.parametrize("env", ["adcc", "dsb", "gowt1", "simplus"])
def test_blocks_of_an_environment_fit_together(project_root: Path, env: str) -> None:
    blocks = load(project_root, env)["parameters"]
    check_together({name: blocks[name] for name in blocks if name != "simulation"})
    assert set(blocks["segmentation"]) == set(blocks["assay"]["populations"])


@pytest.mark.parametrize("env", ["adcc", "dsb", "gowt1", "simplus"])
def test_each_engine_of_an_environment_can_be_made(project_root: Path, env: str) -> None:
    text = (project_root / f"conf/{env}/engines.yml").read_text(encoding="utf-8")
    engines = yaml.safe_load(text)
    assert engines
    for spec in engines.values():
        steps = spec.pop("preprocessing", [])
        SegmentationSpec.model_validate(spec).make()
        Preprocessing.model_validate({"measurement": [], "segmentation": steps})


@pytest.mark.shared
@pytest.mark.parametrize(
    ("env", "n_fields", "n_frames", "pixel_size"),
    [
        ("adcc", 8, 1, 0.3112),
        ("dsb", 31, 1, None),
        ("gowt1", 1, 40, 0.24),
        ("simplus", 1, 65, 0.125),
    ],
)
def test_an_environment_finds_its_films(
    project_root: Path,
    shared_data: Path,
    env: str,
    n_fields: int,
    n_frames: int,
    pixel_size: float | None,
) -> None:
    import pandas as pd

    loader = load(project_root, env)
    folder = shared_data / Path(loader["globals"]["raw"]).name
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    sheet = pd.read_csv(project_root / f"conf/{env}/sample_sheet.csv", dtype={"fov": str})
    assert len(read_sheet(sheet)) == n_fields
    assay = Assay.model_validate(loader["parameters"]["assay"])
    manifest, fields, frames = plan_assay(RawFolder(str(folder)), sheet, assay)
    assert list(manifest.fovs) == sheet["fov"].tolist()
    assert len(frames) == n_fields * n_frames
    assert set(
        fields["pixel_size_um"].astype(object).where(fields["pixel_size_um"].notna(), None)
    ) == {pixel_size}
    assert {each.channel for each in manifest.raw} == set(assay.channels)
