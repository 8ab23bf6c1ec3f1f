from __future__ import annotations

from pathlib import Path

import pytest

from cyto_kedro.runner.report import Failure, failure_table, left, resume_command, usage

WORDS = ("run", "--pipelines", "segmentation", "--params", "raw=/a b,data=/c")
RESUMES = "kedro run --pipelines segmentation --params 'raw=/a b,data=/c'"


@pytest.mark.parametrize("name", ["/env/bin/kedro", "python -m kedro"])
def test_the_command_that_resumes_is_the_same_one(name: str) -> None:
    assert resume_command(True, [name, *WORDS]) == RESUMES
    assert resume_command(False, [name, *WORDS, "--all"]) == RESUMES
    assert resume_command(True, ["pytest"]) == "the same `kedro run ...`"


def test_in_another_project_the_command_that_resumes_needs_the_flag() -> None:
    flag = "--only-missing-outputs"
    assert resume_command(False, ["kedro", *WORDS]) == f"{RESUMES} {flag}"
    assert resume_command(True, ["kedro", *WORDS, flag]) == f"{RESUMES} {flag}"
    assert resume_command(False, ["pytest"]) == f"the same `kedro run ...` with {flag}"


def test_the_table_says_what_failed_where_and_what_its_log_ends_with() -> None:
    group = {"fov": "A1", "population": "TCell"}
    failures = [
        Failure("segment", group, "out of memory", 3, Path("/r/0.log"), "line 1\nKilled"),
        Failure(
            "segment",
            {**group, "fov": "A2"},
            "out of memory",
            3,
            Path("/r/0.log"),
            "line 1\nKilled",
        ),
        Failure("summarise", {}, "ValueError: no", 1),
    ]
    lines = failure_table(failures, ["track"], "kedro run --again").splitlines()
    assert lines[0] == (
        "2 nodes failed: segment, summarise; 1 that depend on them were not run in full (track)."
    )
    assert lines[2].split(maxsplit=3) == ["segment", "A1/TCell", "3", "out of memory"]
    assert lines[3:6] == ["    log: /r/0.log", "    | line 1", "    | Killed"]
    assert lines[6].split(maxsplit=3) == ["segment", "A2/TCell", "3", '"']
    assert lines[7].split(maxsplit=3) == ["summarise", "-", "1", "ValueError: no"]
    assert lines[-1].endswith("go on with: kedro run --again")


def test_a_long_table_is_cut() -> None:
    many = [Failure("n", {"fov": str(index)}, f"reason {index}", 1) for index in range(50)]
    text = failure_table(many, [], "x")
    assert "reason 19" in text and "reason 20" not in text and "30 more" in text


def test_usage_is_the_largest_task_of_a_node() -> None:
    asked = {"mem_mb": 1000.0, "time_s": 600, "cpus": 2}
    tasks = [
        {
            "node": "a",
            "attempt": 1,
            "failed": [],
            "asked": asked,
            "seconds": 10.0,
            "peak_mb": 300.0,
            "host": "c1",
        },
        {
            "node": "a",
            "attempt": 2,
            "failed": [],
            "asked": {**asked, "mem_mb": 2000.0},
            "seconds": 26.0,
            "peak_mb": 1200.0,
            "host": "c2",
        },
        {"node": "a", "attempt": 1, "failed": [{"group": {}}], "asked": asked},
    ]
    (row,) = usage(tasks)
    assert (row["tasks"], row["again"], row["failed"], row["hosts"]) == (3, 1, 1, ["c1", "c2"])
    assert (row["time_s"], row["peak_mb"], row["asked_mb"]) == (26, 1200, 2000)
    assert row["cpu_h"] == 36 * 2 / 3600


def test_time_left() -> None:
    assert left(25, 100, 10) == ", about 30 s left"
    assert left(1, 100, 10) == ", about 16 min left"
    assert left(0, 100, 10) == left(100, 100, 10) == ""
