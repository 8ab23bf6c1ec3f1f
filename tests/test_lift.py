from __future__ import annotations

import inspect
import logging
import weakref
from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner
from pydantic import BaseModel

from cyto_kedro.errors import ConfigError, GroupsFailedError
from cyto_kedro.lift import is_lifted, lift, narrow, restrict, spec_of
from cyto_kedro.parameters import Segmentation
from cyto_kedro.partitions import Partitions, Plan
from test_partitions import PLAN, store_of


class Size(BaseModel):
    factor: int = 2


def measure(group: Mapping[str, str], labels: Any, manifest: Plan, size: Size) -> str:
    """Measure a block."""
    return f"{labels}*{size.factor}"


def flaky(group: Mapping[str, str], labels: Any, manifest: Plan) -> str:
    if group["block"] == "t0004-0007":
        raise ValueError("no light in frame 5")
    return str(labels)


def by_channel(group: Mapping[str, str], labels: Any, manifest: Plan) -> tuple[Any, str]:
    return {channel: channel.upper() for channel in manifest.channels}, "whole"


BLOCKS = Partitions(store_of("fov/block"))


def test_kedro_sees_a_generator_with_the_functions_own_signature() -> None:
    lifted = lift(measure, by="fov/block")
    assert inspect.isgeneratorfunction(lifted)
    assert list(inspect.signature(lifted).parameters) == ["labels", "manifest", "size"]
    assert get_type_hints(lifted)["size"] is Size
    assert lifted.__name__ == "measure" and lifted.__doc__ == "Measure a block."
    made = node(lifted, ["labels", "manifest", "params:size"], "out", name="measure")
    assert made.func is lifted and is_lifted(made.func) and not is_lifted(measure)


def test_each_group_is_yielded_alone_under_its_partition_id() -> None:
    chunks = list(lift(measure, by="fov/block")(BLOCKS, PLAN, Size(factor=3)))
    assert chunks == [{each: f"{each.upper()}*3"} for each in PLAN.ids(("fov", "block"))]


def test_memory_holds_one_group() -> None:
    source = store_of("fov/block")
    running = lift(measure, by="fov/block")(Partitions(source), PLAN, Size())
    next(running)
    assert source.opened == ["b/t0000-0003"]
    next(running)
    assert source.opened == ["b/t0000-0003", "b/t0004-0007"]


def test_a_failed_group_does_not_stop_the_others_and_is_named_at_the_end() -> None:
    saved: list[str] = []
    with pytest.raises(GroupsFailedError) as failure:
        for chunk in lift(flaky, by="fov/block")(BLOCKS, PLAN):
            saved += chunk
    assert saved == ["b/t0000-0003", "b/t0008-0008", "a/t0000-0003"]
    message = str(failure.value)
    assert "flaky: 1 of 4 groups failed; the other 3 are saved" in message
    assert "b/t0004-0007: ValueError: no light in frame 5" in message
    assert isinstance(failure.value.__cause__, ValueError)


def test_kedros_own_runner_saves_group_by_group_and_fails_at_the_end() -> None:
    saved: list[dict[str, str]] = []

    class Sink(MemoryDataset):
        def _save(self, data: Any) -> None:
            saved.append(data)

        save = _save

    catalog = DataCatalog(
        {"labels": MemoryDataset(BLOCKS, "assign"), "manifest": MemoryDataset(PLAN), "out": Sink()}
    )
    pipeline = Pipeline([node(lift(flaky, by="fov/block"), ["labels", "manifest"], "out")])
    with pytest.raises(GroupsFailedError):
        SequentialRunner().run(pipeline, catalog)
    assert [next(iter(each)) for each in saved] == ["b/t0000-0003", "b/t0008-0008", "a/t0000-0003"]


def test_kedros_own_runner_holds_one_group_of_a_node_with_two_outputs() -> None:
    made: list[weakref.ref[Any]] = []
    saved: list[str] = []

    def two(group: Mapping[str, str], manifest: Plan) -> tuple[Any, Any]:
        assert [each() for each in made] == [None] * len(made)
        both = np.zeros(3), np.ones(3)
        made.extend(weakref.ref(each) for each in both)
        return both

    class Sink(MemoryDataset):
        def _save(self, data: Any) -> None:
            saved.extend(f"{each} {array.sum():.0f}" for each, array in data.items())

        save = _save

    catalog = DataCatalog({"manifest": MemoryDataset(PLAN), "zeros": Sink(), "ones": Sink()})
    lifted = lift(two, by="fov/block", out=["fov/block", "fov/block"])
    SequentialRunner().run(Pipeline([node(lifted, "manifest", ["zeros", "ones"])]), catalog)
    assert saved == [f"{each} {n}" for each in PLAN.ids(("fov", "block")) for n in (0, 3)]


