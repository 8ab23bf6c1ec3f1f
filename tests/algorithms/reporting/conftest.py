"""A small made-up assay in the project's tables: enough of everything to draw and to count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cyto_kedro import schemas

ROLES = {"TCell": "effector", "CancerCell": "target"}
CONDITIONS = {"A1": "control", "A2": "control", "B1": "CAR-T <high>", "B2": "CAR-T <high>"}


def make_assay(seed: int = 0, n_frames: int = 40, calibrated: bool = True) -> dict[str, Any]:
    """Four fields, two conditions: 12 effectors and 15 targets each, 2 min apart, 0.5 µm/px."""
    rng = np.random.default_rng(seed)
    um, dt = (0.5, 2.0) if calibrated else (np.nan, np.nan)
    size, frame = 192, np.arange(n_frames)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in schemas.TABLES}
    for fov, condition in CONDITIONS.items():
        killing = 0.75 if condition != "control" else 0.25
        for population, n, step in (("TCell", 12, 4.0), ("CancerCell", 15, 0.8)):
            walk = rng.normal(0, step, (n, n_frames, 2)).cumsum(axis=1)
            xy = np.clip(rng.uniform(20, size - 20, (n, 1, 2)) + walk, 1, size - 2)
            first = np.where(rng.random(n) < 0.2, rng.integers(0, n_frames // 3, n), 0)
            for i in range(n):
                seen = frame >= first[i]
                points = pd.DataFrame(
                    {
                        "fov": fov,
                        "population": population,
                        "frame": frame[seen],
                        "time_min": frame[seen] * dt,
                        "x_px": xy[i, seen, 0],
                        "y_px": xy[i, seen, 1],
                        "x_um": xy[i, seen, 0] * um,
                        "y_um": xy[i, seen, 1] * um,
                        "track_id": i + 1,
                        "label": i + 1,
                        "interpolated": False,
                    }
                )
                parts["track_points"].append(points)
                speed = np.linalg.norm(np.diff(xy[i, seen], axis=0), axis=1).mean()
                parts["motility"].append(
                    pd.DataFrame(
                        {
                            "fov": [fov],
                            "population": population,
                            "track_id": i + 1,
                            "n_points": int(seen.sum()),
                            "duration_frames": int(seen.sum()) - 1,
                            "duration_min": (seen.sum() - 1) * dt,
                            "path_length_px": 1.0,
                            "path_length_um": um,
                            "net_displacement_px": 1.0,
                            "net_displacement_um": um,
                            "straightness": 0.5,
                            "mean_speed_px_per_frame": speed,
                            "mean_speed_um_per_min": speed * um / dt,
                            "arrest_coefficient": 0.1,
                        }
                    )
                )
                died = population == "CancerCell" and rng.random() < killing
                death = int(rng.integers(first[i] + 1, n_frames)) if died else None
                last = n_frames - 1
                parts["fates"].append(
                    pd.DataFrame(
                        {
                            "fov": [fov],
                            "population": population,
                            "track_id": i + 1,
                            "first_frame": first[i],
                            "last_frame": last,
                            "dead_at_first_sight": population == "CancerCell" and i == 14,
                            "died": died and i != 14,
                            "death_frame": death if i != 14 else None,
                            "entry_min": first[i] * dt,
                            "exit_min": (death if died and i != 14 else last) * dt,
                            "end_reason": "film_end",
                        }
                    )
                )
                if died and i != 14:
                    parts["deaths"].append(
                        pd.DataFrame(
                            {
                                "fov": [fov],
                                "population": population,
                                "track_id": i + 1,
                                "frame": death,
                                "time_min": death * dt,
                                "n_killers": 1 if i % 4 else 0,
                            }
                        )
                    )
                    if i % 4:
                        parts["kills"].append(
                            pd.DataFrame(
                                {
                                    "fov": [fov],
                                    "target_population": population,
                                    "target_track_id": i + 1,
                                    "effector_population": "TCell",
                                    "effector_track_id": i % 12 + 1,
                                    "death_frame": death,
                                    "death_min": death * dt,
                                    "share": 1.0,
                                    "contact_frames": 3,
                                    "first_contact_frame": max(death - 5, 0),
                                    "last_contact_frame": death,
                                }
                            )
                        )
        start = rng.integers(0, n_frames - 5, 25)
        length = np.minimum(1 + rng.geometric(0.15 if killing > 0.5 else 0.3, 25), n_frames - start)
        parts["bouts"].append(
            pd.DataFrame(
                {
                    "fov": fov,
                    "population_a": "TCell",
                    "track_id_a": np.arange(25) % 12 + 1,
                    "population_b": "CancerCell",
                    "track_id_b": np.arange(25) % 15 + 1,
                    "bout": 1,
                    "start_frame": start,
                    "end_frame": start + length - 1,
                    "n_frames": length,
                    "n_contact_frames": length,
                    "start_min": start * dt,
                    "duration_min": (length - 1) * dt,
                    "censored_start": start == 0,
                    "censored_end": start + length == n_frames,
                }
            )
        )
        parts["fields"].append(
            pd.DataFrame(
                {
                    "fov": [fov],
                    "n_frames": n_frames,
                    "height_px": size,
                    "width_px": size,
                    "pixel_size_um": um,
                }
            )
        )
        parts["frames"].append(
            pd.DataFrame({"fov": fov, "frame": frame, "time_s": frame * dt * 60, "excluded": False})
        )
        for channel, level in (("TCell", 30.0), ("CancerCell", 45.0), ("Dead", 12.0)):
            mean = level * np.exp(-frame / 200) + rng.normal(0, 0.2, n_frames)
            focus = 0.02 + rng.normal(0, 0.001, n_frames)
            if fov == "B2" and channel == "TCell":
                focus[20:22] = 0.004
            parts["quality"].append(
                pd.DataFrame(
                    {
                        "fov": fov,
                        "channel": channel,
                        "frame": frame,
                        "mean": mean,
                        "sd": 5.0,
                        "min": 0.0,
                        "max": 255.0,
                        "saturated_fraction": 0.004 if (fov, channel) == ("A1", "Dead") else 0.0,
                        "focus": focus,
                    }
                )
            )
    tables: dict[str, Any] = {}
    for name, pieces in parts.items():
        schema = schemas.TABLES[name]
        made = pd.concat(pieces, ignore_index=True) if pieces else schemas.empty(schema)
        tables[name] = schemas.check(schema, schemas.conform(schema, made))
    sheet = pd.DataFrame(
        {"fov": list(CONDITIONS), "condition": list(CONDITIONS.values()), "replicate": [1, 2, 1, 2]}
    )
    return {**tables, "sample_sheet": sheet, "roles": ROLES}


def make_film(n_frames: int = 12, size: int = 192, seed: int = 1) -> dict[str, Any]:
    """One field of moving discs with labels, tracks, a death and a kill."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    label = {p: np.zeros((n_frames, size, size), dtype=np.uint32) for p in ROLES}
    image = {c: np.zeros((n_frames, size, size)) for c in ("TCell", "CancerCell", "Dead")}
    points = []
    for population, n, radius, step in (("TCell", 9, 6, 4.0), ("CancerCell", 8, 11, 0.7)):
        xy = rng.uniform(20, size - 20, (n, 1, 2)) + rng.normal(0, step, (n, n_frames, 2)).cumsum(1)
        for i in range(n):
            for t in range(n_frames):
                x, y = np.clip(xy[i, t], radius, size - radius)
                r2 = (xx - x) ** 2 + (yy - y) ** 2
                label[population][t][r2 < radius**2] = i + 1
                image[population][t] += 110 * np.exp(-r2 / (2 * (radius / 1.7) ** 2))
                if population == "CancerCell" and i < 2 and t >= 4:
                    image["Dead"][t] += 150 * np.exp(-r2 / (2 * (radius / 2.2) ** 2))
                points.append(("F", population, t, i + 1, x, y))
    for stack in image.values():
        stack += rng.normal(12, 4, stack.shape)
    table = pd.DataFrame(points, columns=["fov", "population", "frame", "track_id", "x_px", "y_px"])
    table = table.assign(label=table["track_id"], interpolated=False, time_min=table["frame"] * 2.0)
    table = table.assign(x_um=table["x_px"] / 2, y_um=table["y_px"] / 2)
    deaths = pd.DataFrame({"track_id": [1, 2], "frame": [4, 4], "n_killers": [1, 0]})
    deaths = deaths.assign(fov="F", population="CancerCell", time_min=8.0)
    kills = pd.DataFrame({"target_track_id": [1], "effector_track_id": [3], "death_frame": [4]})
    kills = kills.assign(
        fov="F",
        target_population="CancerCell",
        effector_population="TCell",
        death_min=8.0,
        share=1.0,
        contact_frames=2,
        first_contact_frame=2,
        last_contact_frame=4,
    )
    times = np.arange(n_frames)
    return {
        "image": {name: np.clip(stack, 0, 255).astype(np.uint8) for name, stack in image.items()},
        "label": label,
        "roles": ROLES,
        "channel_roles": {"TCell": "effector", "CancerCell": "target", "Dead": "death"},
        "track_points": schemas.conform(schemas.TrackPoints, table),
        "deaths": schemas.conform(schemas.Deaths, deaths),
        "kills": schemas.conform(schemas.Kills, kills),
        "frames": pd.DataFrame(
            {"fov": "F", "frame": times, "time_s": times * 120.0, "excluded": False}
        ),
        "pixel_size_um": 0.5,
    }


@pytest.fixture(scope="session")
def assay() -> dict[str, Any]:
    return make_assay()


@pytest.fixture(scope="session")
def uncalibrated() -> dict[str, Any]:
    return make_assay(calibrated=False)


@pytest.fixture(scope="session")
def film() -> dict[str, Any]:
    return make_film()
