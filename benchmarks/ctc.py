"""SEG, DET, TRA of a Cell Tracking Challenge film and F1 of divisions, by the challenge's definitions.

kedro run --env gowt1 --pipelines ingestion,preprocessing,segmentation,tabulation,tracking
python benchmarks/ctc.py gowt1
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import ctc_format as ctc
from run_folder import ROOT, RunFolder

FILMS = {
    "gowt1": "ctc_Fluo-N2DH-GOWT1_seq01_f40",
    "simplus": "ctc_Fluo-N2DH-SIM+_seq01",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("env", nargs="?", choices=list(FILMS), default="gowt1")
    parser.add_argument("--data", type=Path, help="default: data/<env>")
    parser.add_argument("--truth", type=Path, help="default: the film's folder 01_GT")
    parser.add_argument("--fov", default="01")
    parser.add_argument("--population", default="Nucleus")
    args = parser.parse_args()
    truth = args.truth or truth_of(args.env)
    run = RunFolder(args.data or ROOT / "data" / args.env)
    found, n_tracks, n_cells = evaluated(run, truth, args.fov, args.population)
    print(f"{n_tracks} tracks, {n_cells} cells")
    print("  ".join(f"{key} {found[key]:.3f}" for key in ("SEG", "DET", "TRA", "LNK")))
    print("  ".join(f"{k} {found['AOGM_' + k]:.0f}" for k in ("NS", "FN", "FP", "ED", "EA", "EC")))
    print("divisions F1, at most i frames off  ", end="")
    print("  ".join(f"{i}: {found[f'BC({i})']:.3f}" for i in range(4)))


def truth_of(env: str) -> Path:
    """The truth of the film of an environment."""
    return ROOT / "../shared/data" / FILMS[env] / "01_GT"


def evaluated(
    run: RunFolder, truth: Path, fov: str = "01", population: str = "Nucleus"
) -> tuple[dict[str, float], int, int]:
    """The challenge's measures of a run, and the numbers of its tracks and cells."""
    place = fov, population
    points = run.table("05_model_input/track_points", *place)
    named, lineage = ctc.unbroken(points, run.table("05_model_input/tracks", *place))
    with tempfile.TemporaryDirectory() as temp:
        label = ctc.renamed(run.labels(*place), named)
        found = ctc.evaluate(ctc.write_results(Path(temp), label, lineage), truth)
    return found, points["track_id"].nunique(), len(named)


if __name__ == "__main__":
    main()
