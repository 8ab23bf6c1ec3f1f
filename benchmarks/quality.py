"""How well the expected F1 of masks follows their true F1: docs/quality.md.

    python benchmarks/quality.py make     # spoilt masks of films with truth (15 minutes of one core)
    python benchmarks/quality.py fit      # curves, from the experiments of CHOSEN: mask_curves.py
    python benchmarks/quality.py          # rank correlation and flags, both halves; --picture FILE

Masks are made by engines with right and wrong settings, of blurred and noisy images, with a black
margin, of a wrong channel, and from the truth, spoilt in known ways (`quality_masks`). F1 is at IoU 0.5.
A field is a film's frames together, or one still.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import runpy
import time
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import spearmanr

import metrics as m
import quality_masks
from cyto_kedro.algorithms.preprocessing.parts import shown_in
from cyto_kedro.algorithms.tabulation.expected_f1 import DARK, DARK_F1, chance
from cyto_kedro.algorithms.tabulation.frame_evidence import frame_evidence
from cyto_kedro.algorithms.tabulation.mask_evidence import Scene, cell_evidence
from cyto_kedro.algorithms.tabulation.mask_quality import MaskQuality
from run_folder import ROOT

CACHE = ROOT / "data/benchmarks/quality"
EVIDENCE = ROOT / "src/cyto_kedro/algorithms/tabulation/mask_evidence.py"
TABLE = EVIDENCE.with_name("mask_curves.py")
#: experiments that measures, curves and limits are chosen on; the others are only reported
CHOSEN = (
    *("simulated 1", "simulated 3", "simulated large", "SIM+"),
    *("adcc 110", "adcc Aligned", "adcc feb", "adcc june25"),
    *("dsb 256x256", "dsb 360x360"),
)
KEY = ["experiment", "field", "frame", "variant"]
LEAST, GOOD = 0.7, 0.9  # below: must be flagged; above: must not
KNOTS, RIDGE = 4, 1e-4
#: measure -> whether more of it is better (1) or worse (-1)
CELL = {
    **dict.fromkeys(("contrast", "edge", "aligned", "half_height", "steepest", "fill"), 1),
    **dict.fromkeys(("offset", "spread", "raised", "inner_slope", "seam", "joint"), -1),
    **dict.fromkeys(("small", "large", "peaks", "lobes"), -1),
}
FRAME = {
    **dict.fromkeys(("mean_chance", "agreement", "separation", "signal"), 1),
    **dict.fromkeys(
        ("doubtful_share", "missed_area", "missed", "missed_faint", "missed_bright"), -1
    ),
    **dict.fromkeys(("size_spread", "small_share", "large_share"), -1),
}
Fitted = tuple[float, dict[str, tuple[np.ndarray, np.ndarray]]]


def make(part: int, parts: int) -> None:
    """Masks of every still, with their images, into the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    every = list(quality_masks.stills())
    for still in every[part::parts]:
        path = CACHE / f"{still.experiment}_{still.name}.npz"
        if path.exists():
            continue
        held: dict[str, np.ndarray] = {}
        images: list[np.ndarray] = []
        for name, image, label, truth in quality_masks.variants(still, every):
            if not any(image is each for each in images):
                images.append(image)
                held[f"image {len(images) - 1}"] = image
                held[f"truth {len(images) - 1}"] = truth.astype(np.uint16)
            at = next(i for i, each in enumerate(images) if each is image)
            held[f"label {at} {name}"] = label.astype(np.uint16)
        meta = np.array([still.experiment, still.field, str(still.frame)])
        np.savez_compressed(path, meta=meta, **held)  # type: ignore[arg-type]
        print(f"{path.stem:48}{time.process_time() - start:8.0f} s", flush=True)


