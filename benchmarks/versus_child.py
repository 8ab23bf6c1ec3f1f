"""Runs btrack or ultrack in an environment of its own; `versus.py` starts it.

    python versus_child.py FOLDER

FOLDER has settings.json (tool, and what its function below reads) and masks0.npy, masks1.npy, … or
image.npy, each (T, Y, X). Written are label.npy, whose numbers are cells all through the film,
parents.csv (child, parent) and said.json (version, CPU seconds). NumPy and the tool are all it imports.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

IMPORTED = {"btrack": ("btrack",), "ultrack": ("ultrack.core.export", "ultrack.imgproc")}
Tracked = tuple[np.ndarray, "list[tuple[int, int]]"]


def btrack(folder: Path, settings: dict[str, Any]) -> Tracked:
    """Track masks0 as btrack's documentation does, by the file `configuration` within `reach` pixels."""
    from btrack import BayesianTracker
    from btrack.btypes import PyTrackObject
    from skimage.measure import regionprops

    masks = np.load(folder / "masks0.npy").astype(np.int32)
    # its own segmentation_to_objects labels anew, by pixels that touch
    cells = [(t, each) for t, frame in enumerate(masks) for each in regionprops(frame)]
    places = [(t, *each.centroid, 0.0) for t, each in cells]
    objects = [
        PyTrackObject.from_dict({"ID": i, **dict(zip("tyxz", at, strict=True))})
        for i, at in enumerate(places)
    ]
    with BayesianTracker(verbose=False) as tracker:
        tracker.configure(settings["configuration"])
        tracker.max_search_radius = settings["reach"]
        tracker.append(objects)
        tracker.volume = ((0, masks.shape[2]), (0, masks.shape[1]))
        tracker.track(step_size=100)
        tracker.optimise()
        tracks = [(each.ID, each.parent, list(each.refs)) for each in tracker.tracks]
    label = np.zeros(masks.shape, np.int32)
    for name, _, refs in tracks:
        for t, cell in (cells[ref] for ref in refs if ref >= 0):  # below 0: it was not seen
            label[t][cell.slice][cell.image] = name
    return label, [(name, parent) for name, parent, _ in tracks if name != parent]


def ultrack(folder: Path, settings: dict[str, Any]) -> Tracked:
    """Choose and track regions of the masks, or of the image, as ultrack's documentation does.

    `configuration`: values of its MainConfig, by group. It links neighbouring frames only, so one frame
    not seen is then bridged by its own `close_tracks_gaps`, within `reach` pixels.
    """
    from ultrack import MainConfig, track
    from ultrack.core.export import to_tracks_layer, tracks_to_zarr
    from ultrack.imgproc import detect_foreground, robust_invert
    from ultrack.tracks.gap_closing import close_tracks_gaps

    config = MainConfig()
    config.data_config.working_dir = folder
    for group, values in settings["configuration"].items():
        for key, value in values.items():
            setattr(getattr(config, group), key, value)
    if (folder / "image.npy").exists():
        film = np.load(folder / "image.npy")
        seen = {
            "foreground": np.stack(
                [detect_foreground(each) if each.any() else each > 0 for each in film]
            ),
            "contours": np.stack([robust_invert(frame) for frame in film]),
        }
    else:
        masks = [np.load(path) for path in sorted(folder.glob("masks*.npy"))]
        seen = {"labels": masks if len(masks) > 1 else masks[0]}
    track(config, **seen, overwrite="all")
    points, parents = to_tracks_layer(config)
    label = np.asarray(tracks_to_zarr(config, points))
    points, label = close_tracks_gaps(points, 1, settings["reach"], ["y", "x"], segments=label)
    return np.asarray(label), [(child, np.ravel(parent)[0]) for child, parent in parents.items()]


def main() -> None:
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    tool = {each.__name__: each for each in (btrack, ultrack)}[settings["tool"]]
    version = importlib.metadata.version(settings["tool"])
    for name in IMPORTED[settings["tool"]]:  # not counted
        importlib.import_module(name)
    before = time.process_time()
    label, parents = tool(folder, settings)
    seconds = time.process_time() - before
    np.save(folder / "label.npy", label.astype(np.uint32))
    rows = "".join(f"{child},{parent}\n" for child, parent in parents)
    (folder / "parents.csv").write_text("child,parent\n" + rows, encoding="utf-8")
    said = {"version": version, "seconds": seconds}
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
