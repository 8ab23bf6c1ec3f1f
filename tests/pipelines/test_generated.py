"""Nodes made of declarations: what they read, what a group gets, and what makes it stale."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, TypedDict

import pandas as pd
import pytest
from pydantic import ValidationError

from cyto_kedro import registry, schemas
from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.core.contract import Label, TableOf
from cyto_kedro.currency import input_digests
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.errors import ConfigError
from cyto_kedro.partitions import Partitions, PlannedFov
from cyto_kedro.pipelines import generated as module
from cyto_kedro.pipelines.generated import generated
from cyto_kedro.registry import AlgorithmSpec
from tiny_project import ROOT, Project


class Tracked(TypedDict):
    tracks: TableOf[schemas.Tracks]


class ByCells(Algorithm):
    factor: int = 1

    def run(
        self, cells: TableOf[schemas.Cells], roles: Mapping[str, str], n_frames: int = 0
    ) -> Tracked:
        text = f"{len(cells)} cells, {n_frames} frames, {'/'.join(roles)}, {self.factor}"
        return {"tracks": pd.DataFrame({"said": [text]})}  # type: ignore[typeddict-item]


class ByPoints(Algorithm):
    """Needs the masks only where it compares them."""

    masks: bool = False

    def run(
        self, track_points: TableOf[schemas.TrackPoints], label: Label | None = None
    ) -> Tracked:
        text = f"{len(track_points)} points, {'no ' if label is None else ''}masks"
        return {"tracks": pd.DataFrame({"said": [text]})}  # type: ignore[typeddict-item]

    def needs(self) -> tuple[str, ...]:
        return ("track_points", "label") if self.masks else ("track_points",)


class Elsewhere(TypedDict):
    touches: TableOf[schemas.Touches]


class Touching(Algorithm):
    def run(self, cells: TableOf[schemas.Cells]) -> Elsewhere:
        raise AssertionError("of another slot")


class Spec(AlgorithmSpec):
    stage: ClassVar[str] = "tracking"


KINDS = {each.__name__: each for each in (ByCells, ByPoints, Touching)}
SLOT = (Spec, "tracking.ends")
MANIFEST = Manifest(
    fovs={"f": PlannedFov(n_frames=4, height_px=8, width_px=8)},
    channels=("C",),
    populations=("p", "q"),
    block_length=4,
    roles={"p": "effector", "q": "target"},
    sources={"p": ("C",), "q": ("C",)},
    subtract={"p": (), "q": ()},
    markers={},
)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (module, registry):
        monkeypatch.setattr(each, "algorithms", lambda stage: KINDS)


class Store:
    """Tables by population, each of as many rows as its id is long; counts what is opened."""

    def __init__(self, name: str, columns: list[str]) -> None:
        self.name, self.grain, self.columns = name, ("fov", "population"), columns
        self.opened: list[str] = []
        self.changed = ""

    def load_one(self, identity: str) -> pd.DataFrame:
        self.opened.append(identity)
        return pd.DataFrame(dict.fromkeys(self.columns, range(len(identity))))

    def content(self, identity: str) -> str:
        return f"{self.name} {identity} {self.changed}"

    def list_ids(self) -> list[str]:
        raise AssertionError("planned, not listed")


def inputs_of(node: Any, stores: Mapping[str, Store], name: str, **args: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        each: Partitions(stores[each]) for each in node.inputs if each in stores
    }
    hint = node.func.__annotations__["spec"]
    made |= {"manifest": MANIFEST, "params:tracking.ends": hint(name=name, args=args)}
    return {each: made[each] for each in node.inputs}


@pytest.fixture
def stores() -> dict[str, Store]:
    cells, points = schemas.Cells.key(), schemas.TrackPoints.key()
    named = {"cells": cells, "track_points": points, "labels": ["x"]}
    return {name: Store(name, columns) for name, columns in named.items()}


def node_of() -> Any:
    return generated("end_tracks", SLOT, "fov", ["tracks"], reads={"label": "labels"})


def test_inputs_are_those_of_every_class_that_makes_the_results() -> None:
    node = node_of()
    assert node.name == "end_tracks" and node.outputs == ["tracks"]
    assert node.inputs == ["cells", "track_points", "labels", "manifest", "params:tracking.ends"]


def test_a_group_gets_what_the_named_class_needs_and_no_more(stores: dict[str, Store]) -> None:
    node = node_of()
    found = next(node.func(*inputs_of(node, stores, "ByCells", factor=3).values()))
    # one table of both populations; values come from the manifest
    assert found["f"]["said"].tolist() == ["6 cells, 4 frames, p/q, 3"]
    assert stores["cells"].opened == ["f/p", "f/q"]
    assert not stores["track_points"].opened and not stores["labels"].opened


def test_a_digest_holds_what_the_named_class_needs(stores: dict[str, Store]) -> None:
    node, group = node_of(), {"fov": "f"}

    def digests(name: str, **args: Any) -> dict[str, str]:
        return input_digests(node.func, inputs_of(node, stores, name, **args), group)

    always = {"code", "manifest", "params:tracking.ends"}
    assert digests("ByCells").keys() == always | {"cells"}
    assert digests("ByPoints").keys() == always | {"track_points"}
    assert digests("ByPoints", masks=True).keys() == always | {"track_points", "labels"}
    before = digests("ByCells")
    stores["track_points"].changed = "by a person"
    assert digests("ByCells") == before
    stores["cells"].changed = "by a person"
    assert digests("ByCells") != before


def test_a_class_of_another_slot_is_refused_with_those_that_fit() -> None:
    hint = node_of().func.__annotations__["spec"]
    with pytest.raises(
        (ConfigError, ValidationError), match=r"tracking\.ends: Touching does not make tracks"
    ):
        hint(name="Touching")
    with pytest.raises((ConfigError, ValidationError), match="name one of ByCells, ByPoints"):
        hint(name="Touching")


def test_what_nobody_makes_or_provides_is_said_when_the_pipeline_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="no tracking algorithm makes fates"):
        generated("x", SLOT, "fov", ["fates"])

    class Wants(Algorithm):
        def run(self, wind: float) -> Tracked:
            raise AssertionError

    monkeypatch.setitem(KINDS, "Wants", Wants)
    with pytest.raises(ConfigError, match="nothing provides 'wind' of Wants"):
        node_of()


def test_a_slot_without_an_input_has_no_class_that_needs_it() -> None:
    node = generated("x", SLOT, "fov", ["tracks"], reads={"track_points": None, "label": None})
    assert node.inputs == ["cells", "manifest", "params:tracking.ends"]
    with pytest.raises((ConfigError, ValidationError), match="name one of ByCells "):
        node.func.__annotations__["spec"](name="ByPoints")


def test_prepared_inputs_and_tables_beside_them(stores: dict[str, Store]) -> None:
    seen: dict[str, Any] = {}

    def prepare(data: dict[str, Any]) -> dict[str, Any]:
        seen.update(data)
        return data | {"cells": data["cells"].head(1)}

    stores["viability"] = Store("viability", schemas.Viability.key())
    reads = {"label": "labels"}
    node = generated("x", SLOT, "fov", ["tracks"], reads=reads, also=["viability"], prepare=prepare)
    inputs = inputs_of(node, stores, "ByCells")
    found = next(node.func(*[inputs[each] for each in node.inputs]))
    assert len(seen["viability"]) == 6 and found["f"]["said"].iloc[0].startswith("1 cells")
    assert "viability" in input_digests(node.func, inputs, {"fov": "f"})


def test_values_of_tables_bring_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Timed(Algorithm):
        def run(self, time_min: Any, condition: str) -> Tracked:
            text = f"{condition} {time_min.tolist()}"
            return {"tracks": pd.DataFrame({"said": [text]})}  # type: ignore[typeddict-item]

    monkeypatch.setitem(KINDS, "Timed", Timed)
    node = node_of()
    assert node.inputs[3:5] == ["frames", "fields"]
    frames = pd.DataFrame({"fov": "f", "frame": range(4), "time_s": [0.0, 60, 120, 240]})
    fields = pd.DataFrame({"fov": ["f", "g"], "condition": ["drug", "none"]})
    spec = node.func.__annotations__["spec"](name="Timed")
    given = SimpleNamespace(frames=frames, fields=fields, manifest=MANIFEST)
    values = [getattr(given, each, None) for each in node.inputs[:-1]]
    found = next(node.func(*values, spec))
    assert found["f"]["said"].tolist() == ["drug [0.0, 1.0, 2.0, 4.0]"]


def test_the_slots_of_the_project_take_their_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    from cyto_kedro.pipelines.tabulation import create_pipeline

    given = Project(ROOT).read("parameters_tabulation")["tabulation"]
    node = next(each for each in create_pipeline().nodes if each.name == "find_touches")
    hint: Any = node.func.__annotations__["spec"]
    assert hint.model_validate(given["touches"]).make().needs()
    with pytest.raises(
        ValidationError, match=r"tabulation\.touches: Features does not make touches"
    ):
        hint.model_validate({"name": "Features"})


def test_an_edited_track_makes_no_bout_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bouts do not declare tracks, so that the reason a track ends is none of theirs."""
    monkeypatch.undo()
    from cyto_kedro.pipelines.contacts import create_pipeline

    nodes = {node.name: node for node in create_pipeline().nodes}
    assert nodes["find_bouts"].inputs[:2] == ["contacts", "track_points"]
    assert "tracks" not in nodes["find_bouts"].inputs and "tracks" in nodes["call_deaths"].inputs


def test_a_linker_of_positions_depends_on_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each population by its own linker: the one that compares masks is stale with them."""
    monkeypatch.undo()
    from cyto_kedro.parameters import Tracking
    from cyto_kedro.pipelines.tracking.nodes import used_by_linker

    tracking = Tracking.model_validate(
        {
            "p": {"name": "LAP", "args": {"max_distance_px": 5}},
            "q": {"name": "Overlap", "args": {"min_iou": 0.3}},
        }
    )
    names = ("cells", "labels", "segmentation_images", "manifest", "frames")
    inputs = dict.fromkeys(names) | {"params:tracking": tracking}
    of_p, of_q = (used_by_linker(inputs, {"population": each}) for each in "pq")
    assert of_p == ["cells", "manifest", "frames", "params:tracking"]
    assert of_q == ["cells", "labels", "manifest", "frames", "params:tracking"]
