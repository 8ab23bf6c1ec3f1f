from __future__ import annotations

import itertools
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyto_kedro.blocks import Block, Tile, Tiling
from cyto_kedro.errors import ConfigError, InputError, PartitionError
from cyto_kedro.partitions import (
    Partitions,
    Plan,
    PlannedFov,
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


def test_excluded_frames_are_of_the_block_they_lie_in() -> None:
    planned = PlannedFov(n_frames=9, excluded=(3, 4, 8), **SIZE)
    blocks = Block.cut(9, 4)
    assert [planned.excluded_in(each) for each in blocks] == [[3], [0], [0]]
    assert [planned.used_in(each) for each in blocks] == [[0, 1, 2], [1, 2, 3], []]


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


@pytest.mark.parametrize(
    "name",
    [
        *("", ".hidden", "a/b", "a\\b", "a\nb", "..", "a\x00", "CON", "nul.txt", "lpt1", "COM³"),
        *("f1.", "f1 ", " f1", "a:b", "a*?", "a<b", 'a"b', "a|b", "a\udcff", "x" * 151, "é" * 76),
    ],
)
def test_names_that_cannot_be_folders_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="Rename it"):
        check_name("field", name)
    with pytest.raises(ValueError, match="Rename it"):
        Plan(fovs={name: PLAN.fovs["a"]}, channels=("c",), populations=("p",), block_length=1)


def test_names_that_every_file_system_holds() -> None:
    for name in (
        "A1",
        "f1.x",
        "a b",
        "d\u00e9",
        "Company",
        "console",
        "com10",
        "x" * 150,
        "-x",
        "100%",
    ):
        assert check_name("field", name) == name


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


TILED = PLAN.model_copy(
    update={
        "tiling": Tiling(side_px=100, overlap_px=20),
        "fovs": {
            "a": PlannedFov(n_frames=5, height_px=90, width_px=230),
            "b": PlannedFov(n_frames=4, height_px=100, width_px=100),
        },
    }
)


def test_tiles_of_a_large_field_and_of_one_that_stays_whole() -> None:
    grain = ("fov", "population", "tile")
    names = [f"{b}.y0000-x{x:04d}" for b in ("t0000-0003", "t0004-0004") for x in (0, 70, 140)]
    assert TILED.ids(grain, {"population": "T"}) == [
        *(f"a/T/{name}" for name in names),
        "b/T/t0000-0003",
    ]
    assert TILED.ids(grain, {"fov": "a", "block": "t0004-0004", "population": "C"}) == [
        f"a/C/{name}" for name in names[3:]
    ]
    assert [(r, c.start, c.stop) for r, c in TILED.windows("a")] == [
        (slice(0, 90), x, x + 90) for x in (0, 70, 140)
    ]
    assert TILED.window("b", Tile.parse("t0000-0003")) == (slice(0, 100), slice(0, 100))
    for text in ("t0000-0003", "t0000-0003.y0000-x0071"):
        with pytest.raises(PartitionError, match=text):
            TILED.window("a", Tile.parse(text))
    assert PLAN.ids(grain) == PLAN.ids(("fov", "population", "block"))


def test_a_tile_reads_its_block_and_a_block_its_tiles() -> None:
    images = Store("fov/block", {each: each for each in TILED.ids(("fov", "block"))})
    group = {"fov": "a", "tile": "t0004-0004.y0000-x0070"}
    assert select(Partitions(images), TILED, group) == "a/t0004-0004"
    tiles = Store("fov/tile", {each: each for each in TILED.ids(("fov", "tile"))})
    found = select(Partitions(tiles), TILED, {"fov": "a", "block": "t0004-0004"})
    assert list(found) == [f"t0004-0004.y0000-x{x:04d}" for x in (0, 70, 140)]


@given(st.integers(1, 5000), st.integers(16, 2000), st.data())
def test_tiles_cover_an_axis_and_overlap(size: int, side: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, side // 2))
    cut = Tiling(side_px=side, overlap_px=overlap).cut(size, None)
    assert cut[0][0] == 0 and cut[-1][1] == size
    assert max(b - a for a, b in cut) <= side and len({b - a for a, b in cut}) == 1
    assert all(a[1] - b[0] >= overlap for a, b in itertools.pairwise(cut))


def test_tilings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="not both"):
        Tiling(side_px=100, overlap_px=2, overlap_um=3)
    with pytest.raises(ConfigError, match="pixel size"):
        Tiling(side_px=100, overlap_um=3).cut(200, None)
    assert Tiling(side_px=100, overlap_um=3).overlap(0.5) == 6
    with pytest.raises(ConfigError, match="more than half"):
        Tiling(side_px=100).cut(200, None)
    with pytest.raises(PartitionError, match="y0000-x2048"):
        Tile.parse("t0000-0003.y1")


def test_a_small_film_is_read_once_for_a_group_and_a_large_one_stays_lazy() -> None:
    small = da.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)
    large = da.zeros((4, 2048, 2048), np.uint16)
    ids = PLAN.ids(parse_grain("fov/block"))
    source = Store("fov/block", {each: small if each.startswith("a/") else large for each in ids})
    films = Partitions(source)
    of_group = select(films, PLAN, {"fov": "a"})
    block = next(iter(of_group))
    assert isinstance(of_group[block], np.ndarray) and of_group[block] is of_group[block]
    assert source.opened == [f"a/{block}"]
    np.testing.assert_array_equal(of_group[block], small.compute())
    alone = select(films, PLAN, {"fov": "a", "block": block})
    assert isinstance(alone, np.ndarray)
    wide = select(films, PLAN, {"fov": "b"})
    assert all(isinstance(wide[each], da.Array) for each in wide)
    # at a prompt films stay lazy
    assert isinstance(films[f"a/{block}"](), da.Array)
