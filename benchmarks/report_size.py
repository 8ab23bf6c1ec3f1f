"""How large is the report of a plate, and how much memory does it need?

    python benchmarks/report_size.py 96 1000

A plate of so many fields in 12 conditions (``tests/algorithms/reporting/plate_tables.py``): 20 targets
a field, of which those that die in view have clips of 36 kB, twelve at most. Clips are saved as a run
saves them, and two overlays of each field that the page may show; reading another's would fail. Then
the node `write_report` makes the page. Its memory is what Python and NumPy allocate in it at most
(tracemalloc). Exit code 1 where a page is larger than 5 MB and 50 kB a field.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/algorithms/reporting"))

from plate_tables import FRAMES, ROLES, compared, tables

from cyto_kedro import schemas
from cyto_kedro.algorithms.reporting.answer_figures import AnswerFigures
from cyto_kedro.algorithms.reporting.killing_figures import KillingFigures
from cyto_kedro.algorithms.reporting.network_figures import chosen_fields
from cyto_kedro.algorithms.reporting.shots import clip_id
from cyto_kedro.algorithms.reporting.summary import Summary
from cyto_kedro.datasets import PartitionedDataset
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.images import Clip, Picture
from cyto_kedro.parameters import Reporting
from cyto_kedro.partitions import PlannedFov
from cyto_kedro.pipelines.reporting.figure_nodes import FIGURES, FURTHER
from cyto_kedro.pipelines.reporting.nodes import MOST_FIELDS, write_report

CLIPS, CLIP_BYTES = 12, 36_000  # of a field; the mean of the sample's


@dataclass(frozen=True)
class Measured:
    """What a plate's report took."""

    fields: int
    clips: int
    page: str
    seconds: float
    peak_mb: float
    clips_mb: float
    #: overlays that were opened
    overlays: int

    @property
    def page_mb(self) -> float:
        """Size of the page."""
        return len(self.page.encode()) / 1e6

    @property
    def limit_mb(self) -> float:
        """What it may take."""
        return 5 + 0.05 * self.fields


