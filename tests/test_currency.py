from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node
from kedro.pipeline.node import Node
from pydantic import RootModel

from cyto_kedro.currency import group_of, input_digests, place_of, record, stale_groups
from cyto_kedro.datasets import PartitionedDataset, TableDataset
from cyto_kedro.errors import PartitionError
from cyto_kedro.ledger import Correction, Ledger
from cyto_kedro.lift import lift, spec_of
from cyto_kedro.partitions import Partitions, Plan
from test_partitions import PLAN, store_of


class Factors(RootModel[dict[str, int]]):
    """A parameter by population."""

    def for_group(self, group: Mapping[str, str]) -> Any:
        return self.root[group["population"]]


def multiply(
    group: Mapping[str, str], source: pd.DataFrame, manifest: Plan, factors: Factors
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return source * factors, source + factors


def total(source: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": [sum(source[each]()["x"].sum() for each in source)]})


class Bench:
    """One lifted node and its data in a folder; `make` runs it as a run would, with the ledger."""

    def __init__(self, folder: Path, func: Any = multiply) -> None:
        def parts(name: str) -> PartitionedDataset:
            return PartitionedDataset(
                path=str(folder / name),
                dataset=TableDataset,
                grain="fov/population",
                filename_suffix=".csv",
            )

        self.source, self.product, self.sum = parts("source"), parts("product"), parts("sum")
        self.factors = {"T": 2, "C": 3}
        for i, each in enumerate(PLAN.ids(self.source.grain)):
            self.source.save({each: pd.DataFrame({"x": [i]})})
        self.node: Node = node(
            lift(func, by="fov/population", out=["fov/population"] * 2),
            ["source", "manifest", "params:factors"],
            ["product", "sum"],
        )
        self.catalog = DataCatalog({"product": self.product, "sum": self.sum})

    @property
    def inputs(self) -> dict[str, Any]:
        return {
            "source": self.source.load(),
            "manifest": PLAN,
            "factors": Factors(self.factors),
        }

    def make(self) -> None:
        for chunks in self.node.func(*self.inputs.values()):
            for out, (dataset, chunk) in enumerate(
                zip((self.product, self.sum), chunks, strict=True)
            ):
                dataset.save(chunk)
                for each in chunk:
                    group = group_of(spec_of(self.node.func), out, each)
                    record(dataset, each, input_digests(self.node.func, self.inputs, group))

    def stale(self) -> dict[str, str]:
        """Group -> why it has to be run."""
        found = stale_groups(self.node, self.inputs, self.catalog)
        return {"/".join(each.group.values()): each.reason for each in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.make()
    return made


def test_before_anything_ran_all_is_missing(tmp_path: Path) -> None:
    assert Bench(tmp_path).stale() == {
        each: f"product: {each} is missing" for each in ("b/T", "b/C", "a/T", "a/C")
    }


def test_what_was_just_made_is_current(bench: Bench) -> None:
    assert bench.stale() == {}


def test_a_deleted_partition_of_either_output_is_missing(bench: Bench) -> None:
    Path(bench.product.path_of("a/T")).unlink()
    Path(bench.sum.path_of("b/C")).unlink()
    assert bench.stale() == {"a/T": "product: a/T is missing", "b/C": "sum: b/C is missing"}


def test_a_changed_parameter_makes_its_population_stale_and_no_other(bench: Bench) -> None:
    bench.factors["C"] = 4
    assert bench.stale() == {
        f"{fov}/C": f"product: {fov}/C was made from another factors" for fov in "ba"
    }


def test_changed_input_content_makes_its_own_groups_stale(bench: Bench) -> None:
    bench.source.save({"a/T": pd.DataFrame({"x": [77]})})
    assert bench.stale() == {"a/T": "product: a/T was made from another source"}
    bench.make()
    assert bench.stale() == {}


def test_an_input_made_again_with_equal_bytes_leaves_all_current(bench: Bench) -> None:
    bench.source.save({"a/T": bench.source.load_one("a/T")})
    assert bench.stale() == {}


def test_new_code_makes_all_stale(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiply, "version", 2, raising=False)
    stale = bench.stale()
    assert len(stale) == 4 and stale["a/T"] == "product: a/T was made from another code"


def test_a_file_changed_outside_the_project_is_told_as_such(bench: Bench) -> None:
    Path(bench.product.path_of("a/T")).write_text("x\n9\n", encoding="utf-8")
    assert list(bench.stale()) == ["a/T"]
    assert "changed outside the project" in bench.stale()["a/T"]
    assert "kedro cyto correct" in bench.stale()["a/T"]


def test_a_partition_without_ledger_entry_is_not_trusted(bench: Bench) -> None:
    bench.product.ledger.remove("a/T")
    assert bench.stale() == {"a/T": "product: a/T is in no ledger"}


def test_a_correction_stays_current_whatever_its_inputs_are(bench: Bench) -> None:
    who = {"who": "Ana", "why": "merged", "when": "2026-01-01T00:00:00Z", "source": "x"}
    for dataset in (bench.product, bench.sum):
        dataset.record("a/C", {}, correction=Correction.model_validate(who))
    bench.factors["C"] = 4
    bench.source.save({"a/C": pd.DataFrame({"x": [77]})})
    assert list(bench.stale()) == ["b/C"]
    Path(bench.sum.path_of("a/C")).unlink()  # even a correction must be there
    assert bench.stale()["a/C"] == "sum: a/C is missing"


def test_a_correction_made_while_a_node_computes_is_not_left_out_in_silence(
    tmp_path: Path,
) -> None:
    bench: Bench

    def slow(
        group: Mapping[str, str], source: pd.DataFrame, manifest: Plan, factors: Factors
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        if group == {"fov": "a", "population": "T"}:  # a person corrects what was just read
            bench.source.save({"a/T": pd.DataFrame({"x": [77]})})
        return source * factors, source + factors

    bench = Bench(tmp_path, slow)
    before = bench.source.load_one("a/T")["x"].item()
    inputs = bench.inputs
    for chunks in bench.node.func(*inputs.values()):
        for out, (dataset, chunk) in enumerate(
            zip((bench.product, bench.sum), chunks, strict=True)
        ):
            dataset.save(chunk)
            for each in chunk:
                group = group_of(spec_of(bench.node.func), out, each)
                record(dataset, each, input_digests(bench.node.func, inputs, group))
                assert inputs["source"].changed() == (["a/T"] if each == "a/T" else [])
    assert bench.product.load_one("a/T")["x"].item() == 2 * before
    assert bench.stale() == {"a/T": "product: a/T was made from another source"}


def test_a_corrected_partition_that_was_changed_afterwards_is_noticed(bench: Bench) -> None:
    correction = Correction.model_validate(
        {"who": "Ana", "why": "dirt", "when": "2026-01-01T00:00:00Z", "source": "x"}
    )
    with bench.product.correcting(correction):
        bench.product.save({"a/T": pd.DataFrame({"x": [9]})})
    assert bench.stale() == {}
    Path(bench.product.path_of("a/T")).write_text("x\n10\n")
    assert bench.stale()["a/T"].startswith("product: a/T was changed after Ana corrected it")


def test_a_torn_entry_stops_no_other_group(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Ledger.read

    def deny(ledger: Ledger, identity: str, look: bool = True) -> Any:
        if identity == "a/T":
            raise PartitionError("a/T: the ledger entry cannot be read")
        return read(ledger, identity, look)

    monkeypatch.setattr(Ledger, "read", deny)
    assert bench.stale() == {"a/T": "product: a/T: the ledger entry cannot be read"}


def test_a_later_field_leaves_the_others_current(bench: Bench) -> None:
    class Shown(Plan):
        def for_group(self, group: Mapping[str, str]) -> Any:
            return self.fovs[group["fov"]]

    more = Shown(**{**PLAN.model_dump(), "fovs": {**PLAN.fovs, "c": PLAN.fovs["a"]}})
    digests = [
        input_digests(bench.node.func, {"manifest": plan}, {"fov": "a", "population": "T"})
        for plan in (Shown(**PLAN.model_dump()), more)
    ]
    assert digests[0] == digests[1]


def test_a_wide_input_is_hashed_with_the_neighbours_of_the_block() -> None:
    """What a halo reads of the next block is part of what a result was made from."""

    def smooth(group: Mapping[str, str], films: Any, manifest: Plan) -> None: ...

    store = store_of("fov/block")
    inputs = {"films": Partitions(store), "manifest": PLAN}
    group = {"fov": "b", "block": "t0000-0003"}

    def hashed(**options: Any) -> str:
        return input_digests(lift(smooth, by="fov/block", **options), inputs, group)["films"]

    before = {wide: hashed(wide=wide) for wide in ((), ("films",))}
    store.content_by_id["a/t0000-0003"] = "another field"
    assert {wide: hashed(wide=wide) for wide in before} == before
    store.content_by_id["b/t0004-0007"] = "the next block"
    assert hashed() == before[()] and hashed(wide=["films"]) != before["films",]
    store.content_by_id["b/t0000-0003"] = "its own block"
    assert hashed() != before[()]


class TestWholeFile:
    """A node that was not lifted, and writes one file."""

    @pytest.fixture
    def made(self, tmp_path: Path) -> tuple[Node, dict[str, Any], DataCatalog]:
        dataset = TableDataset(filepath=str(tmp_path / "total.csv"))
        made = node(total, ["source"], "total")
        inputs = {"source": Bench(tmp_path).source.load()}
        dataset.save(total(inputs["source"]))
        record(dataset, None, input_digests(total, inputs, {}))
        return made, inputs, DataCatalog({"total": dataset})

    def test_current_then_stale_by_input_then_missing(self, made: Any, tmp_path: Path) -> None:
        assert stale_groups(*made) == []
        made[1]["source"].source.save({"a/T": pd.DataFrame({"x": [5]})})
        assert [each.reason for each in stale_groups(*made)] == [
            "total was made from another source"
        ]
        (tmp_path / "total.csv").unlink()
        assert [each.reason for each in stale_groups(*made)] == ["total is missing"]

    def test_what_has_no_file_or_no_hash_is_always_run(self, made: Any) -> None:
        made_node, inputs, _ = made
        in_memory = DataCatalog({"total": MemoryDataset(1)})
        assert [each.reason for each in stale_groups(made_node, inputs, in_memory)] == [
            "total is not kept in a file"
        ]
        reasons = [each.reason for each in stale_groups(made_node, {"source": object()}, made[2])]
        assert reasons == ["made in every run: what it reads may have changed"]
        assert place_of(MemoryDataset(1)) is None
        assert record(MemoryDataset(1), None, {}) is None


def test_currency_opens_no_partition() -> None:
    source = store_of("fov/population")
    inputs = {"source": Partitions(source), "manifest": PLAN}
    input_digests(lift(multiply, by="fov/population"), inputs, {"fov": "a", "population": "T"})
    assert source.opened == [] and source.listed == 0
