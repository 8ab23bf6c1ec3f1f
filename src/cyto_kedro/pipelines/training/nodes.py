"""The node of training."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.training.learner import Example, Learner
from cyto_kedro.blocks import Block
from cyto_kedro.core.matching import n_cells, n_matched
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.trained import TrainedEngine
from cyto_kedro.errors import ConfigError, InputError, unknown
from cyto_kedro.parameters import Segmentation, SegmentationSpec, Training
from cyto_kedro.partitions import Partitions, partition_id
from cyto_kedro.pipelines.common import context
from cyto_kedro.pipelines.segmentation.nodes import whole_label
from cyto_kedro.pipelines.training.left_out import folds_of, groups_of
from cyto_kedro.registry import build

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """A frame with masks that are right, and those of the engine in use (None: it made none)."""

    example: Example
    #: of the partition of labels
    identity: str
    fov: str
    frame: int
    in_use: np.ndarray | None
    where: Mapping[str, Any]


def train_engines(
    segmentation_images: Partitions,
    labels: Partitions,
    engine_labels: Partitions,
    fields: pd.DataFrame,
    manifest: Manifest,
    segmentation: Segmentation,
    training: Training,
) -> tuple[dict[str, TrainedEngine], pd.DataFrame]:
    """Learn an engine for each population from masks that are right, and score it on others.

    Groups (`training.split`) are left out in turn: what is learnt from the others finds cells in them,
    beside the engine in use. The engine that is kept is learnt from all.

    Raises
    ------
    InputError
        If there is no such mask.
    ConfigError
        If a population or the column of the sample sheet does not exist.
    """
    groups = groups_of(fields, training.split, "training.split")
    for name in training.populations or ():
        if name not in manifest.populations:
            raise ConfigError(
                f"training.populations: {unknown('population', name, manifest.populations)}"
            )
    learner, engines, scores = training.learner.make(), {}, []
    for population in training.populations or manifest.populations:
        spec: SegmentationSpec = segmentation.root[population]
        seen = list(
            _examples(
                population, segmentation_images, labels, engine_labels, groups, manifest, training
            )
        )
        if not seen:
            continue
        rows = _left_out(population, seen, spec, learner, training.most_folds)
        scores.append(rows)
        examples = [each.example for each in seen]
        weights = learner(examples=examples)["weights"]
        card = {
            "population": population,
            "learner": training.learner.fingerprint(),
            "frames": [[each.fov, each.frame] for each in seen],
            "masks": {each.identity: labels.content(each.identity) for each in seen},
            "left_out": _summary(rows),
        }
        engines[population] = TrainedEngine(
            weights, learner.engine, learner.suffix, card, learner.args(examples)
        )
        log.info(
            "%s: learnt from %d frames. F1 on what was left out: %s",
            *(population, len(seen), card["left_out"] or "unknown, since all is of one group"),
        )
    if not engines:
        raise InputError(
            "there are no masks to learn from: put corrected ones in place (kedro cyto correct, kedro "
            "cyto view), or, where all masks are right, set training.examples: all"
        )
    return engines, pd.concat(scores, ignore_index=True)


def _examples(
    population: str,
    images: Partitions,
    labels: Partitions,
    engine_labels: Partitions,
    groups: Mapping[str, str],
    manifest: Manifest,
    training: Training,
) -> Iterator[Seen]:
    for group in manifest.groups(labels.grain, {"population": population}):
        identity = partition_id(labels.grain, group)
        if training.examples == "corrected" and not labels.corrected(identity):
            continue
        fov, block = manifest.fovs[group["fov"]], Block.parse(group["block"])
        used = fov.used_in(block)
        if not used or set(fov.lacking) & set(manifest.sources[population]):
            continue
        chosen = np.unique(np.linspace(0, len(used) - 1, training.frames_per_block).round())
        label = np.asarray(labels[identity]())
        image = np.asarray(images[partition_id(images.grain, group)]())
        engine = _in_use(engine_labels, group, manifest)
        apart = manifest.combine.get(population) == "separate"
        for t in (used[int(index)] for index in chosen):
            shown: Any = image[t]
            if apart:
                shown = dict(zip(manifest.sources[population], shown, strict=True))
            example = Example(shown, label[t], fov.pixel_size_um, groups[group["fov"]])
            own = None if engine is None else engine[t]
            where = context(group, manifest)
            yield Seen(example, identity, group["fov"], block.start + t, own, where)


def _in_use(
    engine_labels: Partitions, group: Mapping[str, str], manifest: Manifest
) -> np.ndarray | None:
    keys = {key: group[key] for key in ("fov", "population", "block")}
    tiles = {
        each["tile"]: partition_id(engine_labels.grain, each)
        for each in manifest.groups(engine_labels.grain, keys)
    }
    if not all(identity in engine_labels for identity in tiles.values()):
        return None
    opened = {tile: engine_labels[identity]() for tile, identity in tiles.items()}
    return whole_label(opened, context(group, manifest)["shape"])


def _left_out(
    population: str,
    seen: Sequence[Seen],
    spec: SegmentationSpec,
    learner: Learner,
    most_folds: int,
) -> pd.DataFrame:
    """`schemas.TrainingScores` of what was left out; empty where all is of one group."""
    rows: list[dict[str, Any]] = []
    for fold in folds_of((each.example.group for each in seen), most_folds):
        inside = [each.example for each in seen if each.example.group not in fold]
        if not any(each.label.any() for each in inside):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{learner.suffix}"
            path.write_bytes(learner(examples=inside)["weights"])
            engine = build(
                "segmentation", learner.engine, {"model": str(path), **learner.args(inside)}
            )
            for each in seen:
                if each.example.group not in fold:
                    continue
                image = each.example.image
                one: Any = {}
                if isinstance(image, Mapping):
                    one = {key: value[None] for key, value in image.items()}
                else:
                    one = image[None]
                found = np.asarray(engine({**each.where, "image": one})["label"])
                rows.append(
                    _row(population, each, learner.engine, True, _stepped(found, spec, each.where))
                )
                if each.in_use is not None:
                    own = _stepped(each.in_use[None], spec, each.where)
                    rows.append(_row(population, each, spec.name, False, own))
    columns = list(schemas.dtypes(schemas.TrainingScores))
    return schemas.conform(schemas.TrainingScores, pd.DataFrame(rows, columns=columns))


def _stepped(label: np.ndarray, spec: SegmentationSpec, where: Mapping[str, Any]) -> np.ndarray:
    """Labels (Y, X) after the steps that the configuration has for the population."""
    for step in spec.steps:
        label = step.make()({**where, "label": label})["label"]
    return np.asarray(label)[0]


def _row(
    population: str, seen: Seen, engine: str, learnt: bool, found: np.ndarray
) -> dict[str, Any]:
    true = seen.example.label
    counts = n_cells(true), n_cells(found), n_matched(true, found)
    return {
        **{"population": population, "fov": seen.fov, "frame": seen.frame, "engine": engine},
        **{"learnt": learnt, "group": seen.example.group},
        **dict(zip(("n_true", "n_found", "n_matched"), counts, strict=True)),
        "f1": 2 * counts[2] / (counts[0] + counts[1]) if counts[0] + counts[1] else np.nan,
    }


def _summary(rows: pd.DataFrame) -> dict[str, float]:
    """F1 over all cells that were left out, by engine."""
    found = {}
    for (engine, learnt), part in rows.groupby(["engine", "learnt"], sort=False):
        n = int((part["n_true"] + part["n_found"]).sum())
        name = f"{engine} (learnt)" if learnt else f"{engine} (in use)"
        found[name] = round(2 * float(part["n_matched"].sum()) / n, 3) if n else float("nan")
    return found
