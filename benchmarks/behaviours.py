"""Whether classes of behaviour are the kinds that cells are of: simulated walkers, and real tracks.

    python benchmarks/behaviours.py [--seeds 1000 1010 1020 1030 1040] [--data ../shared/data]

Settings were chosen on seeds 0 to 49 of the walkers. One choice saw real tracks: an entropy penalty
(ICL), as good on walkers, put each real set into one class, so the BIC took its place.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from cyto_kedro import schemas
from cyto_kedro.algorithms.comparison.behaviours import MEASURES, Behaviours
from cyto_kedro.algorithms.contacts.neighbours import Neighbours
from cyto_kedro.algorithms.contacts.positions import CentroidDistance
from cyto_kedro.algorithms.contacts.windows import TrackWindows

PIXEL = 0.65  # µm
ROLES = {"TCell": "effector", "CancerCell": "target"}
Walk = np.ndarray


def furth(rng: np.random.Generator, n: int, times: int, dt: float, speed: float, p: float) -> Walk:
    """(n, times, 2) µm: persistent random walks of root mean square speed and persistence `p` min."""
    keep = np.exp(-dt / p)
    velocity = rng.normal(0, speed / np.sqrt(2), (n, times, 2))
    for t in range(1, times):
        velocity[:, t] = keep * velocity[:, t - 1] + np.sqrt(1 - keep**2) * velocity[:, t]
    return np.cumsum(velocity * dt, axis=1)


def walkers(
    seed: int, n: int = 25, times: int = 61, dt: float = 1.0, error: float = 0.3
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Track points of a field, `n` T cells of each kind and `n` cancer cells; kind by T cell's track.

    Arrested; Brownian, 3 µm²/min; persistent, 6 µm/min for 8 min; following a cancer cell, which goes
    2.5 µm/min for 15 min. Positions are known to `error` µm.
    """
    rng = np.random.default_rng(seed)

    def put() -> np.ndarray:
        return rng.uniform(0, 400, (n, 1, 2))

    led = put() + furth(rng, n, times, dt, 2.5, 15.0)
    angle = rng.uniform(0, 2 * np.pi, n)
    following = np.zeros((n, times, 2))
    following[:, 0] = led[:, 0] + 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for t in range(1, times):
        way = led[:, t] - following[:, t - 1]
        far = np.linalg.norm(way, axis=1, keepdims=True)
        step = way / far * np.maximum(far - 10, 0) * 0.6
        following[:, t] = following[:, t - 1] + step + rng.normal(0, 1.0, (n, 2))
    brownian = put() + np.cumsum(rng.normal(0, np.sqrt(6.0 * dt), (n, times, 2)), axis=1)
    kinds = {
        "arrested": np.repeat(put(), times, axis=1),
        "brownian": brownian,
        "persistent": put() + furth(rng, n, times, dt, 6.0, 8.0),
        "following": following,
    }
    places = np.concatenate([*kinds.values(), led])
    places = places + rng.normal(0, error, places.shape)
    number = np.concatenate([np.arange(4 * n), np.arange(n)]) + 1
    track = np.repeat(number, times)
    x, y = places.reshape(-1, 2).T
    rows = {"fov": f"s{seed}", "track_id": track, "label": track, "x_px": x / PIXEL}
    rows |= {"population": np.repeat(["TCell"] * 4 * n + ["CancerCell"] * n, times), "x_um": x}
    rows |= {"frame": np.tile(np.arange(times), 5 * n), "y_px": y / PIXEL, "y_um": y}
    points = pd.DataFrame(rows).assign(time_min=lambda t: t["frame"] * dt)
    kind = {i * n + j + 1: name for i, name in enumerate(kinds) for j in range(n)}
    return schemas.filled(schemas.TrackPoints, points), kind


def cut(points: pd.DataFrame, **args: Any) -> pd.DataFrame:
    """`schemas.TrackWindows` of the walkers' T cells."""
    touching = CentroidDistance(max_distance_um=12.0)
    contacts = touching(track_points=points, pixel_size_um=PIXEL)["contacts"]
    found = Neighbours()(
        track_points=points,
        contacts=contacts,
        populations=ROLES,
        shape=(3000, 3000),
        pixel_size_um=PIXEL,
    )
    windows = TrackWindows(**args)(track_points=points, neighbours=found["neighbours"])
    return windows["track_windows"].query("population == 'TCell'")


def classed(windows: pd.DataFrame, **args: Any) -> pd.DataFrame:
    """The windows with their class, of those that have one."""
    fovs = windows["fov"].unique()
    design = pd.DataFrame({"fov": fovs, "condition": "all", "replicate": fovs, "cluster": fovs})
    frames = pd.DataFrame({"fov": fovs, "frame": 0, "time_s": 0.0})
    found = Behaviours(**args)(track_windows=windows, design=design, frames=frames)["behaviours"]
    key = schemas.TrackWindows.key()
    return windows.merge(found[[*key, "behaviour"]], on=key).dropna(subset="behaviour")


