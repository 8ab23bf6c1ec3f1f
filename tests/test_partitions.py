from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyto_kedro.errors import ConfigError, InputError, PartitionError
from cyto_kedro.partitions import (
    Block,
    Partitions,
    Plan,
    Selection,
    check_name,
    parse_grain,
    parse_id,
    partition_id,
    select,
)

SIZE = {"height_px": 8, "width_px": 8}
PLAN = Plan.model_validate(
    {
        "fovs": {"b": {"n_frames": 9, **SIZE}, "a": {"n_frames": 4, **SIZE}},
        "channels": ("red", "green"),
        "populations": ("T", "C"),
        "block_length": 4,
    }
)


class Store:
    """Partitions in memory that count how often they are listed and opened."""

    name = "store"

    def __init__(self, grain: str, content: dict[str, Any]) -> None:
        self.grain = parse_grain(grain)
        self.content_by_id, self.listed, self.opened = content, 0, []

    def load_one(self, identity: str) -> Any:
        self.opened.append(identity)
        return self.content_by_id[identity]

    def list_ids(self) -> list[str]:
        self.listed += 1
        return sorted(self.content_by_id)

    def content(self, identity: str) -> str | None:
        return str(self.content_by_id.get(identity)) if identity in self.content_by_id else None


def store_of(grain: str) -> Store:
    return Store(grain, {each: each.upper() for each in PLAN.ids(parse_grain(grain))})


@pytest.mark.parametrize(
    ("length", "names"),
    [
        (1, [f"t{t:04d}-{t:04d}" for t in range(9)]),
        (7, ["t0000-0006", "t0007-0008"]),
        (9, ["t0000-0008"]),
        (50, ["t0000-0008"]),
    ],
)
def test_a_film_of_nine_frames_is_cut(length: int, names: list[str]) -> None:
    assert [str(block) for block in Block.cut(9, length)] == names


@given(st.integers(1, 30_000), st.integers(1, 500))
def test_blocks_cover_every_frame_once_and_their_names_can_be_read_back(
    n: int, length: int
) -> None:
    blocks = Block.cut(n, length)
    assert blocks[0].start == 0 and blocks[-1].stop == n
    assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))
    assert sum(map(len, blocks)) == n and max(map(len, blocks)) <= length
    assert [Block.parse(str(block)) for block in blocks] == blocks


@pytest.mark.parametrize("text", ["", "0-4", "t0000", "t0000-0049.y0", "x0000-0001"])
def test_what_is_no_block_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(PartitionError, match="t0000-0049"):
        Block.parse(text)


def test_grains_name_known_keys_only() -> None:
    assert parse_grain("fov/population/block") == ("fov", "population", "block")
    assert parse_grain(["fov"]) == ("fov",)
    with pytest.raises(ConfigError, match=r"unknown partition key 'chanel'.*'channel'"):
        parse_grain("fov/chanel")


def test_an_id_is_its_keys_joined_and_comes_apart_again() -> None:
    grain = parse_grain("fov/population/block")
    keys = {"fov": "a b", "population": "T", "block": "t0000-0003"}
    identity = partition_id(grain, {**keys, "channel": "unused"})
    assert identity == "a b/T/t0000-0003"
    assert parse_id(grain, identity) == keys
    with pytest.raises(PartitionError, match="fov/population/block"):
        parse_id(grain, "a b/T")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a\\b", "a\nb", "..", "a\x00"])
def test_names_that_cannot_be_folders_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="Rename it"):
        check_name("field", name)
    with pytest.raises(ValueError, match="Rename it"):
        Plan(fovs={name: PLAN.fovs["a"]}, channels=("c",), populations=("p",), block_length=1)


def test_groups_come_field_by_field_in_the_plans_order() -> None:
    assert PLAN.ids(("fov", "block")) == [
        *(f"b/{block}" for block in ("t0000-0003", "t0004-0007", "t0008-0008")),
        "a/t0000-0003",
    ]
    assert PLAN.ids(("fov", "population")) == ["b/T", "b/C", "a/T", "a/C"]
    assert PLAN.ids(("population",)) == ["T", "C"]


def test_groups_within_fixed_keys() -> None:
    assert PLAN.ids(("fov", "channel", "block"), {"fov": "a"}) == [
        "a/red/t0000-0003",
        "a/green/t0000-0003",
    ]
    assert PLAN.ids(("fov", "population", "block"), {"fov": "b", "block": "t0008-0008"}) == [
        "b/T/t0008-0008",
        "b/C/t0008-0008",
    ]
    assert PLAN.ids(("fov", "population"), {"population": "C"}) == ["b/C", "a/C"]


def test_blocks_without_their_field_make_no_grain() -> None:
    with pytest.raises(ConfigError, match="fov must be in it"):
        PLAN.groups(("block",))


def test_partitions_are_opened_by_id_and_never_listed() -> None:
    source = store_of("fov/population/block")
    parts = Partitions(source)
    assert parts["a/T/t0000-0003"]() == "A/T/T0000-0003"
    assert "a/T/t0000-0003" in parts and "a/T/t0004-0007" not in parts
    assert select(parts, PLAN, {"fov": "a", "population": "T", "block": "t0000-0003"})
    list(select(parts, PLAN, {"fov": "b"}).values())
    assert source.listed == 0
    assert len(parts) == 8 and source.listed == 1  # only iterating or counting lists


def test_a_partition_is_read_when_it_is_asked_for() -> None:
    source = store_of("fov/population/block")
    chosen = select(Partitions(source), PLAN, {"fov": "b", "population": "T"})
    assert isinstance(chosen, Selection) and source.opened == []
    assert list(chosen) == ["t0000-0003", "t0004-0007", "t0008-0008"] and source.opened == []
    assert chosen["t0004-0007"] == "B/T/T0004-0007"
    assert source.opened == ["b/T/t0004-0007"]


def test_selection_keys_are_what_the_group_leaves_open() -> None:
    parts = Partitions(store_of("fov/population/block"))
    two_open = select(parts, PLAN, {"fov": "a"})
    assert dict(two_open) == {
        ("T", "t0000-0003"): "A/T/T0000-0003",
        ("C", "t0000-0003"): "A/C/T0000-0003",
    }
    by_population = select(parts, PLAN, {"fov": "a", "block": "t0000-0003"})
    assert list(by_population) == ["T", "C"]
    over_fields = select(Partitions(store_of("fov/population")), PLAN, {"population": "C"})
    assert dict(over_fields) == {"b": "B/C", "a": "A/C"}


def test_a_check_sees_each_partition_as_it_is_read() -> None:
    seen = []

    def check(identity: str, load: Any) -> Any:
        def loaded() -> Any:
            seen.append(identity)
            return load()

        return loaded

    parts = Partitions(store_of("fov")).checked(check)
    select(parts, PLAN, {"fov": "a"})
    assert seen == ["a"]
