"""Seconds per megapixel-frame and peak memory of every stage, each in a process of its own.

    python benchmarks/speed.py                # the sample, and a simulated film of 1024 x 1024 x 100
    python benchmarks/speed.py --only sample
    python benchmarks/speed.py --only movie --size 10000 --frames 2 --cells 45000 --tiles 2048

A megapixel-frame is 10^6 pixels of a field in one frame, all channels and populations of it. Time is
the stage's own, from its run manifest; memory is the largest resident set of its process, imports
included (the line "start" is a process that imports and runs next to nothing).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import yaml

from cyto_kedro.pipeline_registry import ANALYSIS
from run_folder import RunFolder, kedro, last_run, seconds_of, simulated_conf


def measure(data: Path, *where: str) -> None:
    """Run the stages one after the other and print what each took."""
    print(f"  {'stage':<15}{'seconds':>9}{'s/Mpx-frame':>13}{'CPU s':>9}{'peak MB':>9}")
    total, size = 0.0, None
    for stage in ANALYSIS:
        words = ("run", "--pipelines", stage, *where)
        used = kedro(*words)
        seconds = seconds_of(last_run(*words))
        if size is None:
            fovs = RunFolder(data).manifest.fovs.values()
            size = sum(each.n_frames * each.height_px * each.width_px for each in fovs) / 1e6
        total += seconds
        line(stage, seconds, size, used.cpu_s, used.peak_mb)
    print(
        f"  {'all':<15}{total:>9.1f}{total / size:>13.4f}   ({size:.2f} megapixel-frames)",
        flush=True,
    )


def line(name: str, seconds: float, size: float, cpu: float, peak: float) -> None:
    """Print one row."""
    row = f"{seconds:>9.1f}{seconds / size:>13.4f}{cpu:>9.1f}{peak:>9.0f}"
    print(f"  {name:<15}{row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of the stages.")
    parser.add_argument("--only", choices=("sample", "movie"))
    parser.add_argument("--frames", type=int, default=100, help="of the simulated film")
    parser.add_argument("--size", type=int, default=1024, help="its height and width, pixels")
    parser.add_argument("--cells", type=int, default=450, help="its cells, a third of them targets")
    parser.add_argument("--tiles", type=int, help="cut it into tiles of so many pixels a side")
    parser.add_argument("--keep", type=Path, help="folder of the simulated film, made if absent")
    args = parser.parse_args()
    started = time.monotonic()
    used = kedro("registry", "list")
    print(f"start: {time.monotonic() - started:.1f} s, peak {used.peak_mb:.0f} MB")
    with tempfile.TemporaryDirectory() as temp:
        if args.only != "movie":
            print("\nsample, 9 fields of 112 x 112 x 24")
            measure(Path(temp) / "data", "--params", f"data={temp}/data")
        if args.only != "sample":
            folder = args.keep or Path(temp) / "movie"
            settings = {"n_frames": args.frames, "size_px": args.size, "seed": 1}
            n_targets = args.cells // 3
            settings |= {"n_effectors": args.cells - n_targets, "n_targets": n_targets}
            assay = {"name": "SimulatedAssay", "args": settings}
            where = simulated_conf(folder, {"large": {"condition": "simulated", "assay": assay}})
            size = f"{args.size} x {args.size} x {args.frames}"
            print(f"\nsimulated film, {size}, {args.cells - n_targets} + {n_targets} cells")
            if not (folder / "films").exists():
                words = ("run", "--pipelines", "simulation", *where)
                kedro(*words)
                print(f"  (made in {seconds_of(last_run(*words)):.0f} s)", flush=True)
            if args.tiles:
                of_assay = folder / "conf/base/parameters.yml"
                every = yaml.safe_load(of_assay.read_text("utf-8"))
                every["assay"]["tiles"] = {"side_px": args.tiles, "overlap_um": 60}
                of_assay.write_text(yaml.safe_dump(every), "utf-8")
            measure(folder / "data", *where)


if __name__ == "__main__":
    main()
