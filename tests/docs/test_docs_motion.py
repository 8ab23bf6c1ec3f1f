"""docs/motion.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from cyto_kedro import schemas
from cyto_kedro.parameters import MODELS

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONF = DOCS.parent / "conf" / "base"
TABLES = (
    "steps",
    "motility",
    "msd",
    "track_fits",
    "motion_fits",
    "velocity_autocorrelation",
    "drift",
)


def test_yaml_columns_and_links_exist() -> None:
    text = (DOCS / "motion.md").read_text(encoding="utf-8")
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        for key, value in yaml.safe_load(block).items():
            base = yaml.safe_load((CONF / f"parameters_{key}.yml").read_text())[key]
            MODELS[key].model_validate(base | value)
    for target in re.findall(r"\]\(([\w.]+)\)", text):
        assert (DOCS / target).is_file() or target in ("parameters.md", "tables.md")
    columns = {each for name in TABLES for each in schemas.dtypes(schemas.TABLES[name])}
    named = re.findall(rf"`(?:(?:{'|'.join(TABLES)})\.)?([a-z]+_[a-z_]+)(\*?)`", text)
    known = columns | set(schemas.TABLES) | set(MODELS["contacts"].model_fields)
    known |= {"max_lag_frames", "max_gap_frames", "arrest_speed_um_per_min"}
    known |= {"duration_min", "step_min", "min_seen", "behaviour_shares", "behaviour_comparisons"}
    known |= {"savgol_filter", "compute_drift"}  # other libraries' functions
    for name, star in named:
        found = [each for each in known if (each.startswith(name) if star else each == name)]
        assert found or name.endswith("_"), f"motion.md names {name}, which is no column"
