"""Small pictures of films for kedro-viz."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyto_kedro.datasets import PartitionedDataset
from cyto_kedro.datasets.previews import GAP, MAX_SIDE, PANEL, labels_png, laid_out, strip

HOME = "cyto_kedro.datasets"


class Counted:
    """A film that counts which frames are read."""

    def __init__(self, n_frames: int, side: int) -> None:
        self.shape, self.dtype = (n_frames, side, side + 10), np.dtype(np.uint16)
        self.read: list[int] = []

    def __getitem__(self, t: int) -> np.ndarray:
        self.read.append(t)
        return np.full(self.shape[1:], t, self.dtype)


def test_six_frames_in_the_order_of_reading_and_no_other_is_read() -> None:
    film = Counted(41, 20)
    frames = strip(film)
    assert film.read == [0, 8, 16, 24, 32, 40]
    page = laid_out(frames)
    assert [page[10 + 22 * y, 15 + 32 * x] for y in (0, 1) for x in (0, 1, 2)][:5] == film.read[:5]
    assert page.shape[1] / page.shape[0] == pytest.approx(PANEL, abs=0.03)


@pytest.mark.parametrize("size", [(30, 30), (20, 60), (60, 20)])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_the_page_has_the_shape_of_the_panel(size: tuple[int, int], n: int) -> None:
    page = laid_out([np.full((*size, 3), 9 * (i + 1), np.uint8) for i in range(n)])
    assert page.shape[1] / page.shape[0] == pytest.approx(PANEL, rel=0.03)
    found = np.bincount(page[..., 0].ravel(), minlength=60)
    assert all(
        found[9 * (i + 1)] == size[0] * size[1] for i in range(n)
    )  # whole, none over another


@pytest.mark.parametrize(("n_frames", "side"), [(1, 3000), (2, 2048), (9, 700)])
def test_they_are_small(n_frames: int, side: int) -> None:
    height, width = laid_out(strip(Counted(n_frames, side))).shape
    assert max(height, width) <= PANEL * (MAX_SIDE + 3 * GAP)


def test_a_still_stays_one_and_an_empty_film_is_black() -> None:
    assert [each.shape for each in strip(Counted(1, 20))] == [(20, 30)]
    assert not laid_out(strip(Counted(0, 20))).any()


def test_outlines_of_masks_lie_over_the_image() -> None:
    labels = np.zeros((1, 12, 18), np.uint32)
    labels[0, 3:9, 3:9], labels[0, 3:9, 9:15] = 1, 2  # two that touch
    image = np.tile(np.linspace(0, 1, 18, dtype=np.float32), (1, 12, 1))
    shown = np.asarray(Image.open(BytesIO(b64decode(labels_png(labels, image)))))
    assert shown.shape == (12, 18, 3)
    coloured = (shown != shown[..., :1]).any(axis=-1)
    inside = np.zeros((12, 18), bool)
    inside[4:8, 4:8] = inside[4:8, 10:14] = True
    assert (coloured == (labels[0] > 0) & ~inside).all()
    alone = np.asarray(Image.open(BytesIO(b64decode(labels_png(labels)))))
    assert (alone[labels[0] == 0] == 0).all() and (alone[inside].max(axis=-1) > 0).all()


def test_of_partitions_masks_lie_over_the_image_of_the_same_id(tmp_path: Path) -> None:
    given = [
        {"path": str(tmp_path / kind), "filename_suffix": suffix, "dataset": f"{HOME}.{kind}"}
        for kind, suffix in (("LabelDataset", ".tif"), ("ImageDataset", ".ome.tif"))
    ]
    over = {"type": f"{HOME}.PartitionedDataset", "grain": "fov", **given[1]}
    masks = PartitionedDataset(grain="fov", preview_over=over, **given[0])
    stack = np.zeros((1, 20, 30), np.uint32)
    stack[0, 5:15, 5:15] = 3
    masks.save({"A": stack})
    alone = masks.preview()
    film = np.arange(600, dtype=np.uint16).reshape(1, 20, 30)
    PartitionedDataset(grain="fov", **given[1]).save({"A": film})
    assert masks.preview() == labels_png(stack, film) != alone == labels_png(stack)
