"""Accuracy of the sample assay, or of freshly simulated ones, against their truth.

    python benchmarks/sample.py                      # scores data/ after `kedro run`
    python benchmarks/sample.py --rules --repeats 3  # simulates the four kill rules, runs, scores

Every number is counted over all fields given. How each is defined: docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

import ctc_format as ctc
import metrics as m
from cyto_kedro.algorithms.contacts.kills import KillShares
from run_folder import ROOT, RunFolder, kedro, simulated_conf

RULES = ("single_hit", "additive_hits", "long_delay", "spontaneous_only")
ANALYSIS = "ingestion,preprocessing,segmentation,tabulation,tracking,contacts"
WHO = 5  # frames around an event in which a track is asked who it is
ROLES = {"TCell": "effector", "CancerCell": "target"}


@dataclass
class Tally:
    """What is counted over fields."""

    detection: dict[str, m.Score] = field(default_factory=lambda: defaultdict(m.Score))
    iou: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    ctc: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    contacts: dict[str, m.Score] = field(default_factory=lambda: defaultdict(m.Score))
    deaths: m.Score = field(default_factory=m.Score)
    deaths_in_time: m.Score = field(default_factory=m.Score)
    errors: list[pd.DataFrame] = field(default_factory=list)
    kills: dict[str, m.Score] = field(default_factory=lambda: defaultdict(m.Score))


def truth_of(folder: Path, fov: str) -> dict[str, pd.DataFrame]:
    """The truth tables of a field."""
    names = ("track_points", "tracks", "contacts", "deaths", "kills")
    return {name: pd.read_parquet(folder / name / f"{fov}.parquet") for name in names}


def of(table: pd.DataFrame, population: str) -> pd.DataFrame:
    """Rows of one population."""
    return table[table["population"] == population].reset_index(drop=True)


def score_masks(
    tally: Tally, run: RunFolder, truth_folder: Path, fov: str
) -> dict[str, pd.DataFrame]:
    """Detection, SEG, DET and TRA of a field; returns who each found track was, by population."""
    truth, named = truth_of(truth_folder, fov), {}
    for population in run.populations:
        true_label = tifffile.imread(truth_folder / "labels" / fov / f"{population}.tif")
        label = run.labels(fov, population)
        matches = m.match_film(true_label, label)
        tally.detection[population] += m.detection(true_label, label, matches)
        tally.iou[population].append(m.seg(true_label, label))
        points = run.table("05_model_input/track_points", fov, population)
        named[population] = m.name_tracks(matches, points)
        tracks = run.table("05_model_input/tracks", fov, population)
        if not true_label.any():
            continue  # a control without effectors has no tracks to score
        with tempfile.TemporaryDirectory() as temp:
            true_named, true_lineage = ctc.unbroken(
                of(truth["track_points"], population), of(truth["tracks"], population)
            )
            gt = ctc.write_truth(
                Path(temp) / "gt", ctc.renamed(true_label, true_named), true_lineage
            )
            pieces, lineage = ctc.unbroken(points, tracks)
            res = ctc.write_results(Path(temp) / "res", ctc.renamed(label, pieces), lineage)
            tally.ctc[population].append(ctc.evaluate(res, gt))
    return named


def asked(table: pd.DataFrame, track: str, first: str, last: str) -> pd.DataFrame:
    """A question for `metrics.identify`."""
    return pd.DataFrame({"track_id": table[track], "first": table[first], "last": table[last]})


def true_names(table: pd.DataFrame, side: str, named: dict[str, pd.DataFrame]) -> np.ndarray:
    """True tracks of one side of a contact table, in the frame itself (0 where unmatched)."""
    result = np.zeros(len(table), np.int64)
    for population, who in named.items():
        at = np.flatnonzero(table[f"population_{side}"] == population)
        rows = table.iloc[at]
        result[at] = m.identify(who, asked(rows, f"track_id_{side}", "frame", "frame"))
    return result


def score_contacts(tally: Tally, true: pd.DataFrame, found: pd.DataFrame, named: dict) -> None:
    """Contact F1 per pair and frame: effector and target, and all pairs."""
    names = {f"track_id_{side}": true_names(found, side, named) for side in m.SIDES}
    tables = true, found.assign(**names)
    cross = [each[each["population_a"] != each["population_b"]] for each in tables]
    tally.contacts["effector-target"] += m.contact_score(*cross)
    tally.contacts["all pairs"] += m.contact_score(*tables)


def score_deaths(
    tally: Tally, true: pd.DataFrame, found: pd.DataFrame, named: dict, tolerance: int
) -> pd.DataFrame:
    """Deaths found, and how many frames late; returns `found` with its true tracks."""
    found = found.assign(first=found["frame"], last=found["frame"], true=0)
    for population, who in named.items():
        at = np.flatnonzero(found["population"] == population)
        rows = asked(found.iloc[at], "track_id", "first", "last")
        found.iloc[at, found.columns.get_loc("true")] = m.identify(who, rows, WHO)
        mine = found.iloc[at]
        pairs = m.match_deaths(of(true, population), mine)
        n = len(mine), int((true["population"] == population).sum())
        near = (pairs["found_frame"] - pairs["frame"]).abs() <= tolerance
        tally.deaths += m.Score(len(pairs), *n)
        tally.deaths_in_time += m.Score(int(near.sum()), *n)
        tally.errors.append(pairs)
    return found


def score_kills(
    tally: Tally, truth: dict, run: RunFolder, fov: str, deaths: pd.DataFrame, named: dict
) -> None:
    """Kill attribution of the run, of random guesses, and of our rule given the truth."""
    true = truth["kills"].rename(
        columns={"target_track_id": "target", "effector_track_id": "effector"}
    )
    found = run.table("07_model_output/kills", fov)
    who = deaths.set_index("track_id")["true"]
    target = found["target_track_id"].map(who).fillna(0).astype(int)
    effector = _effectors(
        found, "effector_track_id", "first_contact_frame", "last_contact_frame", named
    )
    ours = found.assign(target=target.to_numpy(), effector=effector)
    tally.kills["cyto_kedro"] += m.kill_score(true, ours)
    sure = ours[ours["share"] >= 0.5].assign(share=1.0)
    most = true[true["share"] >= 0.5].assign(share=1.0)
    tally.kills["main killers only (share >= 0.5)"] += m.kill_score(most, sure)

    contacts = run.table("07_model_output/contacts", fov)
    tally.kills["guess: any effector that touched"] += m.guess_score(
        true, _touching(contacts, deaths, named)
    )
    points = run.table("05_model_input/track_points", fov, "TCell")
    present = points[["frame", "track_id"]].merge(
        deaths.reset_index(names="death")[["death", "frame", "true"]], on="frame"
    )
    present["target"] = present["true"]
    present["effector"] = _effectors(present, "track_id", "frame", "frame", named)
    tally.kills["guess: any effector in the field"] += m.guess_score(true, present)

    known = KillShares()(
        {"deaths": truth["deaths"], "contacts": truth["contacts"], "populations": ROLES}
    )["kills"].rename(columns={"target_track_id": "target", "effector_track_id": "effector"})
    tally.kills["KillShares, given true deaths and contacts"] += m.kill_score(true, known)


def _effectors(table: pd.DataFrame, track: str, first: str, last: str, named: dict) -> np.ndarray:
    return m.identify(named["TCell"], asked(table, track, first, last))


def _touching(contacts: pd.DataFrame, deaths: pd.DataFrame, named: dict) -> pd.DataFrame:
    """Effectors in contact with each dead target in the window of the kill rule before its death."""
    window = KillShares().window.min or np.inf
    pairs = contacts[contacts["population_a"] != contacts["population_b"]]
    first = pairs["population_a"].to_numpy() == "TCell"
    a, b = pairs["track_id_a"].to_numpy(), pairs["track_id_b"].to_numpy()
    table = pairs[["frame", "time_min"]].assign(
        effector=np.where(first, a, b), track_id=np.where(first, b, a)
    )
    dead = deaths.reset_index(names="death")[["death", "track_id", "frame", "time_min", "true"]]
    table = table.merge(dead, on="track_id", suffixes=("", "_death"))
    age = table["time_min_death"] - table["time_min"]
    table = table[(age >= 0) & (age <= window)]
    by = ["death", "true", "effector"]
    table = table.groupby(by, as_index=False).agg(first=("frame", "min"), last=("frame", "max"))
    table["target"] = table["true"]
    return table.assign(effector=_effectors(table, "effector", "first", "last", named))


def score(run: RunFolder, truth_folder: Path, fovs: list[str], tolerance: int) -> Tally:
    """Score some fields of a run."""
    tally = Tally()
    for fov in fovs:
        truth = truth_of(truth_folder, fov)
        named = score_masks(tally, run, truth_folder, fov)
        score_contacts(tally, truth["contacts"], run.table("07_model_output/contacts", fov), named)
        found = run.table("07_model_output/deaths", fov)
        deaths = score_deaths(tally, truth["deaths"], found, named, tolerance)
        targets = deaths[deaths["population"] == "CancerCell"].reset_index(drop=True)
        score_kills(tally, truth, run, fov, targets, named)
    return tally


def show(tally: Tally, tolerance: int) -> None:
    """Print one assay's table."""
    print("\nCells (IoU >= 0.5, per frame)")
    print(
        f"  {'population':<12}{'precision':>10}{'recall':>8}{'F1':>7}{'SEG':>7}{'DET':>7}{'TRA':>7}"
    )
    for name, each in tally.detection.items():
        if not tally.ctc[name]:
            continue
        total, n = np.sum(tally.iou[name], axis=0)
        mean = {key: np.mean([one[key] for one in tally.ctc[name]]) for key in ("DET", "TRA")}
        print(
            f"  {name:<12}{each.precision:>10.3f}{each.recall:>8.3f}{each.f1:>7.3f}"
            f"{total / n:>7.3f}{mean['DET']:>7.3f}{mean['TRA']:>7.3f}"
        )
    rows = {f"contacts, {name}": each for name, each in tally.contacts.items()}
    rows["deaths"] = tally.deaths
    rows[f"deaths, at most {tolerance} frames off"] = tally.deaths_in_time
    rows |= {f"kills, {name}": each for name, each in tally.kills.items()}
    print(f"\n  {'':<52}{'precision':>10}{'recall':>8}{'F1':>7}{'found':>8}{'true':>8}")
    for name, each in rows.items():
        print(
            f"  {name:<52}{each.precision:>10.3f}{each.recall:>8.3f}{each.f1:>7.3f}"
            f"{each.found:>8.0f}{each.true:>8.0f}"
        )
    print("\nDeath time, found minus true, frames: " + death_times(tally))


