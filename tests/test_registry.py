from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cyto_kedro import registry
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.errors import ConfigError
from cyto_kedro.registry import STAGES, AlgorithmSpec, algorithms, build

NAMED_IN_CONF = {
    "preprocessing": {"PercentileNormalisation"},
    "segmentation": {"LocalThreshold", "Otsu", "SubtractPopulation"},
    "tabulation": {"Features", "Touches"},
    "tracking": {"LAP"},
    "contacts": {"Kinematics", "ContactJoin", "Bouts", "MarkerThreshold", "KillShares"},
    "networks": {
        *("Delaunay", "RadiusGraph", "NearestGraph", "ContactNetwork", "AggregateContacts"),
        *("SpaceTimeGraph", "Clusters", "SpatialStatistics", "DeathSpread"),
    },
    "comparison": {"SurvivalCurves", "ContactHazards", "ReplicateTests"},
    "simulation": {"SimulatedAssay"},
}
HEAVY = (
    *("torch", "cellpose", "tensorflow", "stardist", "laptrack", "trackpy", "lifelines"),
    *("matplotlib", "plotly", "shapely", "skimage.segmentation", "skimage.measure"),
)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Scan anew in the test, and forget what it added."""
    algorithms.cache_clear()
    yield
    algorithms.cache_clear()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_scanned(stage: str) -> None:
    found = algorithms(stage)
    assert NAMED_IN_CONF.get(stage, set()) <= set(found)
    for name, cls in found.items():
        assert cls.__name__ == name and issubclass(cls, Algorithm)


def test_scanning_every_stage_imports_no_heavy_library() -> None:
    code = (
        "import json, sys\n"
        "from cyto_kedro.registry import STAGES, algorithms\n"
        "[algorithms(stage) for stage in STAGES]\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []


def test_an_unknown_stage_name_or_argument_gets_the_nearest_match() -> None:
    with pytest.raises(ConfigError, match=r"unknown stage 'traking'\. Did you mean 'tracking'"):
        algorithms("traking")
    with pytest.raises(
        ConfigError, match=r"unknown segmentation algorithm 'Otsou'\. Did you mean 'Otsu'\? Valid:"
    ):
        build("segmentation", "Otsou")
    with pytest.raises(
        ConfigError, match=r"unknown argument of Touches 'max_distanse_um'.*'max_distance_um'"
    ):
        build("tabulation", "Touches", {"max_distanse_um": 1.5})


def test_an_argument_of_the_wrong_type_is_named_with_what_was_given() -> None:
    with pytest.raises(ConfigError, match=r"Touches\.max_distance_um: .*number.*\(got 'near'\)"):
        build("tabulation", "Touches", {"max_distance_um": "near"})


def test_every_fault_of_the_arguments_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as failure:
        build("tabulation", "Touches", {"max_distance_um": "near", "colour": "red"})
    assert "max_distance_um" in str(failure.value) and "'colour'" in str(failure.value)


class Spec(AlgorithmSpec):
    stage = "tabulation"


def test_a_spec_is_hashed_with_defaults_and_version() -> None:
    plain = Spec(name="Touches", args={"max_distance_um": 1.5})
    assert plain.fingerprint()["args"]["max_distance"]["um"] == 1.5
    assert set(plain.fingerprint()["args"]) == set(algorithms("tabulation")["Touches"].model_fields)
    assert plain.fingerprint()["version"] == algorithms("tabulation")["Touches"].version


MODULE = """
from abc import abstractmethod
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.segmentation.labels import Labelled
from cyto_kedro.core.contract import Image

class Half(Algorithm):
    @abstractmethod
    def more(self): ...

class {name}(Half):
    def more(self): ...
    def run(self, image: Image) -> Labelled:
        return {{"label": image}}
"""


def test_a_new_module_of_a_stage_is_found_by_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    import cyto_kedro.algorithms.segmentation as stage

    (tmp_path / "brand_new.py").write_text(MODULE.format(name="BrandNew"), encoding="utf-8")
    monkeypatch.setattr(stage, "__path__", [*stage.__path__, str(tmp_path)])
    found = algorithms("segmentation")
    assert found["BrandNew"].__module__ == "cyto_kedro.algorithms.segmentation.brand_new"
    assert "Half" not in found and "Algorithm" not in found  # abstract, imported
    monkeypatch.delitem(sys.modules, "cyto_kedro.algorithms.segmentation.brand_new")


def install(folder: Path, name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `acme` with one entry point, as pip would have left it in `folder`."""
    (folder / "acme.py").write_text(
        MODULE.format(name="Acme") + "\nclass Other: ...\n", encoding="utf-8"
    )
    info = folder / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cyto_kedro.segmentation]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme", raising=False)


def test_another_packages_entry_point_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    install(tmp_path, "Acme", "acme:Acme", monkeypatch)
    assert algorithms("segmentation")["Acme"].__module__ == "acme"
    image = np.zeros((1, 2, 2))
    assert build("segmentation", "Acme")({"image": image})["label"] is image


def test_a_package_that_does_not_import_stops_only_what_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    install(tmp_path, "Acme", "acme:Acme", monkeypatch)
    (tmp_path / "acme.py").write_text("import no_such_library\n")
    assert "Otsu" in algorithms("segmentation")
    said = r"'Acme' of another package \(acme:Acme\) cannot be imported.*no_such_library"
    with pytest.raises(ConfigError, match=said):
        build("segmentation", "Acme")


def test_two_algorithms_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    install(tmp_path, "Otsu", "acme:Acme", monkeypatch)
    with pytest.raises(ConfigError, match=r"two segmentation algorithms are called 'Otsu'.*acme"):
        algorithms("segmentation")


def test_an_entry_point_that_is_no_algorithm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    install(tmp_path, "Other", "acme:Other", monkeypatch)
    with pytest.raises(ConfigError, match=r"'Other' \(acme:Other\) is not a subclass"):
        registry.algorithms("segmentation")


def test_python_says_what_yaml_says() -> None:
    """A class refuses an argument by name in a notebook, too, with the nearest match."""
    from cyto_kedro.algorithms.segmentation.threshold import LocalThreshold

    said = "unknown argument of LocalThreshold 'diamter_um'. Did you mean 'diameter_um'"
    with pytest.raises(ConfigError, match=said):
        LocalThreshold(diamter_um=12)
    with pytest.raises(ConfigError, match=said):
        build("segmentation", "LocalThreshold", {"diamter_um": 12})
    assert issubclass(ConfigError, ValueError)  # as pydantic's own error is