@cache
def measured() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evidence and truth of all cached masks, cells and frames; kept as long as its code stays."""
    parts = (EVIDENCE, EVIDENCE.with_name("frame_evidence.py"))
    code = hashlib.sha256(b"".join(each.read_bytes() for each in parts)).hexdigest()[:12]
    stored = CACHE / f"measured_{code}.pkl"
    known = pd.read_pickle(stored) if stored.exists() else {}
    for path in sorted(CACHE.glob("*.npz")):
        if path.stem not in known:
            known[path.stem] = _measured(path)
            pd.to_pickle(known, stored)
    cells, frames = (
        pd.concat(each, ignore_index=True) for each in zip(*known.values(), strict=True)
    )
    return cells, frames


def _measured(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    held = np.load(path)
    experiment, name, frame = held["meta"]
    cells, frames = [], []
    for what in held.files:
        if not what.startswith("label "):
            continue
        _, at, variant = what.split(" ", 2)
        image, truth, label = held[f"image {at}"], held[f"truth {at}"], held[what]
        scene = Scene.of(image, label, shown_in(image))
        found = cell_evidence(scene) if scene.count else {}
        same = m.match(truth, label)
        key = dict(zip(KEY, (experiment, name, int(frame), variant), strict=True))
        score = m.Score(len(same), m.n_labels(label), m.n_labels(truth))
        row = {"hits": score.hits, "found": score.found, "true": score.true}
        frames.append({**key, **row, **frame_evidence(scene, found)})
        hit = np.isin(np.setdiff1d(label, 0), same["found"])
        if found and len(hit) == scene.count:  # specks may be lost in block means
            cells.append(pd.DataFrame(found).assign(hit=hit, **key))
    return pd.concat(cells), pd.DataFrame(frames)


def fitted(table: pd.DataFrame, target: np.ndarray, signs: dict[str, int]) -> Fitted:
    """Curves that never turn, of which the sum is the log-odds of `target`; experiments count alike."""
    weight = 1 / table.groupby("experiment")["experiment"].transform("size").to_numpy(float)
    weight /= weight.sum()
    knots, basis, bounds = {}, [], [(None, None)]
    for name, sign in signs.items():
        values = table[name].to_numpy(float)
        at = np.unique(np.round(np.quantile(values, np.linspace(0.01, 0.99, KNOTS)), 3))
        knots[name] = at if len(at) > 1 else np.array([at[0], at[0] + 1])
        for low, high in zip(knots[name][:-1], knots[name][1:], strict=True):
            basis.append(np.clip((values - low) / (high - low), 0, 1))
            bounds.append((0, None) if sign > 0 else (None, 0))  # type: ignore[arg-type]
    columns = np.stack([np.ones(len(table)), *basis], 1)

    def loss(odds: np.ndarray) -> tuple[float, np.ndarray]:
        p = np.clip(1 / (1 + np.exp(-columns @ odds)), 1e-9, 1 - 1e-9)
        entropy = -(weight * (target * np.log(p) + (1 - target) * np.log(1 - p))).sum()
        slope = columns.T @ (weight * (p - target))
        shrunk = np.r_[0, odds[1:]]
        return float(entropy + RIDGE * (shrunk**2).sum()), slope + 2 * RIDGE * shrunk

    start = np.zeros(columns.shape[1])
    odds = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    curves, first = {}, 1
    for name, at in knots.items():
        steps = odds[first : first + len(at) - 1]
        first += len(steps)
        if np.abs(steps).sum() > 0.05:  # the others say nothing beside these
            curves[name] = (at, np.r_[0, np.cumsum(steps)])
    return float(odds[0]), curves


def aggregated(cells: pd.DataFrame, frames: pd.DataFrame, cell: Fitted) -> pd.DataFrame:
    """`frames` with the mean chance of their cells and the share of doubtful ones."""
    p = chance(cell[0], cell[1], cells)  # type: ignore[arg-type]
    by = cells[KEY].assign(mean_chance=p, doubtful_share=p < 0.5).groupby(KEY, sort=False)
    joined = frames.merge(by.mean().reset_index(), on=KEY, how="left")
    filled = joined.fillna({"mean_chance": 0.0, "doubtful_share": 1.0})
    total = filled["found"] + filled["true"]
    return filled.assign(f1=2 * filled["hits"] / total)[total > 0]


def predicted(
    cells: pd.DataFrame, frames: pd.DataFrame, cell: Fitted, frame: Fitted
) -> pd.DataFrame:
    """True and expected F1 of each field and variant; a film's hits are pooled, its F1 averaged."""
    table = aggregated(cells, frames, cell)
    made = chance(frame[0], frame[1], table)  # type: ignore[arg-type]
    table["expected"] = np.where(table["dark_ratio"] > DARK, np.minimum(made, DARK_F1), made)
    by = table.groupby(["experiment", "field", "variant"], sort=False)
    made = by.agg(
        hits=("hits", "sum"),
        found=("found", "sum"),
        true=("true", "sum"),
        expected=("expected", "mean"),
    ).reset_index()
    return made.assign(f1=2 * made["hits"] / (made["found"] + made["true"]))