def textured(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(Y, X, 3) uint8: blobs and noise, as compressible as a film."""
    smooth = gaussian_filter(rng.standard_normal((height, width, 3)), (3, 3, 0))
    noise = 9 * rng.standard_normal((height, width, 1))
    return np.clip(60 + 900 * np.maximum(smooth, 0) + noise, 0, 255).astype(np.uint8)


def clips_of(fov: str, fates: pd.DataFrame, rng: np.random.Generator) -> list[Clip]:
    """Clips of a field's deaths; each holds bytes of its own, which no browser shows."""
    died = fates[fates["died"]].head(CLIPS)
    return [
        Clip(
            webp=rng.bytes(CLIP_BYTES),
            name=clip_id(fov, row.population, row.track_id),
            title=f"{row.population} {row.track_id} killed by TCell 1",
            caption="frames 0 to 12; contact from frame 3",
            fov=fov,
            event="kill",
            frame=int(row.death_frame),
            population=row.population,
            track_id=int(row.track_id),
            by_population="TCell",
            by_track_id=1,
            weight=float(rng.uniform(0.5, 1)),
        )
        for row in died.itertuples()
    ]


def masks_of(fov: str, population: str, rng: np.random.Generator) -> pd.DataFrame:
    """What is expected of a field's masks, frame by frame."""
    rows = pd.DataFrame({"frame": range(FRAMES), "expected_f1": rng.uniform(0.7, 1, FRAMES)})
    rows = rows.assign(fov=fov, population=population, field_f1=rows["expected_f1"].mean())
    return schemas.filled(schemas.MaskQuality, rows)


def partitioned(folder: Path, kind: str, suffix: str, grain: str = "fov") -> PartitionedDataset:
    """A folder of partitions, as in the catalog."""
    return PartitionedDataset(
        path=str(folder), grain=grain, filename_suffix=suffix, dataset=f"cyto_kedro.datasets.{kind}"
    )


def figures(data: dict[str, Any], made: dict[str, Any]) -> dict[str, Picture]:
    """The figures that grow with fields and cells: the answer's, and those of fates."""
    of_cells = ("fates", "bouts", "kills", "frames")
    return {
        **AnswerFigures()(**made, sample_sheet=data["fields"])["figures"],
        **KillingFigures()(
            **{name: data[name] for name in of_cells}, sample_sheet=data["fields"], roles=ROLES
        )["figures"],
    }


def measured(n: int, folder: Path) -> Measured:
    """Make a plate of `n` fields in `folder`, and its report."""
    rng = np.random.default_rng(1)
    data = tables(n_wells=n)
    made = compared(data)
    summary = Summary()(**data, sample_sheet=data["fields"], roles=ROLES)
    drawn = figures(data, made)
    clips = partitioned(folder / "clips", "ClipsDataset", ".html")
    overlays = [
        partitioned(folder / name, "PictureDataset", ".png") for name in ("masks", "tracks")
    ]
    strip = BytesIO()
    Image.fromarray(textured(rng, 560, 1120)).save(strip, "PNG")
    picture = Picture(strip.getvalue(), "Overlay", "caption", "alt")
    quality = partitioned(folder / "quality", "TableDataset", ".parquet", "fov/population")
    sizes = partitioned(folder / "sizes", "TableDataset", ".parquet", "fov/population")
    of_field = dict(list(data["fates"].groupby("fov")))
    shown = chosen_fields(list(data["fields"]["fov"]), data["fields"], MOST_FIELDS)
    n_clips = 0
    for fov in data["fields"]["fov"]:
        filmed = clips_of(fov, of_field[fov], rng)
        n_clips += len(filmed)
        clips.save({fov: filmed})
        if fov in shown:
            for each in overlays:
                each.save({fov: picture})
        for population in ROLES:
            name = f"{fov}/{population}"
            quality.save({name: masks_of(fov, population, rng)})
            sizes.save({name: schemas.empty(schemas.CellSizes)})
    planned = PlannedFov(n_frames=FRAMES, height_px=100, width_px=100)
    manifest = Manifest(
        fovs=dict.fromkeys(data["fields"]["fov"], planned),
        channels=(),
        populations=tuple(ROLES),
        block_length=FRAMES,
        roles=ROLES,
        sources={},
        subtract={},
        markers={},
    )
    opened = [each.load() for each in overlays]
    tracemalloc.start()
    start = time.perf_counter()
    page = write_report(
        summary["by_fov"],
        summary["by_condition"],
        summary["warnings"],
        quality.load(),
        sizes.load(),
        data["fields"],
        data["frames"],
        made["comparisons"],
        made["replicate_summaries"],
        schemas.empty(schemas.Hazards),
        *opened,
        clips.load(),
        manifest,
        {"parameters": {}},
        Reporting(),
        *(drawn.get(name) for name in (*FURTHER, *FIGURES)),
    )
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Measured(
        fields=n,
        clips=n_clips,
        page=page,
        seconds=seconds,
        peak_mb=peak / 1e6,
        clips_mb=n_clips * CLIP_BYTES / 1e6,
        overlays=sum(len(each.read) for each in opened),
    )


def main() -> int:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fields", type=int, nargs="*", default=[96])
    over = 0
    for n in parser.parse_args().fields:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(n, Path(folder))
        over += found.page_mb > found.limit_mb
        print(
            f"{found.fields} fields, {found.clips} clips of {found.clips_mb:.0f} MB: page "
            f"{found.page_mb:.2f} MB (at most {found.limit_mb:.1f}), {found.seconds:.1f} s, peak "
            f"{found.peak_mb:.0f} MB, {found.overlays} overlays opened",
            flush=True,
        )
    return int(over > 0)


if __name__ == "__main__":
    raise SystemExit(main())
