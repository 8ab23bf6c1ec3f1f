"""Contacts, deaths and kills of simulated assays, against their truth.

    python benchmarks/killing.py                 # four densities, four kill rules, three seeds
    python benchmarks/killing.py --quick         # one small assay, as the tests run it

Each assay is some fields of one kill rule and one effector-free control field. It is analysed
twice, with the defaults of `conf/base`: (a) from the truth's masks and tracks, (b) from masks and
tracks made from its images. What each measure is: docs/killing.md.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import metrics as m
from crowded import ENGINES, LINKERS, STEPS
from cyto_kedro.algorithms.contacts.attribution import KillLikelihood
from cyto_kedro.algorithms.contacts.bouts import Bouts
from cyto_kedro.algorithms.contacts.contacts import ContactJoin
from cyto_kedro.algorithms.contacts.deaths import HysteresisDeaths
from cyto_kedro.algorithms.contacts.kills import KillShares, Watched
from cyto_kedro.algorithms.contacts.viability import MarkerThreshold
from cyto_kedro.algorithms.simulation.assay import SimulatedAssay
from cyto_kedro.algorithms.tabulation.features import Features
from cyto_kedro.algorithms.tabulation.touches import Touches
from cyto_kedro.algorithms.tracking.common import tracks_of
from sample import ROLES, RULES, WHO, asked, of, true_names
from tracking import DENSITIES, SIDE

_AS_TRUE = {"target_track_id": "target", "effector_track_id": "effector"}


@dataclass
class Field_:
    """One field: its truth, and the tables read off masks, by source (true, own)."""

    name: str
    control: bool
    time_min: np.ndarray
    truth: dict[str, pd.DataFrame]
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)


def simulate(name: str, control: bool, **args: Any) -> Field_:
    """Make a field, and read its tables off the true masks and off our own."""
    made = SimulatedAssay(**args)({"fov": name})
    truth = {key: made[key] for key in ("track_points", "tracks", "touches", "deaths", "kills")}
    time_min = made["time_s"] / 60
    result = Field_(name, control, time_min, truth)
    size = made["pixel_size_um"]
    own = {
        population: _segment(made["image"][population], size, population) for population in ROLES
    }
    for source, label in (("true", made["label"]), ("own", own)):
        tables: dict[str, Any] = {"cells": {}, "points": {}, "tracks": {}, "named": {}}
        for population in ROLES:
            data = {
                "label": label[population],
                "image": made["image"],
                "fov": name,
                "population": population,
                "pixel_size_um": size,
                "time_min": time_min,
                "n_frames": len(time_min),
                "shape": label[population].shape[1:],
            }
            cells = Features()(data)["dataframe"]
            if source == "true":
                points = of(truth["track_points"], population)
                tracks = of(truth["tracks"], population)
                named = points[["frame", "label", "track_id"]].astype(np.int64)
                named = named.rename(columns={"label": "true"})
            else:
                points = LINKERS[population]({**data, "dataframe": cells})["dataframe"]
                for step in STEPS[population]:
                    place = {**data, "cells": cells}
                    points = step(place, track_points=points)["track_points"]
                tracks = tracks_of(points, cells, data["n_frames"], data["shape"])
                matches = m.match_film(made["label"][population], label[population])
                named = m.name_tracks(matches, points)
            for key, table in zip(tables, (cells, points, tracks, named), strict=True):
                tables[key][population] = table
        touch = {"label": label, "fov": name, "pixel_size_um": size}
        tables["touches"] = Touches(max_distance_um=1.0)(touch)["dataframe"]
        result.tables[source] = tables
    return result


def _segment(image: np.ndarray, pixel_size_um: float, population: str) -> np.ndarray:
    image = image.astype(np.float32)
    low, high = np.percentile(image, (1.0, 99.8))
    image = np.clip((image - low) / (high - low), 0, 1)
    engine = ENGINES["default"][population]
    return np.asarray(engine({"image": image, "pixel_size_um": pixel_size_um})["label"])


def analyse(fields: list[Field_], source: str) -> Iterator[dict[str, Any]]:
    """Contacts, bouts, deaths and kills of each field, as the pipeline makes them."""
    viability = MarkerThreshold()
    states = {}
    for population in ROLES:
        pooled = pd.concat([each.tables[source]["cells"][population] for each in fields])
        states[population] = viability.estimate(pooled, marker="Dead")
    found, watched = [], []
    kills = KillLikelihood()
    for each in fields:
        tables = each.tables[source]
        points, tracks = (pd.concat(tables[key].values()) for key in ("points", "tracks"))
        data = {"touches": tables["touches"], "track_points": points, "tracks": tracks}
        data["contacts"] = ContactJoin()(data)["contacts"]
        data["bouts"] = Bouts()(data)["bouts"]
        judged = [
            viability(cells=cells, marker="Dead", state=states[population])
            for population, cells in tables["cells"].items()
        ]
        data["viability"] = pd.concat([one["viability"] for one in judged])
        data |= HysteresisDeaths()(data)
        data |= {"populations": ROLES, "time_min": each.time_min, "named": tables["named"]}
        found.append(data)
        names = ("deaths", "contacts", "populations", "fates", "time_min")
        exposure = kills.exposure(**{name: data[name] for name in names})
        watched.append(Watched(exposure, "treated", each.control))
    models = kills.estimate(watched)
    for each, data in zip(fields, found, strict=True):
        data |= {"attack_models": models, "condition": "treated"}
        fixed = KillShares()(data)
        data |= kills(data)
        yield {**data, "truth": each.truth, "control": each.control, "fixed": fixed["kills"]}


def oracle(each: Field_, rule: str) -> pd.DataFrame:
    """What is best possible: our attribution given true deaths, contacts and the true law."""
    assay = SimulatedAssay(killing={"rule": rule})
    law = assay.killing
    added = rule == "additive_hits"
    lethal = law.threshold_contact_min if added else 1 / law.hit_rate_per_min
    rate = assay.targets.death_rate_per_h
    minutes = {"lethal": 1e9 if rule == "spontaneous_only" else lethal, "delay": law.mean_delay_min}
    row = {f"{name}_{unit}": each for name, each in minutes.items() for unit in ("min", "frames")}
    row |= {"evidence": 1.0, "hits": 50.0 if added else 1.0, "delay_cv": law.delay_cv}
    row |= {"background_per_h": rate, "background_per_frame": rate / 60}
    truth, keys = each.truth, ["population", "track_id"]
    deaths = truth["deaths"].assign(last_alive_frame=truth["deaths"]["frame"] - 1)
    fates = truth["tracks"].merge(
        deaths[[*keys, "frame"]].rename(columns={"frame": "death_frame"}), on=keys, how="left"
    )
    fates = fates.assign(died=fates["death_frame"].notna())
    fates["death_frame"] = fates["death_frame"].astype("Int64")
    data = {
        "deaths": deaths,
        "fates": fates,
        "contacts": truth["touches"],
        "populations": ROLES,
        "time_min": each.time_min,
        "attack_models": pd.DataFrame(
            [{"target_population": "CancerCell", "condition": "", **row}]
        ),
    }
    return KillLikelihood()(data)["kills"]


@dataclass
class Tally:
    """What is counted over the fields of an assay."""

    contacts: m.Score = field(default_factory=m.Score)
    bout_starts: list[np.ndarray] = field(default_factory=list)
    bout_ends: list[np.ndarray] = field(default_factory=list)
    deaths: m.Score = field(default_factory=m.Score)
    late: list[np.ndarray] = field(default_factory=list)
    kills: m.Score = field(default_factory=m.Score)
    main: m.Score = field(default_factory=m.Score)
    fixed: m.Score = field(default_factory=m.Score)
    guess: m.Score = field(default_factory=m.Score)
    credit: float = 0.0
    model: dict[str, float] = field(default_factory=dict)


def tally(fields: list[Field_], source: str) -> Tally:
    """Score an assay."""
    result = Tally()
    for data in analyse(fields, source):
        named, truth = data["named"], data["truth"]
        _contacts(result, data, named, truth)
        died = deaths_of(result, data, named, truth["deaths"])
        if not data["control"]:
            _kills(result, data, named, truth, died)
        rows = data["attack_models"].query("condition == ''")
        result.model = rows.iloc[0].to_dict() if len(rows) else {}
    return result


def _cross(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["population_a"] != table["population_b"]]


def _contacts(result: Tally, data: dict, named: dict, truth: dict) -> None:
    names = {f"track_id_{side}": true_names(data["contacts"], side, named) for side in m.SIDES}
    found = _cross(data["contacts"].assign(**names))
    result.contacts += m.contact_score(_cross(truth["touches"]), found)
    true = {"contacts": truth["touches"], "dataframe": truth["track_points"]}
    starts, ends = m.bout_errors(
        _cross(Bouts()(true)["bouts"]), _cross(_named_bouts(data["bouts"], named))
    )
    result.bout_starts.append(starts)
    result.bout_ends.append(ends)


def _named_bouts(bouts: pd.DataFrame, named: dict) -> pd.DataFrame:
    """The bouts with true tracks: who each was in most frames of the bout."""
    found = bouts.copy()
    for side in m.SIDES:
        for population, who in named.items():
            at = np.flatnonzero(bouts[f"population_{side}"] == population)
            rows = asked(bouts.iloc[at], f"track_id_{side}", "start_frame", "end_frame")
            found.iloc[at, found.columns.get_loc(f"track_id_{side}")] = m.identify(who, rows)
    return found


def deaths_of(result: Tally, data: dict, named: dict, true: pd.DataFrame) -> pd.DataFrame:
    """Counts deaths; returns those of targets with their true tracks."""
    parts = []
    for population, who in named.items():
        mine = of(data["deaths"], population)
        body = mine["body_track_id"] if "body_track_id" in mine else pd.Series(dtype="Int64")
        track = body.fillna(mine["track_id"]) if len(body) else mine["track_id"]
        rows = mine.assign(first=mine["frame"], last=mine["frame"])
        before = m.identify(who, asked(rows, "track_id", "first", "last"), WHO)
        after = m.identify(who, asked(rows.assign(body=track), "body", "first", "last"), WHO)
        mine["true"] = np.where(before > 0, before, after)
        pairs = m.match_deaths(of(true, population), mine)
        result.deaths += m.Score(
            len(pairs), len(mine), int((true["population"] == population).sum())
        )
        result.late.append((pairs["found_frame"] - pairs["frame"]).to_numpy(int))
        parts.append(mine)
    return parts[list(named).index("CancerCell")]


def _kills(result: Tally, data: dict, named: dict, truth: dict, died: pd.DataFrame) -> None:
    true = truth["kills"].rename(columns=_AS_TRUE)
    who = died.set_index("track_id")["true"]
    for name, table in (("kills", data["kills"]), ("fixed", data["fixed"])):
        rows = asked(table, "effector_track_id", "first_contact_frame", "last_contact_frame")
        table = table.assign(
            target=table["target_track_id"].map(who).fillna(0).astype(int).to_numpy(),
            effector=m.identify(named["TCell"], rows),
        )
        setattr(result, name, getattr(result, name) + m.kill_score(true, table))
        if name == "kills":
            result.credit += float(table["credit"].sum())
            result.main += m.main_killer_score(true, table)
    # every effector that touched within an hour, where no share is dropped
    pairs = KillShares(min_share=0)(data)["kills"].drop(columns="share")
    rows = asked(pairs, "effector_track_id", "first_contact_frame", "last_contact_frame")
    target = pairs["target_track_id"].map(who).fillna(0).astype(int).to_numpy()
    pairs = pairs.assign(
        death=pairs["target_track_id"], target=target, effector=m.identify(named["TCell"], rows)
    )
    result.guess += m.guess_score(true, pairs)


def assay_of(
    rule: str, density: str, seeds: int, side: int = SIDE, frames: int = 40
) -> list[Field_]:
    """The fields of one assay."""
    n_effectors, n_targets = DENSITIES[density]
    args = {"size_px": side, "n_targets": n_targets, "n_frames": frames}
    killing = {"rule": rule}
    fields = [
        simulate(
            f"{rule}{k}", False, seed=300 + k, n_effectors=n_effectors, killing=killing, **args
        )
        for k in range(seeds)
    ]
    return [*fields, simulate("control", True, seed=400, n_effectors=0, **args)]


def row(rule: str, density: str, source: str, fields: list[Field_]) -> dict[str, Any]:
    """The measures of one assay."""
    done = tally(fields, source)
    late = np.concatenate(done.late)
    best = m.Score()
    for each in fields:
        if not each.control:
            kills = oracle(each, rule).rename(columns=_AS_TRUE)
            best += m.kill_score(each.truth["kills"].rename(columns=_AS_TRUE), kills)
    starts, ends = (np.concatenate(each) for each in (done.bout_starts, done.bout_ends))
    return {
        "rule": rule,
        "density": density,
        "source": source,
        "contact F1": done.contacts.f1,
        "bout start <= 1": np.mean(np.abs(starts) <= 1) if len(starts) else np.nan,
        "bout end <= 1": np.mean(np.abs(ends) <= 1) if len(ends) else np.nan,
        "deaths": done.deaths.true,
        "death R": done.deaths.recall,
        "death P": done.deaths.precision,
        "time <= 1": np.mean(np.abs(late) <= 1) if len(late) else np.nan,
        "kills": done.kills.true,
        "kill F1": done.kills.f1,
        "kill P": done.kills.precision,
        "kill R": done.kills.recall,
        "who": done.main.precision,
        "best possible": best.f1,
        "guess": done.guess.f1,
        "KillShares": done.fixed.f1,
        "false": done.kills.found - done.kills.hits,
        "credit": done.credit,
        **{name: done.model.get(name, np.nan) for name in ("lethal_min", "hits", "delay_min")},
        "background": done.model.get("background_per_h", np.nan),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Contacts, deaths and kills against the truth.")
    parser.add_argument("--quick", action="store_true", help="one small assay")
    parser.add_argument("--seeds", type=int, default=3, help="fields of each assay")
    parser.add_argument("--densities", nargs="*", default=list(DENSITIES), choices=DENSITIES)
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=RULES)
    parser.add_argument("--keep", type=Path, help="folder for the assays' tables, made once")
    args = parser.parse_args()
    if args.quick:
        fields = assay_of("single_hit", "1", 1, 128, 25)
        show([row("single_hit", "1", source, fields) for source in SOURCES])
        return
    rows = []
    for density in args.densities:
        for rule in args.rules:
            fields = _kept(args.keep, rule, density, args.seeds)
            rows += [row(rule, density, source, fields) for source in SOURCES]
            show(rows[-2:])
    show(rows)


SOURCES = ("true", "own")


def _kept(folder: Path | None, rule: str, density: str, seeds: int) -> list[Field_]:
    if folder is None:
        return assay_of(rule, density, seeds)
    path = folder / f"{rule}_{density}_{seeds}.pkl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(assay_of(rule, density, seeds)))
    return list(pickle.loads(path.read_bytes()))  # made by this command


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a Markdown table."""
    table = pd.DataFrame(rows).round(3)
    print("| " + " | ".join(table) + " |\n|" + "---|" * table.shape[1])
    for each in table.itertuples(index=False):
        print("| " + " | ".join(map(str, each)) + " |", flush=True)


if __name__ == "__main__":
    main()
