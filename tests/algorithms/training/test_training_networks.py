"""Networks trained further for a moment: the file that comes out is one that the engine runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discs import discs

from cyto_kedro.algorithms.training.cellpose import TrainCellPose
from cyto_kedro.algorithms.training.learner import Example, Learner
from cyto_kedro.algorithms.training.stardist import TrainStarDist, _turned
from cyto_kedro.core.matching import n_cells, n_matched
from cyto_kedro.errors import InputError
from cyto_kedro.registry import build


def nuclei(seed: int) -> Example:
    """Bright discs of 17 px on a dark background."""
    rng = np.random.default_rng(seed)
    label = discs(rng, (20, 60, 100), 5, 8.5)
    return Example(rng.normal(100, 5, label.shape) + 80 * (label > 0), label, pixel_size_um=0.5)


def scored(learner: Learner, examples: list[Example], tmp_path: Path) -> float:
    path = tmp_path / f"model{learner.suffix}"
    path.write_bytes(learner(examples=examples)["weights"])
    engine = build("segmentation", learner.engine, {"model": str(path), **learner.args(examples)})
    left_out = nuclei(9)
    found = engine(image=left_out.image[None], pixel_size_um=0.5)["label"][0]
    n_true = n_cells(left_out.label)
    return 2 * n_matched(left_out.label, found) / (n_true + n_cells(found))


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.slow
def test_cellpose_trained_further(shared_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("cellpose.train")
    from cyto_kedro.algorithms.segmentation import cellpose

    weights = str(shared_models / "cellpose3_dsb2018_nuclei" / "cp3_dsb2018_nuclei")

    def of_the_engine() -> Any:
        """A layer of the network that the engine keeps; on a CPU it may lie in oneDNN's order."""
        layer = cellpose._load(weights, False)[0].net.state_dict()["output.2.weight"]
        return (layer.to_dense() if layer.is_mkldnn else layer).clone()

    before = of_the_engine()
    learner = TrainCellPose(model=weights, epochs=2, learning_rate=0.001)
    examples = [nuclei(seed) for seed in (1, 2)]
    assert learner.args(examples) == {"diameter_um": pytest.approx(8.5, abs=0.3)}
    assert scored(learner, examples, tmp_path) > 0.9
    made = (tmp_path / "model.cellpose").read_bytes()
    assert made != Path(weights).read_bytes()
    # the engine's own copy of the network is left as it was
    assert (before == of_the_engine()).all()
    with pytest.raises(InputError, match="combine: separate"):
        TrainCellPose(model=weights, nucleus="DNA")(examples=examples)


@pytest.mark.engine
@pytest.mark.shared
@pytest.mark.slow
def test_stardist_trained_further(shared_models: Path, tmp_path: Path) -> None:
    pytest.importorskip("stardist.models")
    learner = TrainStarDist(
        model=str(shared_models / "stardist_dsb2018_nuclei"),
        **{"model_diameter_px": 17, "epochs": 1, "steps": 2, "learning_rate": 1e-5},
    )
    examples = [nuclei(seed) for seed in (1, 2)]
    given = learner.args(examples)
    assert given["model_diameter_px"] == 17 and given["diameter_um"] == pytest.approx(8.5, abs=0.3)
    assert scored(learner, examples, tmp_path) > 0.9
    small = [Example(each.image[:40], each.label[:40]) for each in examples]
    with pytest.raises(InputError, match="64 px"):
        learner(examples=small)


def test_image_and_masks_are_turned_alike() -> None:
    image = np.arange(12).reshape(3, 4)
    seen = set()
    for way in range(8):
        one, other = _turned(image, image, way)
        np.testing.assert_array_equal(one, other)
        seen.add(one.tobytes() + bytes(one.shape))
    assert len(seen) == 8
