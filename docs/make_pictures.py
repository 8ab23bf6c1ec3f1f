"""Draw the pictures of the docs from a run of the sample: ``make pictures``.

``python docs/make_pictures.py`` runs the sample into a temporary folder;
``python docs/make_pictures.py --results FOLDER`` takes the results of a run that is there.
A picture whose source is not among the results is left as it is, with a word.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from matplotlib.axes import Axes
from PIL import Image
from skimage.segmentation import find_boundaries

from cyto_kedro.algorithms.reporting.event_figures import draw_event_curves, draw_events
from cyto_kedro.algorithms.segmentation import LocalThreshold, PixelForest
from cyto_kedro.algorithms.simulation import SimulatedAssay
from cyto_kedro.algorithms.training.learner import Example
from cyto_kedro.algorithms.training.pixel_forest import TrainPixelForest
from cyto_kedro.core.style import figure, png, styled
from cyto_kedro.datasets import ClipsDataset

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
FIELD, POPULATION, BLOCK = "treated_1", "CancerCell", "t0020-0023"
CLIPPED = 12  # the target of the clip that is shown
# figures of the report that are shown as they are: page's picture -> figure
FIGURES = {
    "kills": "kills",
    "fates": "target_fates",
    "survival": "survival",
    "contacts": "contact_durations",
    "motion": "msd",
    "behaviours": "behaviours",
    "effectors": "kills_per_effector",
    "around_contact": "speed_around_contact",
    "quality": "quality",
}
WIDTH_PX = 900
EVENT = (  # of one's own
    "comparison.events.args.define.arrest=speed_um_per_min < 0.5",
    "comparison.events.args.min_frames=3",
)


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="folder of a run of the sample")
    given = parser.parse_args().results
    with tempfile.TemporaryDirectory() as made:
        results = given or Path(made)
        if given is None:
            words = ("-m", "kedro", "run", "--pipelines", "__default__,extended,films")
            into = ("--params", ",".join((f"data={results}", *EVENT)))
            subprocess.run([sys.executable, *words, *into], cwd=ROOT, check=True)
        PICTURES.mkdir(exist_ok=True)
        for name, draw in (*_copies().items(), *DRAWN.items()):
            try:
                picture = draw(results)
            except FileNotFoundError as error:
                sys.stderr.write(f"{name} is left as it is: {error.filename} is not there\n")
                continue
            picture.save(PICTURES / f"{name}.webp", quality=82, method=6)


def _copies() -> dict[str, Callable[[Path], Image.Image]]:
    def copy(figure_name: str) -> Callable[[Path], Image.Image]:
        return lambda results: _opened(results / f"08_reporting/figures/{figure_name}.png")

    return {name: copy(figure_name) for name, figure_name in FIGURES.items()}


def _opened(path: Path) -> Image.Image:
    """A picture on white, no wider than a page."""
    held = Image.open(path).convert("RGBA")
    page = Image.new("RGBA", held.size, "white")
    page.alpha_composite(held)
    return _narrow(page.convert("RGB"))


def _narrow(picture: Image.Image, width_px: int = WIDTH_PX) -> Image.Image:
    if picture.width <= width_px:
        return picture
    return picture.resize((width_px, round(picture.height * width_px / picture.width)))


def _panel(path: Path, row: int, column: int) -> Image.Image:
    """One of the four frames of an overlay."""
    montage = Image.open(path).convert("RGB")
    width, height = montage.width // 2, montage.height // 2
    left, top = column * (montage.width - width), row * (montage.height - height)
    return montage.crop((left, top, left + width - 3, top + height - 3))


def _beside(*pictures: Image.Image) -> Image.Image:
    """Pictures of one height in a row."""
    height = min(each.height for each in pictures)
    scaled = [each.resize((round(each.width * height / each.height), height)) for each in pictures]
    row = Image.new("RGB", (sum(each.width + 12 for each in scaled) - 12, height), "white")
    left = 0
    for each in scaled:
        row.paste(each, (left, 0))
        left += each.width + 12
    return row


def hero(results: Path) -> Image.Image:
    """The last frame with paths, deaths and kills, beside the curve of kills."""
    film = _panel(results / f"08_reporting/track_overlay/{FIELD}.png", 1, 1)
    return _narrow(_beside(film, _opened(results / "08_reporting/figures/kills.png")), 1200)


def tracking(results: Path) -> Image.Image:
    """Three frames with paths."""
    path = results / f"08_reporting/track_overlay/{FIELD}.png"
    return _narrow(_beside(_panel(path, 0, 0), _panel(path, 0, 1), _panel(path, 1, 0)))


def engines(results: Path) -> Image.Image:
    """Outlines of both fields' middle frame."""
    folder = results / "08_reporting/segmentation_overlay"
    return _narrow(
        _beside(*(_panel(folder / f"{fov}.png", 0, 1) for fov in (FIELD, "untreated_1")))
    )


def networks(results: Path) -> Image.Image:
    """The graphs of one field, and what the marks mean."""
    whole = _opened(results / "08_reporting/figures/networks.png")
    top = whole.crop((0, 0, whole.width, round(whole.height * 0.302)))
    key = whole.crop((0, round(whole.height * 0.935), whole.width, whole.height))
    page = Image.new("RGB", (whole.width, top.height + key.height), "white")
    page.paste(top, (0, 0))
    page.paste(key, (0, top.height))
    return page