def death_times(tally: Tally) -> str:
    """Mean and median signed error against the break of the membrane and the half-filled marker."""
    pairs = pd.concat(tally.errors, ignore_index=True)
    parts = []
    for name, column in (("onset", "frame"), ("marker half full", "marker_half_frame")):
        late = (pairs["found_frame"] - pairs[column]).dropna().astype(float)
        if len(late):
            parts.append(
                f"against {name} mean {late.mean():+.2f}, median {late.median():+.1f}, "
                f"range {late.min():+.0f} to {late.max():+.0f} (n={len(late)})"
            )
    return "; ".join(parts) or "no death was found"


def simulate(folder: Path, repeats: int, seed: int) -> tuple[RunFolder, Path]:
    """Simulate every kill rule and run the whole analysis on it, in `folder`."""
    fovs = {}
    for rule in RULES:
        for k in range(repeats):
            args = {"seed": seed + k, "killing": {"rule": rule}}
            assay = {"name": "SimulatedAssay", "args": args}
            fovs[f"{rule}_{k}"] = {"condition": rule, "replicate": str(k), "assay": assay}
    where = simulated_conf(folder, fovs)
    kedro("run", "--pipelines", "simulation", *where)
    kedro("run", "--pipelines", ANALYSIS, *where)
    return RunFolder(folder / "data"), folder / "films_truth"


