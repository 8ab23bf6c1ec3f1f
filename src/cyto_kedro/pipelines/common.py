"""What the nodes of several pipelines share: a group's frames, times and joined tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.blocks import Block, Tile
from cyto_kedro.core.contract import Parts
from cyto_kedro.core.groups import NO_CONDITION, design
from cyto_kedro.core.stack import Blocks
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.partitions import Partitions, PlannedFov, Selection
from cyto_kedro.schemas import TABLES, Cells, Table, TableOf, empty

Group = Mapping[str, str]
CELL = Cells.key()
T = TypeVar("T", bound=Table)
F = TypeVar("F", bound=Callable[..., Any])


def by_algorithms(*algorithms: type[Algorithm]) -> Callable[[F], F]:
    """Say which algorithms a node makes itself, not by parameters.

    Their versions become the node's, so that what it made is stale when one of them is raised.
    """

    def mark(func: F) -> F:
        func.version = [[each.__name__, each.version] for each in algorithms]  # type: ignore[attr-defined]
        return func

    return mark


def block_of(group: Group, manifest: Manifest) -> Block:
    """The frames of a group: its block (or its tile's), or the whole film."""
    if "tile" in group:
        return Tile.parse(group["tile"]).block
    if "block" in group:
        return Block.parse(group["block"])
    return Block(0, manifest.fovs[group["fov"]].n_frames)


def of_film(film: PlannedFov) -> dict[str, Any]:
    """The keys of `context` that are the film's."""
    return {
        "n_frames": film.n_frames,
        "shape": (film.height_px, film.width_px),
        "pixel_size_um": film.pixel_size_um,
        "excluded": film.excluded,
    }


def context(group: Group, manifest: Manifest, frames: pd.DataFrame | None = None) -> dict[str, Any]:
    """The keys of an algorithm's data dict that say where the group stands.

    ``fov``, ``population`` (where the group has one), ``frame_start``, ``n_frames`` and ``shape`` (of
    the film), ``pixel_size_um``, ``excluded`` (film numbers of frames), and with `frames` ``time_min``
    over the group's frames (None when unknown).
    """
    block = block_of(group, manifest)
    found: dict[str, Any] = {
        **{key: group[key] for key in ("fov", "population") if key in group},
        "frame_start": block.start,
        **of_film(manifest.fovs[group["fov"]]),
    }
    if frames is not None:
        time_s = frames.sort_values("frame")["time_s"].to_numpy(float)[block.start : block.stop]
        found["time_min"] = None if np.isnan(time_s).any() else time_s / 60
    return found


def join(tables: Iterable[pd.DataFrame], table: type[T]) -> TableOf[T]:
    """Stack tables of one kind; without any row, the first of them, else an empty one."""
    parts = list(tables)
    rows = [each for each in parts if len(each)]
    if rows:
        return cast("TableOf[T]", pd.concat(rows, ignore_index=True))
    return cast("TableOf[T]", parts[0]) if parts else empty(table)


def film_of(blocks: Mapping[str, Any], shape: tuple[int, int, int]) -> Blocks:
    """The film (T, Y, X) that `blocks`, by id, are of; each is opened when it is read."""
    return _film({each: partial(blocks.__getitem__, each) for each in blocks}, shape)


def films_of(
    parts: Mapping[tuple[str, str], Any], shape: tuple[int, int, int]
) -> dict[str, Blocks]:
    """The films by channel or population of which `parts` are, by name and block."""
    opens: dict[str, dict[str, Callable[[], Any]]] = {}
    for name, block in parts:
        opens.setdefault(name, {})[block] = partial(parts.__getitem__, (name, block))
    return {name: _film(of_name, shape) for name, of_name in opens.items()}


def _film(opens: Mapping[str, Callable[[], Any]], shape: tuple[int, int, int]) -> Blocks:
    ids = sorted(opens, key=lambda each: Block.parse(each).start)
    return Blocks([opens[each] for each in ids], [Block.parse(each).start for each in ids], shape)


def one_by_one(table: Partitions, manifest: Manifest) -> Iterator[pd.DataFrame]:
    """The planned partitions of a table, one after the other."""
    for identity in manifest.ids(table.grain):
        yield table[identity]()


def streamed(table: Partitions, manifest: Manifest) -> Parts:
    """The planned partitions of a table too large to be held, read each time it is gone through.

    Those of several fields may be one part.
    """
    return Parts(partial(table.stacked, manifest.ids(table.grain)))


def whole(parts: Partitions, manifest: Manifest, table: type[T]) -> TableOf[T]:
    """A table of all fields together."""
    return join(parts.stacked(manifest.ids(parts.grain)), table)


def stacked(
    parts: Mapping[Any, pd.DataFrame], keys: Collection[Any], columns: Collection[str]
) -> Iterator[pd.DataFrame]:
    """Some columns, those that are there, of the tables at `keys`; those of several may be one."""
    if isinstance(parts, Selection):
        yield from parts.partitions.stacked([parts.ids[key] for key in keys], columns)
    else:
        for key in keys:
            yield parts[key][[name for name in columns if name in parts[key]]]


def of_assay(parts: Mapping[str, Partitions], manifest: Manifest) -> dict[str, pd.DataFrame]:
    """Each table of `schemas.TABLES` that `parts` names, of all fields together."""
    return {name: whole(part, manifest, TABLES[name]) for name, part in parts.items()}


def conditions_of(fields: pd.DataFrame) -> dict[str, str]:
    """The condition of each field, as `core.groups.design` calls it; empty where none has any.

    Empty stands for the whole assay in `schemas.AttackModels`.
    """
    groups = design(fields)
    if (groups["condition"] == NO_CONDITION).all():
        return dict.fromkeys(groups["fov"], "")
    return dict(zip(groups["fov"], groups["condition"].astype(str), strict=True))
