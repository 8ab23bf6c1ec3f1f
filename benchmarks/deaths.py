"""Which ways to call deaths find those of simulated assays, and when.

    python benchmarks/deaths.py              # two fields of each density, and a control
    python benchmarks/deaths.py --seeds 1 --densities 1

Masks and tracks are the truth's, so what is scored is the calling alone: who is dead in a frame, and
which track died when. The fields are those of `benchmarks/killing.py`; docs/killing.md says what each
measure is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.contacts.change_point import ChangePointDeaths
from cyto_kedro.algorithms.contacts.deaths import DeathCaller, HysteresisDeaths
from cyto_kedro.algorithms.contacts.logistic_viability import LogisticViability
from cyto_kedro.algorithms.contacts.signals import ShapeChange
from cyto_kedro.algorithms.contacts.viability import MarkerThreshold, ViabilityCaller
from killing import Field_, Tally, assay_of, deaths_of, simulate
from sample import ROLES, of
from tracking import DENSITIES

MARKERS = {"death": "Dead"}
WAYS: dict[str, tuple[ViabilityCaller, DeathCaller]] = {
    "`MarkerThreshold`, `HysteresisDeaths` (default)": (MarkerThreshold(), HysteresisDeaths()),
    "`MarkerThreshold`, `ChangePointDeaths`": (MarkerThreshold(), ChangePointDeaths()),
    "`LogisticViability` of controls, `HysteresisDeaths`": (
        LogisticViability(),
        HysteresisDeaths(),
    ),
    "`LogisticViability` as pyCyto, `HysteresisDeaths`": (
        LogisticViability(scale="percentile", weights={"death": -10}, intercept=5),
        HysteresisDeaths(),
    ),
    "`ShapeChange` (shrinkage), `ChangePointDeaths`": (ShapeChange(k_noise=1), ChangePointDeaths()),
    "`ShapeChange` (roughness), `ChangePointDeaths`": (
        ShapeChange(feature="roughness", k_noise=1),
        ChangePointDeaths(),
    ),
}


@cache
def controls(population: str, density: str) -> dict[str, pd.DataFrame]:
    """Cells known to live and to be dead, of a field that nothing is scored on."""
    n_effectors, n_targets = DENSITIES[density]
    field = simulate("known", False, seed=500, n_effectors=n_effectors, n_targets=n_targets)
    cells = field.tables["true"]["cells"][population]
    deaths = of(field.truth["deaths"], population).set_index("track_id")["frame"]
    since = cells["label"].map(deaths)  # a true label is its track's number
    return {"live": cells[since.isna()], "dead": cells[cells["frame"] > since + 2]}


def score(fields: Sequence[Field_], density: str, name: str) -> Tally:
    """What one way finds."""
    viability, caller = WAYS[name]
    result, judged = Tally(), {}
    learns = isinstance(viability, LogisticViability) and viability.weights is None
    known = controls("CancerCell", density) if learns else {}
    for population in ROLES:
        pooled = pd.concat([each.tables["true"]["cells"][population] for each in fields])
        found = viability(cells=pooled, marker="Dead", markers=MARKERS, controls=known)
        judged[population] = found["viability"]
    for each in fields:
        tables = each.tables["true"]
        points, tracks = (pd.concat(tables[key].values()) for key in ("points", "tracks"))
        mine = [table[table["fov"] == each.name] for table in judged.values()]
        data = {"track_points": points, "tracks": tracks, "viability": pd.concat(mine)}
        found = caller({**data, "populations": ROLES, "time_min": each.time_min})
        deaths_of(result, found, tables["named"], each.truth["deaths"])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Ways to call deaths, against the truth.")
    parser.add_argument("--seeds", type=int, default=2, help="fields of each density")
    parser.add_argument("--densities", nargs="*", default=["1", "2", "3"], choices=DENSITIES)
    args = parser.parse_args()
    assays = {each: assay_of("single_hit", each, args.seeds) for each in args.densities}
    print("| way | deaths | found | of those called, true | exact frame | within one |")
    print("|---|---|---|---|---|---|")
    for name in WAYS:
        whole = Tally()
        for density, fields in assays.items():
            part = score(fields, density, name)
            whole.deaths += part.deaths
            whole.late += part.late
        late, found = np.abs(np.concatenate(whole.late)), whole.deaths
        shares = [found.recall, found.precision]
        shares += [(late <= most).mean() if len(late) else np.nan for most in (0, 1)]
        print(f"| {name} | {found.true:.0f} | {' | '.join(f'{each:.3f}' for each in shares)} |")


if __name__ == "__main__":
    main()
