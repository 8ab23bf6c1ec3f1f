"""Kinematics of a film's tracks: cyto_kedro beside the original's way (pyCyto) and trackpy.

    python benchmarks/motion_speed.py

Simulated persistent walks (the simulator's, without images), 40 frames, a tenth of the detections
missing, at 300 + 150, 1,000 + 500 and 5,000 + 2,500 cells. Written anew from what the published code
does:

original  dask.dataframe over pandas, all in one partition as `from_pandas` makes it: a sort within
          each track, shifts within each track, lengths by `apply` of a norm on every row, cumulative
          sums, clean-ups; then the mean squared displacement from the origin by film frame.
          (Its "from previous" columns hold the step to the next point; that is not imitated.)
original, time lags
          the same for lags 1 to 9, by a loop over frames that selects rows, as its last function does.
trackpy   `emsd` up to the same lag, a loop over tracks.

Ours: `Kinematics` gives all the original does, in px and µm and with real times, and 40 columns more.
`MeanSquaredDisplacement` gives, beside what `emsd` gives, a fit of each track and of the population,
with 200 bootstrap samples. Times are CPU times of one process with one thread, best of the repeats.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before the libraries are loaded

import dask  # noqa: E402
import dask.dataframe as dd  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from cyto_kedro import schemas  # noqa: E402
from cyto_kedro.algorithms.contacts.autocorrelation import VelocityAutocorrelation  # noqa: E402
from cyto_kedro.algorithms.contacts.kinematics import Kinematics  # noqa: E402
from cyto_kedro.algorithms.contacts.msd import MeanSquaredDisplacement  # noqa: E402
from cyto_kedro.algorithms.contacts.smoothing import TrackSmoothing  # noqa: E402
from cyto_kedro.algorithms.simulation.motion import persistent_step  # noqa: E402

MAX_LAG = 9


def tracks(n_cells: int, n_frames: int, seed: int = 0) -> pd.DataFrame:
    """Track points of one population: rms speed 2.5 µm/min, persistence 4 min, a frame in 2 min."""
    rng = np.random.default_rng(seed)
    speed, memory = np.full(n_cells, 2.5), np.full(n_cells, 4.0)
    velocity = rng.standard_normal((n_cells, 2)) * 2.5 / np.sqrt(2)
    places = [rng.uniform(0, 600, (n_cells, 2))]
    for _ in range(n_frames - 1):
        moved, velocity = persistent_step(rng, velocity, speed, memory, 2.0)
        places.append(places[-1] + moved)
    xy = np.stack(places, axis=1).reshape(-1, 2)
    frame = np.tile(np.arange(n_frames), n_cells)
    table = pd.DataFrame(
        {
            "fov": "A",
            "population": "TCell",
            "frame": frame,
            "time_min": 2.0 * frame,
            "x_px": xy[:, 0] / 0.65,
            "y_px": xy[:, 1] / 0.65,
            "x_um": xy[:, 0],
            "y_um": xy[:, 1],
            "track_id": np.repeat(np.arange(1, n_cells + 1), n_frames),
            "label": 1,
            "interpolated": False,
        }
    )[rng.random(len(frame)) > 0.1]
    return schemas.conform(schemas.TrackPoints, table)


def original(points: pd.DataFrame) -> pd.DataFrame:
    """The original's table of steps, with its mean squared displacement by frame computed too."""
    table = dd.from_pandas(points[["track_id", "frame", "x_px", "y_px"]], npartitions=1)
    meta = table._meta
    by_track = table.groupby("track_id").apply(lambda rows: rows.sort_values("frame"), meta=meta)
    table = by_track.reset_index(drop=True)
    grouped = table.groupby("track_id")
    table = table.assign(
        dx=grouped["x_px"].shift(-1) - table["x_px"],
        dy=grouped["y_px"].shift(-1) - table["y_px"],
        dt=grouped["frame"].shift(-1) - table["frame"],
    ).fillna(0)
    table["age"] = table["frame"] - table.groupby("track_id")["frame"].transform("min")
    table["step"] = _norms(table, ["dx", "dy"])
    table["x0"] = table.groupby("track_id")["dx"].cumsum()
    table["y0"] = table.groupby("track_id")["dy"].cumsum()
    table["net"] = _norms(table, ["x0", "y0"])
    for axis in ("dx", "dy"):
        table[f"{axis}_path"] = table[axis].apply(abs, meta=(axis, "f8"))
        table[f"{axis}_path"] = table.groupby("track_id")[f"{axis}_path"].cumsum()
    table["path"] = table.groupby("track_id")["step"].cumsum()
    for name, (a, b) in {
        "efficiency": ("path", "net"),
        "vx": ("dx", "dt"),
        "vy": ("dy", "dt"),
        "speed": ("step", "dt"),
        "mean_speed": ("path", "age"),
    }.items():
        table[name] = (table[a] / table[b]).fillna(0).replace([np.inf, -np.inf], 0)
    steps = table.compute()
    again = dd.from_pandas(steps, chunksize=2000)
    again["square"] = again["net"] ** 2
    by_frame = again.groupby("frame")["square"]
    dask.compute(by_frame.mean(), by_frame.std())
    return steps