def test_finer_outputs_are_keyed_by_the_key_that_the_group_leaves_open() -> None:
    lifted = lift(by_channel, by="fov/block", out=["fov/channel/block", "fov/block"])
    first = next(lifted(BLOCKS, PLAN))
    assert first == (
        {"b/red/t0000-0003": "RED", "b/green/t0000-0003": "GREEN"},
        {"b/t0000-0003": "whole"},
    )


def test_restrict_runs_the_named_groups_only() -> None:
    lifted = lift(measure, by="fov/block")
    one = restrict(lifted, [{"fov": "a", "block": "t0000-0003"}])
    assert inspect.isgeneratorfunction(one)
    assert [list(each) for each in one(BLOCKS, PLAN, Size())] == [["a/t0000-0003"]]
    assert len(list(lifted(BLOCKS, PLAN, Size()))) == 4  # the original is as it was


def test_inputs_are_narrowed_to_the_group() -> None:
    group = {"fov": "a", "population": "T"}
    table = pd.DataFrame({"fov": ["b", "a", "a"], "frame": [0, 0, 1]}, index=[4, 5, 6])
    narrowed = narrow(table, PLAN, group)
    assert narrowed["frame"].tolist() == [0, 1] and narrowed.index.tolist() == [0, 1]
    assert len(narrow(table, PLAN, {"population": "T"})) == 3
    other = pd.DataFrame({"x": [1]})
    assert narrow(other, PLAN, group) is other
    assert narrow("text", PLAN, group) == "text"
    engines = Segmentation.model_validate({"T": {"name": "Otsu"}, "C": {"name": "LocalThreshold"}})
    assert narrow(engines, PLAN, group).name == "Otsu"
    assert narrow(engines, PLAN, {"fov": "a"}) is engines


def test_a_function_without_group_or_manifest_cannot_be_lifted() -> None:
    def no_group(labels: Any, manifest: Plan) -> None: ...

    def no_plan(group: Mapping[str, str], labels: Any) -> None: ...

    for bad in (no_group, no_plan):
        with pytest.raises(ConfigError, match=f"{bad.__name__} must take"):
            lift(bad, by="fov")
    with pytest.raises(ConfigError, match="'measure' was not made by lift"):
        spec_of(measure)


def test_progress_says_how_many_of_how_many(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="cyto_kedro"):
        list(lift(measure, by="fov/block")(BLOCKS, PLAN, Size()))
    assert any("measure: 4 of 4 (a/t0000-0003)" in line for line in caplog.messages)


def test_a_wide_input_is_all_blocks_of_the_field_unopened() -> None:
    seen = []

    def near(group: Mapping[str, str], labels: Mapping[str, Any], manifest: Plan) -> str:
        seen.append((group, dict.fromkeys(labels)))
        return str(labels[group["block"]])

    list(lift(near, by="fov/block", wide=["labels"])(BLOCKS, PLAN))
    for group, blocks in seen:
        assert list(blocks) == [str(each) for each in PLAN.blocks(group["fov"])]
    with pytest.raises(
        ConfigError, match=r"wide: unknown argument 'label'\. Did you mean 'labels'"
    ):
        lift(near, by="fov/block", wide=["label"])


def test_an_input_may_be_wide_in_another_key() -> None:
    seen = []

    def beside(group: Mapping[str, str], labels: Mapping[str, Any], manifest: Plan) -> str:
        seen.append((group, list(labels)))
        return str(labels[group["population"]])

    store = Partitions(store_of("fov/population/block"))
    list(lift(beside, by="fov/population/block", wide={"labels": "population"})(store, PLAN))
    assert len(seen) == len(PLAN.ids(("fov", "population", "block")))
    assert all(found == list(PLAN.populations) for _, found in seen)


def test_a_table_is_sorted_by_field_once_for_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of the whole table for each group grows with the square of the fields."""
    fov = {"n_frames": 2, "height_px": 9, "width_px": 9}
    plan = Plan(
        fovs={f"f{i}": fov for i in range(50)}, channels=("a",), populations=("T",), block_length=2
    )
    frames = pd.DataFrame({"fov": [*plan.fovs] * 2, "frame": np.repeat([0, 1], 50)})
    looked: list[int] = []
    groupby, getitem = pd.DataFrame.groupby, pd.DataFrame.__getitem__

    def counted(table: pd.DataFrame, *args: Any, **options: Any) -> Any:
        looked.append(len(table))
        return groupby(table, *args, **options)

    def filtered(table: pd.DataFrame, key: Any) -> Any:
        assert not isinstance(key, pd.Series), "a filter of the whole table"
        return getitem(table, key)

    def rows(group: Mapping[str, str], frames: pd.DataFrame, manifest: Plan) -> tuple[str, int]:
        return frames["fov"].unique().item(), len(frames)

    monkeypatch.setattr(pd.DataFrame, "groupby", counted)
    monkeypatch.setattr(pd.DataFrame, "__getitem__", filtered)
    made = {k: v for chunk in lift(rows, by="fov")(frames, plan) for k, v in chunk.items()}
    assert made == {name: (name, 2) for name in plan.fovs}
    assert looked == [100]
