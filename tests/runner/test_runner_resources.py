from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cyto_kedro.errors import ConfigError
from cyto_kedro.runner.resources import (
    Resources,
    check_resources,
    clock,
    megabytes,
    read_resources,
    seconds,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    # the forms that sbatch(1) lists for --time
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:30:00", 5400),
        ("2-0", 172800),
        ("1-02:03", 93780),
        ("1-02:03:04", 93784),
    ],
)
def test_time_limits_are_read_as_sbatch_reads_them(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_times_and_memory() -> None:
    assert clock(93784) == "1-02:04:00" and seconds(clock(93784)) == 93840
    assert [megabytes(each) for each in ("512", "512M", "1.5G", "2T", "1024K", "4GB")] == [
        512,
        512,
        1536,
        2 * 1024**2,
        1,
        4096,
    ]
    assert Resources(time=5400).time_s == 5400  # 1:30:00 without quotes, as YAML 1.1 reads it
    grown = Resources(mem="3G", time="30", mem_factor=1.5).more(mem=True)
    assert (grown.mem_mb, grown.time_s) == (4608, 1800)
    assert Resources(time="30").more(time=True).time_s == 3600
    assert set(Resources(cpus_per_task=3).threads().values()) == {"3"}


@pytest.mark.parametrize(
    "bad",
    [
        {"mem": "lots"},
        {"time": "soon"},
        {"time": "0"},
        {"batch_size": 0},
        {"partition": "short\n#SBATCH --uid=0"},
        {"options": ["--a\nrm"]},
        {"environment": {"A B": "1"}},
        {"cpus_per_task": 0},
    ],
)
def test_values_that_cannot_work_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        check_resources({"default": bad}, "slurm.yml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"default": {"cpu_per_task": 1}},
            "default: unknown key 'cpu_per_task'. Did you mean 'cpus_p",
        ),
        ({"nodes": {"segment": {"memory": "1G"}}}, "nodes: segment: unknown key 'memory'"),
        ({"machine": {"core": 1}}, "unknown key 'core'. Did you mean 'cores'"),
        ({"nods": {}}, "unknown key 'nods'. Did you mean 'nodes'"),
        ({"nodes": {"a[b": {}}}, "neither a node nor node"),
    ],
)
def test_an_unknown_key_names_the_nearest(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_resources(content, "slurm.yml")
    assert said in str(raised.value)


def test_the_most_exact_entry_wins_field_by_field() -> None:
    file = check_resources(
        {
            "default": {"mem": "1G", "time": "10", "cpus_per_task": 1, "qos": "low"},
            "pipelines": {"segmentation": {"mem": "2G", "time": "20", "cpus_per_task": 2}},
            "tags": {"heavy": {"mem": "3G", "time": "30"}},
            "nodes": {"segment": {"mem": "4G"}, "segment[TCell]": {"gres": "gpu:1"}},
        },
        "slurm.yml",
    )
    group = {"fov": "A1", "population": "TCell", "block": "t0000-0009"}
    found = file.of("segment", group, ["heavy"], ["segmentation"])
    assert (found.mem, found.time, found.cpus_per_task, found.qos, found.gres) == (
        "4G",
        "30",
        2,
        "low",
        "gpu:1",
    )
    assert file.of("segment", {**group, "population": "CancerCell"}).gres is None
    assert file.of("other").mem == "1G"


def test_files_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "slurm.yml").write_text("default: {mem: 3G}\n")
    assert read_resources(tmp_path, "slurm").of("x").mem == "3G"
    with pytest.raises(ConfigError, match=r"unknown resources 'slrm'. Did you mean 'slurm'"):
        read_resources(tmp_path, "slrm")
    with pytest.raises(ConfigError, match=r"without \.yml"):
        read_resources(tmp_path, "../slurm")
    (tmp_path / "empty.yml").write_text("")
    assert read_resources(tmp_path, "empty").of("x") == Resources()


@pytest.mark.parametrize("name", ["local", "slurm", "slurm_test"])
def test_the_shipped_files_are_right(name: str) -> None:
    read_resources(ROOT / "conf" / "resources", name)