def _norms(table: Any, columns: list[str]) -> Any:
    return table[columns].apply(lambda row: np.linalg.norm(row, ord=2), axis=1, meta=("n", "f8"))


def original_lags(steps: pd.DataFrame) -> list[float]:
    """The original's value for each lag: one selection of rows for each frame."""
    data = steps.assign(square=steps["net"] ** 2)
    found = []
    for lag in range(1, MAX_LAG + 1):
        means = []
        for t in data["frame"].unique():
            if t + lag in data["frame"].to_numpy():
                late = data[data["frame"] == t + lag]["square"].to_numpy()
                early = data[data["frame"] == t]["square"].to_numpy()
                n = min(len(late), len(early))  # the original fails where a cell is missing
                means.append(np.mean(np.abs(late[:n] - early[:n])))
        found.append(float(np.mean(means)))
    return found


def trackpy_msd(points: pd.DataFrame) -> pd.Series:
    import trackpy

    named = points.rename(columns={"x_um": "x", "y_um": "y", "track_id": "particle"})
    named = named[["x", "y", "frame", "particle"]]
    return trackpy.emsd(named, mpp=1, fps=0.5, max_lagtime=MAX_LAG)


def clock(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of CPU, the best of `repeats`."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of motion measures.")
    parser.add_argument("--cells", type=int, nargs="+", default=[450, 1500, 7500])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    dask.config.set(scheduler="synchronous")
    warnings.filterwarnings("ignore", module="dask|__main__")  # the original's calls cause them
    ours = {
        "Kinematics": Kinematics(),
        "MeanSquaredDisplacement": MeanSquaredDisplacement(max_lag_frames=MAX_LAG),
        "without bootstrap": MeanSquaredDisplacement(max_lag_frames=MAX_LAG, n_bootstrap=0),
        "VelocityAutocorrelation": VelocityAutocorrelation(max_lag_frames=MAX_LAG),
    }
    columns = ("speed_um_per_min", "net_displacement_um")
    print(f"CPU ms a frame, {args.frames} frames, best of {args.repeats}")
    for n in args.cells:
        points = tracks(n, args.frames)
        steps = original(points)
        table = Kinematics()({"dataframe": points})["steps"]
        theirs = trackpy_msd(points).to_numpy()
        msd = ours["MeanSquaredDisplacement"]({"dataframe": points})["msd"]["msd_um2"].to_numpy()
        if not np.allclose(msd, theirs, rtol=1e-9):
            raise SystemExit("trackpy and we disagree about the mean squared displacement")
        path = steps.groupby("track_id")["step"].sum().to_numpy()
        if not np.allclose(path, table.groupby("track_id")["path_length_px"].last()):
            raise SystemExit("the original and we disagree about the length of paths")
        ways: dict[str, Callable[[], Any]] = {
            "original": lambda points=points: original(points),
            "original, time lags": lambda steps=steps: original_lags(steps),
            "trackpy emsd": lambda points=points: trackpy_msd(points),
            **{
                name: lambda points=points, each=each: each({"dataframe": points})
                for name, each in ours.items()
            },
            "TrackSmoothing, 2 columns": lambda table=table: TrackSmoothing(columns=columns)(
                {"dataframe": table}
            ),
        }
        slow = {"original", "trackpy emsd"}
        ms = {
            name: 1e3 / args.frames * clock(work, 1 if name in slow and n > 2000 else args.repeats)
            for name, work in ways.items()
        }
        print(f"\n{n} cells, {len(points)} points")
        for name, value in ms.items():
            print(f"  {name:<28}{value:>10.3f}")
        print(f"  original / Kinematics       {ms['original'] / ms['Kinematics']:>10.1f}")
        lags = ms["trackpy emsd"] / ms["MeanSquaredDisplacement"]
        print(f"  trackpy / ours              {lags:>10.1f}")
        print(
            f"  trackpy / without bootstrap {ms['trackpy emsd'] / ms['without bootstrap']:>10.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
