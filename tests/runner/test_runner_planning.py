from __future__ import annotations

import time
from dataclasses import replace

from cyto_kedro.runner.backend import Cause, may_retry
from cyto_kedro.runner.planning import Array, again, plan_node, safe_name
from cyto_kedro.runner.resources import Resources, check_resources


def groups(n_fovs: int, n_blocks: int = 1) -> list[dict[str, str]]:
    return [
        {"fov": f"f{fov}", "population": population, "block": f"t{block:04d}-{block:04d}"}
        for fov in range(n_fovs)
        for population in ("TCell", "CancerCell")
        for block in range(n_blocks)
    ]


def test_groups_are_batched_in_order_and_none_is_lost() -> None:
    file = check_resources({"default": {"batch_size": 3}}, "x")
    (array,) = plan_node("segment", groups(5), file)
    assert [len(batch) for batch in array.batches] == [3, 3, 3, 1]
    assert [group for batch in array.batches for group in batch] == groups(5)
    assert array.n_groups == 10 and array.attempt == 1


def test_partitions_with_resources_of_their_own_get_arrays_of_their_own() -> None:
    file = check_resources(
        {
            "default": {"batch_size": 4},
            "nodes": {"segment[TCell]": {"gres": "gpu:1", "batch_size": 2}},
        },
        "x",
    )
    gpu, cpu = plan_node("segment", groups(4), file)
    assert gpu.resources.gres == "gpu:1" and cpu.resources.gres is None
    assert [len(batch) for batch in gpu.batches] == [2, 2]
    assert {group["population"] for batch in cpu.batches for group in batch} == {"CancerCell"}


def test_a_machine_that_died_takes_no_try_for_more_memory_away() -> None:
    asked = Resources(attempts=2, restarts=2)
    tried = Array("segment", asked, ((groups(1)[0],),), attempt=3, restarts=2)
    assert may_retry(tried, Cause.MEMORY)  # the machine died twice: the node had one try
    assert not may_retry(replace(tried, attempt=4), Cause.MEMORY)
    assert not may_retry(tried, Cause.LOST) and may_retry(replace(tried, restarts=1), Cause.LOST)
    assert not may_retry(tried, Cause.CODE)


def test_while_more_groups_may_come_only_full_batches_are_handed_out() -> None:
    file = check_resources({"default": {"batch_size": 4}}, "x")
    (array,) = plan_node("segment", groups(5), file, whole_batches=True)
    assert [len(batch) for batch in array.batches] == [4, 4]
    assert plan_node("segment", groups(1), file, whole_batches=True) == []
    auto = check_resources({"default": {"batch_size": "auto", "max_parallel": 2}}, "x")
    (array,) = plan_node("segment", groups(5), auto, total=80)  # as the whole node's would be
    assert [len(batch) for batch in array.batches] == [10]


def test_auto_gives_each_slot_some_tasks() -> None:
    file = check_resources({"default": {"max_parallel": 5}}, "x")
    (array,) = plan_node("segment", groups(50), file)
    assert len(array.batches) == 20
    (array,) = plan_node("segment", groups(50), check_resources({}, "x"), slots=2)
    assert len(array.batches) == 8
    assert plan_node("segment", [], file) == []


def test_a_further_try_has_more_of_what_was_too_small() -> None:
    (array,) = plan_node("segment", groups(2), check_resources({"default": {"mem": "1G"}}, "x"))
    grown = again(array, [groups(1)], mem=True, time=False, restart=False)
    assert (grown.resources.mem_mb, grown.attempt, grown.restarts) == (2048, 2, 0)
    same = again(grown, [groups(1)], mem=False, time=False, restart=True)
    assert (same.resources, same.attempt, same.restarts) == (grown.resources, 3, 1)


def test_hours_are_those_asked_for() -> None:
    file = check_resources({"default": {"batch_size": 1, "cpus_per_task": 4, "time": "30"}}, "x")
    (array,) = plan_node("segment", groups(5), file)
    assert array.cpu_hours == 10 * 4 * 0.5


def test_ten_thousand_partitions_are_planned_in_no_time() -> None:
    file = check_resources({"nodes": {"segment[TCell]": {"mem": "9G"}}}, "x")
    many, began = groups(50, 100), time.perf_counter()
    arrays = plan_node("segment", many, file)
    assert time.perf_counter() - began < 5  # takes 0.1 s; the bound is the issue's
    assert sum(array.n_groups for array in arrays) == 10_000
    assert {array.resources.mem for array in arrays} == {"9G", Resources().mem}


def test_names_of_folders() -> None:
    assert safe_name("a b; rm -rf x/[..]") == "a_b_rm_-rf_x"