def fit(chosen: Collection[str] = CHOSEN) -> tuple[Fitted, Fitted]:
    """Curves of cells and of frames, from the experiments `chosen`."""
    cells, frames = (each[each["experiment"].isin(chosen)] for each in measured())
    cell = fitted(cells, cells["hit"].to_numpy(float), CELL)
    table = aggregated(cells, frames, cell)
    return cell, fitted(table, table["f1"].to_numpy(float), FRAME)


def unseen() -> pd.DataFrame:
    """The half chosen on, each source (SIM+, adcc, …) by curves of the other sources."""
    cells, frames = measured()
    tables = []
    for source in sorted({name.split()[0] for name in CHOSEN}):
        left = [name for name in CHOSEN if name.split()[0] == source]
        curves = fit([name for name in CHOSEN if name not in left])
        of = (each[each["experiment"].isin(left)] for each in (cells, frames))
        tables.append(predicted(*of, *curves))
    return pd.concat(tables, ignore_index=True)


def summary(table: pd.DataFrame, limit: float) -> dict[str, Any]:
    """Rank correlation, and how many fields pass that should not, and are flagged that should not."""
    bad, good = table[table["f1"] < LEAST], table[table["f1"] > GOOD]
    return {
        "n": len(table),
        "Spearman": spearmanr(table["expected"], table["f1"]).statistic,
        "mean error": (table["expected"] - table["f1"]).abs().mean(),
        f"F1 < {LEAST}": len(bad),
        "pass": int((bad["expected"] >= limit).sum()),
        f"F1 > {GOOD}": len(good),
        "flagged": int((good["expected"] < limit).sum()),
        "flagged %": 100 * float((good["expected"] < limit).mean()) if len(good) else np.nan,
    }


