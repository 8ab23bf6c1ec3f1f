"""Names that nothing reads are refused, wherever a person can type them; a default never stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import ParallelRunner

from cyto_kedro.cli import cyto
from cyto_kedro.console import expected, said
from cyto_kedro.errors import ConfigError
from tiny_project import Project

TARGETS = {
    "raw": {"pattern": "{fov}/{channel}.ome.tif"},
    "channels": ["TCell", "CancerCell", "Dead"],
    "populations": {"T": {"role": "target", "channels": ["TCell"]}},
}


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """A project without films: what is refused here is refused before any is looked at."""
    return Project.make(tmp_path / "bare", tmp_path / "nowhere")


def write(project: Project, path: str, content: Any) -> None:
    file = project.path / "conf" / path
    file.parent.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    file.write_text(text, encoding="utf-8")


def run(project: Project, env: str | None = None, runner: Any = None, **params: Any) -> None:
    bootstrap_project(project.path)
    session: Any = KedroSession.create(project.path, env=env, runtime_params=params)
    session.run(pipeline_names=["ingestion"], runner=runner)


def refused(project: Project, *said: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as failure:
        run(project, **options)
    message = str(failure.value)
    for each in said:
        assert each in message, message
    assert not (project.path / "data").exists()
    return message


class TestBlocks:
    def test_a_block_misspelt_in_an_environment(self, bare: Project) -> None:
        write(bare, "typo/parameters_tracking.yml", {"trackng": {"TCell": {"name": "LAP"}}})
        said = ("'trackng'", "'tracking'", "typo/parameters_tracking.yml", "Nothing reads it")
        refused(bare, *said, env="typo")

    def test_a_block_misspelt_on_the_command_line(self, bare: Project) -> None:
        refused(bare, "--params", "'asay'", "'assay'", asay={"block_length": 4})
        refused(bare, "--params", "'dta'", "'data'", dta="elsewhere")

    def test_folders_are_known(self, bare: Project, tmp_path: Path) -> None:
        with pytest.raises(Exception, match="elsewhere") as failure:
            run(bare, raw=str(tmp_path / "elsewhere"))
        assert expected(failure.value) is not None

    def test_files_globals_and_datasets_of_an_environment(self, bare: Project) -> None:
        write(bare, "a/paramters.yml", {"assay": TARGETS})
        refused(bare, "paramters.yml is read by nothing", "'parameters'", env="a")
        write(bare, "b/globals.yml", {"raw": "x", "data": "y", "simulatd": "z"})
        refused(bare, "b/globals.yml", "'simulatd'", "'simulated'", env="b")
        sheet = {"type": "cyto_kedro.datasets.TableDataset", "filepath": "x.csv"}
        write(bare, "c/catalog.yml", {"sampel_sheet": sheet})
        refused(bare, "c/catalog.yml", "'sampel_sheet'", "'sample_sheet'", env="c")
        write(bare, "d/catalog.yml", {"mine": sheet, "_raw": "x"})
        with pytest.raises(Exception, match="nowhere"):  # a dataset of one's own passes
            run(bare, env="d")

    def test_an_environment_that_does_not_exist(self, bare: Project) -> None:
        refused(bare, "unknown environment 'adc'", "'adcc'", "--env", env="adc")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("assay: {channels: [a\n", "parameters"),
            ("assay:\n  channels: ${nothing}\n", "nothing"),
            ("- a\n- b\n", "parameters"),
            ("assay: 1\nassay: 2\n", "assay"),
        ],
    )
    def test_yaml_that_cannot_be_read(self, bare: Project, text: str, said: str) -> None:
        write(bare, "broken/parameters.yml", text)
        with pytest.raises(Exception, match=said) as failure:
            run(bare, env="broken")
        assert expected(failure.value) is not None

    def test_populations_of_the_base_under_ones_own_assay(self, bare: Project) -> None:
        """The user never wrote `segmentation:`, so it is not called an unknown population."""
        write(bare, "mine/parameters.yml", {"assay": TARGETS})
        said = refused(bare, "segmentation must name", "(T)", "conf/base", "restate", env="mine")
        assert "unknown" not in said


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"segmentation": {"TCel": {"args": {"x": 1}}}}, ("'TCel'", "'TCell'")),
        ({"segmentation": {"TCell": {"nam": "Otsu"}}}, ("'nam'", "'name'")),
        ({"segmentation": {"TCell": {"args": {"min_contrst": 1}}}}, ("'min_contrst'",)),
        ({"contacts": {"bout": {"name": "Bouts"}}}, ("'bout'", "'bouts'")),
        ({"reporting": {"titel": "x"}}, ("'titel'", "'title'")),
    ],
)
def test_nested_names_of_params(
    bare: Project, params: dict[str, Any], said: tuple[str, ...]
) -> None:
    refused(bare, *said, **params)


def test_a_runner_that_cannot_serve(bare: Project) -> None:
    refused(bare, "ParallelRunner", "PartitionRunner", runner=ParallelRunner())


class TestConsole:
    def test_kedros_own_refusals_are_said_and_faults_of_code_are_not(self, bare: Project) -> None:
        bootstrap_project(bare.path)
        session: Any = KedroSession.create(bare.path)
        with pytest.raises(ValueError, match="plan_assy") as failure:
            session.run(pipeline_names=["ingestion"], node_names=["plan_assy"])
        assert expected(failure.value) is failure.value
        for fault in (ValueError("a fault"), KeyError("x")):
            assert expected(fault) is None

    def test_what_pydantic_adds_for_programmers_is_left_out(self) -> None:
        text = (
            "assay\n  Value error, unknown key 'a'. [type=value_error, input_value={'b': 1}, "
            "input_type=dict]\n    For further information visit https://errors.pydantic.dev/2/v/x"
        )
        assert said(ValueError(text)) == "assay\n  Value error, unknown key 'a'."


class TestCommands:
    """``kedro cyto``: from any folder, with kedro run's options, and in sentences."""

    def call(self, project: Project, *words: str) -> tuple[int, str]:
        metadata = bootstrap_project(project.path)
        done = CliRunner().invoke(cyto, list(words), obj=metadata)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.output

    def test_from_another_folder(
        self, bare: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        code, text = self.call(bare, "status", "--pipeline", "ingestion")
        assert code == 0 and "plan_assay" in text and "to run" in text

    def test_another_configuration(self, bare: Project, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        (bare.path / "conf").rename(elsewhere)
        code, text = self.call(bare, "status", "-p", "ingestion", "--conf-source", str(elsewhere))
        assert code == 0 and "plan_assay" in text

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("status", "--pipeline", "ingeston"), "'ingestion'"),
            (("status", "--env", "adc"), "'adcc'"),
            (("uncorrect", "label", "x"), "'labels'"),
            (("runs", "nothing"), "unknown run"),
        ],
    )
    def test_sentences(self, bare: Project, words: tuple[str, ...], said: str) -> None:
        code, text = self.call(bare, *words)
        assert code == 1 and said in text and "Traceback" not in text