def show_rules(run: RunFolder, truth: Path, tolerance: int) -> None:
    """Print a row for each kill rule, F1 unless said."""
    print(
        f"{'':<18}{'T det':>7}{'C det':>7}{'T TRA':>7}{'C TRA':>7}{'contact':>9}{'death':>8}",
        end="",
    )
    print(f"{'(true)':>7}{'late':>7}{'kill':>7}{'guess':>7}{'truth*':>8}{'(true)':>7}")
    for rule in RULES:
        tally = score(run, truth, [f for f in run.fovs if f.startswith(rule)], tolerance)
        pairs = pd.concat(tally.errors)
        late = (pairs["found_frame"] - pairs["frame"]).astype(float).mean()
        tra = [np.mean([one["TRA"] for one in tally.ctc[p]]) for p in ROLES]
        kills = tally.kills
        print(
            f"{rule:<18}{tally.detection['TCell'].f1:>7.3f}{tally.detection['CancerCell'].f1:>7.3f}"
            f"{tra[0]:>7.3f}{tra[1]:>7.3f}{tally.contacts['effector-target'].f1:>9.3f}"
            f"{tally.deaths.f1:>8.3f}{tally.deaths.true:>7.0f}{late:>+7.2f}"
            f"{kills['cyto_kedro'].f1:>7.3f}{kills['guess: any effector that touched'].f1:>7.3f}"
            f"{kills['KillShares, given true deaths and contacts'].f1:>8.3f}"
            f"{kills['cyto_kedro'].true:>7.0f}"
        )
    print("T, C: TCell, CancerCell. late: mean frames after the membrane's break. guess: a random")
    print("effector that touched. truth*: KillShares given true deaths and true contacts.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy against the simulation's truth.")
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--truth", type=Path, default=ROOT / "data/01_raw/sample_truth")
    parser.add_argument("--tolerance", type=int, default=2, help="frames, of a death in time")
    parser.add_argument("--rules", action="store_true", help="simulate the four kill rules instead")
    parser.add_argument("--repeats", type=int, default=3, help="fields of each rule")
    parser.add_argument("--seed", type=int, default=100, help="of the first field")
    parser.add_argument("--keep", type=Path, help="folder for the simulated assay (default: none)")
    args = parser.parse_args()
    if args.rules:
        with tempfile.TemporaryDirectory() as temp:
            folder = args.keep or Path(temp) / "assay"
            run, truth = simulate(folder, args.repeats, args.seed)
            show_rules(run, truth, args.tolerance)
        return
    run = RunFolder(args.data)
    for fov in run.fovs:
        print(f"\n=== {fov}")
        show(score(run, args.truth, [fov], args.tolerance), args.tolerance)
    print("\n=== all fields")
    show(score(run, args.truth, run.fovs, args.tolerance), args.tolerance)


if __name__ == "__main__":
    main()