def simulated(seed: int, duration: float, **how: Any) -> tuple[float, float, int]:
    """Adjusted Rand index of windows and of tracks (their commonest class), number of classes."""
    parts, kinds = [], []
    for each in range(seed, seed + 3):
        points, kind = walkers(each, **how)
        one = cut(points, duration_min=duration)
        parts.append(one)
        kinds.append(one["track_id"].map(kind))
    windows = pd.concat(parts, ignore_index=True)
    windows["kind"] = pd.concat(kinds, ignore_index=True)
    found = classed(windows)
    whole = found.groupby(["fov", "track_id"]).agg(
        kind=("kind", "first"), behaviour=("behaviour", lambda b: b.mode().iloc[0])
    )
    scores = [adjusted_rand_score(each["kind"], each["behaviour"]) for each in (found, whole)]
    return scores[0], scores[1], found["behaviour"].nunique()


def points_of(fov: str, track: Any, frame: Any, minutes: Any, **axes: Any) -> pd.DataFrame:
    """Track points of real tracks: a pixel is a micrometre."""
    rows = {"fov": fov, "population": "Cell", "track_id": np.asarray(track)}
    rows |= {"frame": np.asarray(frame), "time_min": np.asarray(minutes, float)}
    table = schemas.filled(
        schemas.TrackPoints,
        pd.DataFrame(rows).assign(
            **{
                f"{axis}_{u}": np.asarray(v, float)
                for axis, v in axes.items()
                for u in ("px", "um")
            }
        ),
    )
    return table


def celltrackr(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name of the kind of cell, and its points, 24 s a frame."""
    for name in ("TCells", "BCells", "Neutrophils"):
        rows = pd.read_csv(folder / f"{name}.csv")
        frame = np.rint(rows["t"] / 24).astype(int)
        track = pd.factorize(rows["track"])[0] + 1
        yield name, points_of(name, track, frame, rows["t"] / 60, x=rows["x"], y=rows["y"])


def behav3d(folder: Path) -> pd.DataFrame:
    """Points of T cells among organoids, with their dead dye."""
    stem = "DemoDataset1_20190523_CD8green_"

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(folder / f"{stem}{name}.csv.gz", skiprows=3).set_index("ID")

    place = read("Position")
    place["dye"] = read("Intensity_Mean_Ch=3_Img=1")["Intensity Mean"]
    axes = {axis: place[f"Position {axis.upper()}"] for axis in "xyz"}
    track = pd.factorize(place["TrackID"])[0] + 1
    points = points_of("A", track, place["Time"], place["Time"] * 2.0, **axes)
    return points.assign(dye=place["dye"].to_numpy())


def taught(windows: pd.DataFrame, truth: pd.Series) -> float:
    """The same index of a forest that is told the truth of other tracks: what there is to be found."""
    columns = [c for names in MEASURES.values() for c in names[:1] if windows[c].notna().any()]
    group = windows["fov"] + windows["track_id"].astype(str)
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    values = windows[columns].fillna(windows[columns].median())
    said = cross_val_predict(forest, values, truth, groups=group, cv=GroupKFold(5))
    return adjusted_rand_score(truth, said)


def real(data: Path) -> None:
    """Print what classes of real tracks have to do with what is known of them."""
    for minutes in (4.0, 6.0):
        cutter = TrackWindows(duration_min=minutes)
        parts = list(celltrackr(data / "celltrackR_2photon_tracks"))
        windows = pd.concat([cutter(track_points=p)["track_windows"] for _, p in parts])
        found = classed(windows)
        score = adjusted_rand_score(found["fov"], found["behaviour"])
        best = taught(found, found["fov"])
        print(
            f"celltrackR, {minutes:g} min: {score:.2f}; told the truth of other tracks {best:.2f}"
        )
        print(pd.crosstab(found["fov"], found["behaviour"], normalize="index").round(2).to_string())
    points = behav3d(data / "behav3d_tcell_organoid_tracks")
    found = classed(TrackWindows(duration_min=20.0)(track_points=points)["track_windows"])
    dye = points.set_index(["track_id", "frame"]).sort_index()["dye"]
    spans = found[["track_id", "start_frame", "end_frame"]].itertuples(index=False)
    dead = pd.Series([dye.loc[t].loc[a:b].median() >= 10 for t, a, b in spans], found.index)
    share = [f"{each:.2f}" for each in dead.groupby(found["behaviour"]).mean()]
    print(
        f"BEHAV3D, 20 min: share of dead T cells by class {', '.join(share)}, of {len(found)} windows"
    )
    print(found.groupby("behaviour")[["speed_um_per_min", "straightness"]].median().round(2))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000, 1010, 1020, 1030, 1040])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    asked = parser.parse_args()
    ways: dict[str, tuple[float, dict[str, float]]] = {
        "20 min": (20.0, {}),
        "10 min": (10.0, {}),
        "30 min": (30.0, {}),
        "20 min, positions known to 1 µm": (20.0, {"error": 1.0}),
        "20 min, a frame every 2 min": (20.0, {"dt": 2.0, "times": 31}),
    }
    for name, (duration, how) in ways.items():
        rows = [simulated(seed, duration, **how) for seed in asked.seeds]
        windows, tracks, n = np.array(rows).T
        print(
            f"{name}: windows {windows.mean():.2f} ({windows.min():.2f} to {windows.max():.2f}), "
            f"tracks {tracks.mean():.2f}, classes {sorted(map(int, n))}"
        )
    if asked.data.is_dir():
        real(asked.data)


if __name__ == "__main__":
    main()
