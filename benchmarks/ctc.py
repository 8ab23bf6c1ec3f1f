"""SEG, DET and TRA of a Cell Tracking Challenge film, by the challenge's own definitions.

kedro run --env gowt1 --pipelines ingestion,preprocessing,segmentation,tabulation,tracking
python benchmarks/ctc.py
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import ctc_format as ctc
from run_folder import ROOT, RunFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data/gowt1")
    parser.add_argument(
        "--truth",
        type=Path,
        default=ROOT / "../shared/data/ctc_Fluo-N2DH-GOWT1_seq01_f40/01_GT",
    )
    parser.add_argument("--fov", default="01")
    parser.add_argument("--population", default="Nucleus")
    args = parser.parse_args()
    run, place = RunFolder(args.data), (args.fov, args.population)
    points = run.table("05_model_input/track_points", *place)
    named, lineage = ctc.unbroken(points, run.table("05_model_input/tracks", *place))
    with tempfile.TemporaryDirectory() as temp:
        label = ctc.renamed(run.labels(*place), named)
        found = ctc.evaluate(ctc.write_results(Path(temp), label, lineage), args.truth)
    print(f"{points['track_id'].nunique()} tracks, {len(named)} cells in {len(label)} frames")
    print("  ".join(f"{key} {found[key]:.3f}" for key in ("SEG", "DET", "TRA", "LNK")))
    print("  ".join(f"{k} {found['AOGM_' + k]:.0f}" for k in ("NS", "FN", "FP", "ED", "EA", "EC")))


if __name__ == "__main__":
    main()
