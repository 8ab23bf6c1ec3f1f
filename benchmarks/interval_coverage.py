"""How often 95 % intervals hold the truth with few replicates: the table in docs/comparison.md.

    python benchmarks/interval_coverage.py [--assays 400] [--cells 20]

Cells of a replicate share its rate of dying, which varies between replicates (log normal, sd 0.4);
paired: half of that variance is the donor's. Conditions differ by a hazard ratio of 2. Standard error of
a coverage of 95 % from 400 assays: 1.1 points.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from cyto_kedro.algorithms.comparison.cox import fit_cox
from cyto_kedro.algorithms.comparison.survival import survival_curve
from cyto_kedro.algorithms.comparison.testing import two_samples

SD, RATIO, END = 0.4, 2.0, 1.0
SIZES = (3, 4, 6)


def assay(rng: np.random.Generator, n: int, cells: int, paired: bool, ratio: float) -> pd.DataFrame:
    """Cells of n + n replicates that die at rates of their replicate, watched until `END`."""
    parts = []
    donor = rng.normal(0, SD * np.sqrt(0.5), n)
    for condition in (0.0, 1.0):
        own = rng.normal(0, SD * np.sqrt(0.5) if paired else SD, n)
        for i in range(n):
            rate = np.exp(own[i] + (donor[i] if paired else 0)) * ratio**condition
            time = rng.exponential(1 / rate, cells)
            touched = rng.random(cells) < 0.5
            time = np.where(touched, time / 2, time)
            rows = pd.DataFrame({"entry": 0.0, "leave": np.minimum(time, END), "event": time < END})
            name = f"D{i}" if paired else f"{condition:.0f}/D{i}"
            parts.append(
                rows.assign(condition=condition, touched=touched.astype(float), cluster=name)
            )
    table = pd.concat(parts, ignore_index=True)
    return table.assign(start=0.0, stop=table["leave"], stratum="")


def alive(ratio: float) -> float:
    """Expected share alive at `END` over replicates, cells touched or not."""
    rate = np.exp(np.random.default_rng(0).normal(0, SD, 400_000)) * ratio
    return float(np.mean(0.5 * np.exp(-rate * END) + 0.5 * np.exp(-2 * rate * END)))


def held(assays: int, cells: int) -> Iterator[tuple[str, int, float, float]]:
    """What, replicates a side, coverage of the 95 % interval, its median width."""
    truth = alive(RATIO) - alive(1.0)
    for n in SIZES:
        for paired in (False, True):
            rng = np.random.default_rng([n, paired])
            found: dict[str, list[tuple[float, float, float]]] = {}
            for _ in range(assays):
                table = assay(rng, n, cells, paired, RATIO)
                share = 1 - table.groupby(["condition", "cluster"])["event"].mean()
                x, y = share.loc[0.0].to_numpy(), share.loc[1.0].to_numpy()
                row = two_samples(x, y, paired, permutations=99)
                kind = "paired t" if paired else "Welch t"
                found.setdefault(f"share alive, difference ({kind})", []).append(
                    (row["low"], row["high"], truth)
                )
                kind = "paired" if paired else "unpaired"
                # averaged over replicates a hazard ratio is weaker than within one: its own truth
                fit = fit_cox(table, ["condition"]).table.iloc[0]
                found.setdefault(f"hazard ratio of condition ({kind})", []).append(
                    (fit["low"], fit["high"], fit["coefficient"])
                )
                if not paired:
                    one = table[table["condition"] == 0]
                    fit = fit_cox(one, ["touched"]).table.iloc[0]
                    found.setdefault("hazard ratio within replicates, one condition", []).append(
                        (fit["low"], fit["high"], fit["coefficient"])
                    )
                    curve = survival_curve(one)
                    at = curve[curve["time"] <= 0.5].iloc[-1]
                    found.setdefault("band of a curve, one condition", []).append(
                        (at["low_clustered"], at["high_clustered"], _mid(at))
                    )
            for what, rows in found.items():
                values = np.array(rows, float)
                goal = values[:, 2] if "share" in what else np.full(len(values), _goal(what, cells))
                inside = (values[:, 0] <= goal) & (goal <= values[:, 1])
                known = np.isfinite(values[:, 0])
                width = float(np.median((values[:, 1] - values[:, 0])[known]))
                yield what, n, float(inside[known].mean()), width


def of_mixed_models(cells: int, assays: int = 40_000) -> Iterator[tuple[int, float, float]]:
    """Replicates a side, coverage of the paired t, and of the normal limits of the same difference.

    A mixed model with levels and effects of donors has that estimate and error where wells are equal
    in number, and mostly normal limits. Shares are drawn as such, so that many assays take a second.
    """
    rng, truth = np.random.default_rng(0), alive(RATIO) - alive(1.0)
    for n in SIZES:
        logs = rng.normal(0, SD * np.sqrt(0.5), (2, assays, 2, n))
        rate = np.exp(logs[0][:, :1] + logs[1]) * np.array([1, RATIO])[:, None]
        died = 1 - 0.5 * np.exp(-rate * END) - 0.5 * np.exp(-2 * rate * END)
        share = 1 - rng.binomial(cells, died) / cells
        each = share[:, 1] - share[:, 0]
        off, error = np.abs(each.mean(1) - truth), each.std(1, ddof=1) / np.sqrt(n)
        wide = stats.t.ppf(0.975, n - 1), 1.96
        student, normal = (float(np.mean(off <= factor * error)) for factor in wide)
        yield n, student, normal


def _mid(row: pd.Series) -> float:
    return float(row["estimate"])


_GOALS: dict[str, float] = {}


def _goal(what: str, cells: int) -> float:
    """What an estimate comes to with a thousand replicates: its own truth."""
    if what not in _GOALS:
        rng = np.random.default_rng(99)
        table = assay(rng, 1000, cells, "(paired)" in what, RATIO)
        one = table[table["condition"] == 0]
        if "band" in what:
            _GOALS[what] = float(survival_curve_at(one, 0.5))
        else:
            term = ["touched"] if "within" in what else ["condition"]
            data = one if "within" in what else table
            _GOALS[what] = newton(data, term[0])
    return _GOALS[what]


def survival_curve_at(rows: pd.DataFrame, time: float) -> float:
    """Share alive at `time`; nobody is censored before."""
    return float((rows["leave"] > time).mean())


def newton(rows: pd.DataFrame, term: str) -> float:
    """Log hazard ratio of one term by Newton's method on Breslow's likelihood (no ties here)."""
    order = np.argsort(-rows["stop"].to_numpy())
    x, event = rows[term].to_numpy()[order], rows["event"].to_numpy()[order]
    b = 0.0
    for _ in range(20):
        w = np.exp(b * x)
        s0, s1, s2 = np.cumsum(w), np.cumsum(w * x), np.cumsum(w * x * x)
        mean = s1 / s0
        b += np.sum((x - mean)[event]) / np.sum((s2 / s0 - mean**2)[event])
    return float(b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assays", type=int, default=400)
    parser.add_argument("--cells", type=int, default=20)
    args = parser.parse_args()
    print("| interval | replicates | held (%) | median width |\n|---|---|---|---|", flush=True)
    for n, student, normal in of_mixed_models(args.cells):
        print(f"| share alive, 40,000 assays (paired t) | {n} | {100 * student:.1f} | |")
        print(f"| the same with normal limits | {n} | {100 * normal:.1f} | |", flush=True)
    for what, n, share, width in held(args.assays, args.cells):
        print(f"| {what} | {n} | {100 * share:.1f} | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main()