def _parts(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    mine = table["experiment"].isin(CHOSEN)
    real = ~table["experiment"].str.startswith("simulated")
    drawn = _drawn(table)
    yield "chosen on", table[mine]
    yield "left out", table[~mine]
    yield "left out, real", table[~mine & real]
    yield "chosen on, engines", table[mine & ~drawn]
    yield "left out, engines", table[~mine & ~drawn]
    yield "left out, real, engines", table[~mine & real & ~drawn]
    for name, rows in table.groupby("experiment", sort=False):
        yield f"  {name}{' *' if name in CHOSEN else ''}", rows


def _drawn(table: pd.DataFrame) -> pd.Series:
    """Masks made of the truth, by no engine."""
    return table["variant"].str.split().str[0].isin(quality_masks.DRAWN)


def limit_of(table: pd.DataFrame) -> float:
    """The highest limit that flags one in twenty of an engine's good fields, to two digits."""
    good = np.sort(table.loc[(table["f1"] > GOOD) & ~_drawn(table), "expected"])
    return float(np.floor(100 * good[int(0.05 * len(good))]) / 100)


def written(cell: Fitted, frame: Fitted) -> str:
    """The module `mask_curves`."""
    lines = [
        '"""Curves of `expected_f1`: measures, and the log-odds at each; between them straight lines.',
        "",
        "Made by ``benchmarks/quality.py fit``; not edited by hand.",
        '"""',
        "",
    ]
    for name, (intercept, curves) in (("CELL", cell), ("FRAME", frame)):
        lines += [f"{name}_INTERCEPT = {intercept:.3f}", f"{name} = {{"]
        for measure, (at, odds) in curves.items():
            both = (", ".join(f"{each:.3f}" for each in row) for row in (at, odds))
            lines.append(f'    "{measure}": ({", ".join(f"({row})" for row in both)}),')
        lines += ["}", ""]
    return "\n".join(lines)


def draw(table: pd.DataFrame, limit: float, path: Path) -> None:
    """True against expected F1, a point for each field and way to mask it."""
    import matplotlib.pyplot as plt

    from cyto_kedro.core.style import PALETTE, styled

    halves = [part for part in _parts(table) if part[0] in ("chosen on", "left out")]
    with styled():
        fig, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), sharex=True, sharey=True)
        for ax, (name, rows) in zip(axes, halves, strict=True):
            for hue, (kind, prefix) in zip(
                PALETTE, (("simulated", "simulated"), ("real", "")), strict=False
            ):
                of = rows["experiment"].str.startswith("simulated") == (prefix == "simulated")
                ax.plot(
                    rows.loc[of, "expected"], rows.loc[of, "f1"], ".", ms=4, alpha=0.5,
                    color=hue, label=kind, mec="none",
                )  # fmt: skip
            ax.axvline(limit, color="0.3", lw=0.8)
            ax.axhspan(LEAST, GOOD, color="0.92", lw=0)
            rank = spearmanr(rows["expected"], rows["f1"]).statistic
            ax.set_title(f"{name}: Spearman {rank:.2f}, n = {len(rows)}")
            ax.set_xlabel("expected F1, without truth")
        axes[0].set_ylabel("true F1 (IoU 0.5)")
        axes[0].legend(loc="upper left")
        fig.tight_layout()
        fig.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])  # type: ignore[union-attr]
    parser.add_argument("what", nargs="?", choices=("make", "fit", "report"), default="report")
    parser.add_argument("--part", default="0/1", help="of make: which part of how many")
    parser.add_argument("--picture", type=Path, help="of report: where the plot goes")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    if args.what == "make":
        part, parts = (int(each) for each in args.part.split("/"))
        return make(part, parts)
    limit = MaskQuality().least_f1
    if args.what == "fit":
        others = unseen()
        limit = limit_of(others)
        print("the half chosen on, each source by curves of the others:")
        drawn = _drawn(others)
        both = {"all": summary(others, limit), "engines": summary(others[~drawn], limit)}
        print(pd.DataFrame(both).T.to_string(float_format="%.3g"))
        TABLE.write_text(written(*fit()), encoding="utf-8")
    curves = runpy.run_path(str(TABLE))
    cell, frame = ((curves[f"{each}_INTERCEPT"], curves[each]) for each in ("CELL", "FRAME"))
    table = predicted(*measured(), cell, frame)
    print(f"\nflagged under {limit}")
    rows = {name: summary(part, limit) for name, part in _parts(table)}
    print(pd.DataFrame(rows).T.to_string(float_format="%.3g"))
    by = table.groupby("variant", sort=False)[["f1", "expected"]].mean()
    print("\n" + by.to_string(float_format="%.2f"))
    missed = table[(table["f1"] < LEAST) & (table["expected"] >= limit)]
    print("\npass:\n" + missed[["experiment", "field", "variant", "f1", "expected"]].to_string())
    if args.picture:
        draw(table, limit, args.picture)
    return None


if __name__ == "__main__":
    main()
