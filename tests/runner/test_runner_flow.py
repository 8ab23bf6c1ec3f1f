from __future__ import annotations

from typing import Any

import pytest
from kedro.pipeline import Pipeline, node, pipeline
from kedro.pipeline.node import Node

from cyto_kedro.blocks import Tiling
from cyto_kedro.lift import lift
from cyto_kedro.partitions import Plan
from cyto_kedro.runner.flow import Flow, ready

PLAN = Plan(
    fovs={name: {"n_frames": 4, "height_px": 9, "width_px": 9} for name in ("A", "B")},
    channels=(),
    populations=("T", "C"),
    block_length=2,
)


def work(group: Any, manifest: Any, made: Any = None) -> Any:
    return group


def lifted(name: str, by: str, inputs: list[str]) -> Node:
    return node(lift(work, by=by), ["manifest", *inputs], f"{name}_out", name=name)


def groups(by: str) -> list[dict[str, str]]:
    return PLAN.groups(tuple(by.split("/")))


def whole(manifest: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        # the producer, by field, population and block, lacks A/T of the first block
        ("fov/population/block", {"A/T/t0002-0003", "A/C/t0000-0001", "A/C/t0002-0003"}),
        ("fov/block", {"A/t0002-0003"}),
        ("fov/population", {"A/C"}),
        ("fov", set()),
        ("population", {"C"}),
    ],
)
def test_a_group_needs_what_agrees_with_it(by: str, expected: set[str]) -> None:
    maker = lifted("maker", "fov/population/block", [])
    taker = lifted("taker", by, ["maker_out"])
    absent = [{"fov": "A", "population": "T", "block": "t0000-0001"}]
    found = {"/".join(each.values()) for each in ready(taker, groups(by), {maker: absent})}
    of_b = {"/".join(each.values()) for each in groups(by) if each.get("fov") == "B"}
    assert found == expected | of_b
    assert ready(taker, groups(by), {}) == groups(by)


def test_a_block_needs_its_tiles_and_a_tile_its_block() -> None:
    tiled = PLAN.model_copy(update={"tiling": Tiling(side_px=16, overlap_px=4)})
    wide = {name: each.model_copy(update={"width_px": 24}) for name, each in PLAN.fovs.items()}
    tiled = tiled.model_copy(update={"fovs": wide})
    tiles = tiled.groups(("fov", "population", "tile"))
    assert len(tiles) == 2 * len(groups("fov/population/block"))
    segment = lifted("segment", "fov/population/tile", ["images"])
    stitch = lifted("stitch", "fov/block", ["segment_out"])
    found = ready(stitch, groups("fov/block"), {segment: [tiles[0]]})
    assert [each for each in groups("fov/block") if each not in found] == [
        {"fov": "A", "block": "t0000-0001"}
    ]
    images = node(lift(work, by="fov/block"), "manifest", "images", name="images")
    found = ready(segment, tiles, {images: [{"fov": "A", "block": "t0000-0001"}]})
    stopped = [each for each in tiles if each not in found]
    assert len(stopped) == 4 and all(each["tile"].startswith("t0000-0001") for each in stopped)


def test_a_wide_input_is_needed_for_all_blocks_of_the_field() -> None:
    maker = node(lift(work, by="fov/block"), "manifest", "made", name="maker")
    wide = lift(work, by="fov/block", wide=["made"])
    taker = node(wide, ["manifest", "made"], "out", name="taker")
    found = ready(taker, groups("fov/block"), {maker: [{"fov": "A", "block": "t0000-0001"}]})
    assert {each["fov"] for each in found} == {"B"}


def test_parameters_say_whose_images_are_needed_for_all_blocks() -> None:
    maker = node(lift(work, by="fov/block"), "manifest", "made", name="maker")
    around = lift(
        work, by="fov/block", looking=lambda inputs, group: ["made"] if inputs["params:a"] else []
    )
    taker = node(around, ["manifest", "made"], "out", name="taker")
    absent = {maker: [{"fov": "A", "block": "t0000-0001"}]}
    far = ready(taker, groups("fov/block"), absent, {"params:a": True})
    near = ready(taker, groups("fov/block"), absent, {"params:a": False})
    assert {each["fov"] for each in far} == {"B"}
    assert {"fov": "A", "block": "t0002-0003"} in near and len(near) > len(far)


def chain() -> tuple[Pipeline, dict[str, Node]]:
    nodes = [
        lifted("segment", "fov/population/block", []),
        lifted("subtract", "fov/block", ["segment_out"]),
        node(whole, "subtract_out", "summary", name="summarise"),
        lifted("draw", "fov", ["summary"]),
    ]
    return pipeline(nodes), {each.name: each for each in nodes}


def test_nodes_start_on_what_is_there_and_stop_with_what_is_not() -> None:
    flow_of, nodes = chain()
    flow = Flow(flow_of)
    segment, subtract = nodes["segment"], nodes["subtract"]
    assert not flow.may_start(subtract, whole=False)  # nothing is known of its producer yet
    flow.expect(segment, groups("fov/population/block"))
    assert flow.may_start(subtract, whole=False) and not flow.may_start(subtract, whole=True)
    assert not flow.may_start(nodes["summarise"], whole=False)
    assert ready(subtract, groups("fov/block"), flow.missing_for(subtract)) == []
    bad = {"fov": "A", "population": "T", "block": "t0000-0001"}
    for group in groups("fov/population/block"):
        if group != bad:
            flow.made(segment, group)
    some = ready(subtract, groups("fov/block"), flow.missing_for(subtract))
    assert len(some) == 3 and {"fov": "A", "block": "t0000-0001"} not in some
    assert flow.runs_on(subtract)

    flow.end(segment, failed=True)
    assert not flow.runs_on(subtract) and not flow.never(subtract)
    assert flow.may_start(subtract, whole=True)  # no more will come: its three groups can run
    flow.expect(subtract, [{"fov": "A", "block": "t0000-0001"}])
    flow.end(subtract, failed=False, cut=True)
    assert flow.blocked == {segment: True, subtract: False}
    assert flow.never(nodes["summarise"])  # it needs all of them
    flow.end(nodes["summarise"], failed=False, cut=True)
    assert flow.never(nodes["draw"])


def test_a_node_that_ended_whole_is_waited_for_no_more() -> None:
    flow_of, nodes = chain()
    flow = Flow(flow_of)
    flow.expect(nodes["segment"], groups("fov/population/block"))
    flow.end(nodes["segment"], failed=False)
    assert flow.ended == {nodes["segment"]} and not flow.missing
    assert flow.may_start(nodes["subtract"], whole=True)
    assert flow.missing_for(nodes["subtract"]) == {}