def clip(results: Path) -> Image.Image:
    """Four frames of a field's first clip of a kill."""
    path = results / f"08_reporting/clips/{FIELD}.html"
    shown = next(each for each in ClipsDataset(filepath=path).load() if each.track_id == CLIPPED)
    moving = Image.open(BytesIO(shown.webp))
    panels = []
    for i in np.linspace(0, moving.n_frames - 1, 4).round().astype(int):  # type: ignore[attr-defined]
        moving.seek(int(i))
        panels.append(moving.convert("RGB"))
    return _narrow(_beside(*panels))


def preprocessing(results: Path) -> Image.Image:
    """What preprocessing did to one channel."""
    whole = _opened(results / f"02_intermediate/preprocessing_picture/{FIELD}.png")
    return whole.crop((0, 0, whole.width, whole.height // 3))


def features(results: Path) -> Image.Image:
    """Three columns of `cells`, painted on the masks that they were read off."""
    label = tifffile.imread(results / f"03_primary/labels/{FIELD}/{POPULATION}/{BLOCK}.tif")[-1]
    cells = pd.read_parquet(results / f"04_feature/cells/{FIELD}/{POPULATION}/{BLOCK}.parquet")
    cells = cells[cells["frame"] == cells["frame"].max()].set_index("label")
    shown = {"area_um2": "area (µm²)", "solidity": "solidity", "Dead_mean": "mean of channel Dead"}
    with styled():
        page = figure(9, 3.1)
        for axes, (column, title) in zip(page.subplots(1, 3), shown.items(), strict=True):
            values = np.full(label.max() + 1, np.nan)
            values[cells.index] = cells[column]
            _map(axes, values[label], title)
        return _drawn(page)


def density(results: Path) -> Image.Image:
    """Density maps of the two populations in the last frame."""
    with styled():
        page = figure(6.6, 3.3)
        for axes, population in zip(page.subplots(1, 2), ("TCell", POPULATION), strict=True):
            path = results / f"07_model_output/density_maps/{FIELD}/{population}.ome.tif"
            _map(axes, tifffile.imread(path)[-1] * 1e3, f"{population}, per 1000 px²")
        return _drawn(page)


def events(results: Path) -> Image.Image:
    """T cells around an event of one's own, and when it comes."""
    names = ("event_signals", "event_curves")
    folder = results / "07_model_output" / "comparison"
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in names)
    arrests = [each.query("event == 'arrest' and population == 'TCell'") for each in tables]
    sheet = pd.read_parquet(results / "02_intermediate" / "fields.parquet")
    around, curves = draw_events(arrests[0], sheet), draw_event_curves(arrests[1], sheet)
    return _narrow(_beside(_drawn(around), _drawn(curves)))


def training(_: Path) -> Image.Image:
    """A crowd that was not learnt from: found by a threshold, and by what two frames taught."""
    seen, unseen = (
        SimulatedAssay(preset="crowded", seed=seed, n_frames=21)({"fov": "crowd"})
        for seed in (1, 31)
    )
    size, name = seen["pixel_size_um"], "CancerCell"
    examples = [
        Example(np.asarray(seen["image"][name][t]), seen["label"][name][t], size) for t in (0, 20)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        path.write_bytes(TrainPixelForest()(examples=examples)["weights"])
        image = np.asarray(unseen["image"][name][20:21])
        engines = {
            "LocalThreshold": LocalThreshold(),
            "learnt from two frames": PixelForest(model=str(path)),
        }
        found = {
            title: np.asarray(engine(image=image, pixel_size_um=size)["label"])[0]
            for title, engine in engines.items()
        }
    low, high = np.percentile(image, (1, 99.5))
    part = np.s_[150:350, 150:350]
    with styled():
        page = figure(9.0, 4.6)
        for place, (title, label) in enumerate(found.items(), 1):
            axes = page.add_subplot(1, 2, place)
            axes.imshow(image[0][part], cmap="gray", vmin=low, vmax=high)
            edges = find_boundaries(label[part], mode="inner")
            axes.imshow(np.where(edges, 1.0, np.nan), cmap="autumn", interpolation="nearest")
            axes.set(title=title, xticks=[], yticks=[])
        return _drawn(page)


def _map(axes: Axes, values: np.ndarray, title: str) -> None:
    drawn = axes.imshow(values, cmap="viridis")
    axes.set(title=title, xticks=[], yticks=[])
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8)


def _drawn(page: object) -> Image.Image:
    return _narrow(Image.open(BytesIO(png(page))).convert("RGB"))  # type: ignore[arg-type]


DRAWN: dict[str, Callable[[Path], Image.Image]] = {
    "hero": hero,
    "tracking": tracking,
    "engines": engines,
    "networks": networks,
    "clip": clip,
    "preprocessing": preprocessing,
    "features": features,
    "density": density,
    "events": events,
    "training": training,
}


if __name__ == "__main__":
    main()
