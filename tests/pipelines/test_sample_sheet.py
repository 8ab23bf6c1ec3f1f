"""What a person types into the sample sheet is what the analysis works with, or is refused by name."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cyto_kedro.core.groups import design
from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.datasets.sheet import SampleSheetDataset
from cyto_kedro.datasets.table import TableDataset
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.parameters import Assay
from cyto_kedro.pipelines.ingestion.nodes import plan_assay
from cyto_kedro.pipelines.ingestion.sheet import DEFAULTS, KNOWN, read_sheet


def assay(**top: Any) -> Assay:
    block = {
        "raw": {"pattern": "{fov}.tif"},
        "channels": ["A"],
        "populations": {"P": {"role": "target", "channels": ["A"]}},
        "block_length": 20,
        "pixel_size_um": 0.65,
        "frame_interval_s": 60,
    }
    return Assay.model_validate(block | top)


def plan(folder: Path, sheet: str, *fovs: str) -> pd.DataFrame:
    """The table `fields` of films called `fovs`."""
    for fov in fovs:
        film = np.ones((4, 32, 40), np.uint16)
        path = folder / f"{fov}.tif"
        tifffile.imwrite(path, film, photometric="minisblack", metadata={"axes": "TYX"})
    (folder / "sample_sheet.csv").write_text(sheet, encoding="utf-8")
    read = SampleSheetDataset(filepath=str(folder / "sample_sheet.csv")).load()
    return plan_assay(RawFolder(str(folder)), read, assay())[1]


@pytest.mark.parametrize("texts", [("NA", "null"), ("01", "1"), ("1E2", "100"), ("10", "")])
@pytest.mark.parametrize("dataset", [SampleSheetDataset, TableDataset])
def test_texts_stay_what_was_typed(tmp_path, texts, dataset):
    """Also by way of the dataset of any other table, as an older catalog has it."""
    columns = ["condition", "donor", "plate", "well", "mine"]
    lines = [",".join([fov, *[text] * 5]) for fov, text in zip(("f1", "f2"), texts, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join([",".join(["fov", *columns]), *lines]))
    read = read_sheet(dataset(filepath=str(tmp_path / "s.csv")).load())
    for column in columns:
        assert read[column].tolist() == list(texts), column


def test_one_replicate_called_na_is_one_and_a_field_may_be_called_so(tmp_path):
    sheet = "fov,condition,replicate\nNA,NA,NA\n007,null,NA\n"
    fields = plan(tmp_path, sheet, "NA", "007")
    assert fields["fov"].tolist() == ["NA", "007"]
    assert fields["condition"].tolist() == ["NA", "null"]
    assert design(fields)["replicate"].tolist() == ["NA", "NA"]


def test_names_composed_and_decomposed_are_one(tmp_path):
    """macOS writes é as two signs, an editor as one."""
    composed = "d\u00e9"
    sheet = f"fov,condition,replicate\n{composed},{composed},{composed}\n"
    sheet += f"f2,{unicodedata.normalize('NFD', composed)},\n"
    fields = plan(tmp_path, sheet, unicodedata.normalize("NFD", composed), "f2")
    assert (
        fields["fov"].tolist() == [composed, "f2"]
        and fields["condition"].tolist() == [composed] * 2
    )


def read(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return read_sheet(pd.DataFrame({"fov": [f"f{i}" for i in range(n)], **columns}))


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("dose", "0,5", 0.5),
        ("dose", "1e-3", 1e-3),
        ("dose", "\u22122", -2.0),
        ("dose", "", np.nan),
        ("time_offset_min", "", 0.0),
        ("time_offset_min", "10", 10.0),
        ("et_ratio", "5:1", 5.0),
        ("et_ratio", "1:2", 0.5),
        ("et_ratio", "2,5", 2.5),
    ],
)
def test_numbers(column, text, value):
    assert read(**{column: [text]})[column].iloc[0] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    "text", ["10 nM", "NA", "1,000", "inf", "nan", "1_0", "0x1", "1:0", "٣", "5:1"]
)
def test_what_is_no_number_is_named(text):
    with pytest.raises(InputError) as failure:
        read(dose=["1", text])
    assert all(said in str(failure.value) for said in ("'f1'", "dose", repr(text)))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("excluded", "exclude"),
        ("conditon", "condition"),
        ("replcate", "replicate"),
        ("Condition", "condition"),
        ("time offset min", "time_offset_min"),
        ("time_offset_s", "time_offset_min"),
        ("exlude_frames", "exclude_frames"),
        ("plaet", "plate"),
        ("wel", "well"),
        ("Dose", "dose"),
        ("viability-control", "viability_control"),
    ],
)
def test_a_column_that_is_nearly_a_known_one_is_refused(name, meant):
    with pytest.raises(InputError, match=f"unknown column '{name}'. Did you mean '{meant}'"):
        read(**{name: ["x"]})


def test_columns_of_ones_own_pass():
    read(
        condition=["x"],
        condition_2=["y"],
        operator=["me"],
        dose=["1"],
        dose_unit=["nM"],
        date=["1-2"],
    )


def test_every_single_slip_of_a_known_column_is_refused():
    """Each deletion, doubling and swap of neighbours of each name; none is taken for one's own."""
    slips = 0
    for name in KNOWN[1:]:
        for i in range(len(name)):
            swapped = name[:i] + name[i + 1 : i + 2] + name[i] + name[i + 2 :]
            for slip in (name[:i] + name[i + 1 :], name[: i + 1] + name[i:], swapped):
                if slip not in KNOWN:
                    with pytest.raises(InputError, match="Did you mean"):
                        read(**{slip: ["x"]})
                    slips += 1
    assert slips > 250


def test_the_field_column_missing_is_said_the_right_way_round():
    with pytest.raises(
        InputError, match=r"column 'fov' is missing. Did you mean 'FOV'\?"
    ) as failure:
        read_sheet(pd.DataFrame({"FOV": ["f1"], "well": ["A1"]}))
    assert "unknown" not in str(failure.value) and "There: FOV, well" in str(failure.value)


def test_a_row_without_field_and_reserved_words():
    with pytest.raises(InputError, match=r"a row without fov .*condition 'x'"):
        read_sheet(pd.DataFrame({"fov": ["f1", ""], "condition": ["", "x"]}))
    with pytest.raises(InputError, match=r"condition cannot be '\(all\)'"):
        read(condition=["(all)"])


def test_texts_that_look_alike_are_said(caplog):
    read(condition=["5 \u00b5M", "5 \u03bcM"], donor=["A", "a"], replicate=["x", "x"])
    assert len(caplog.messages) == 2
    assert "conditions" in caplog.text and "donors 'A' and 'a'" in caplog.text


def test_a_dose_compared_is_called_as_typed():
    fields = read(dose=["5", "0.5"], condition=["a", "b"])
    assert design(fields, condition="dose")["condition"].tolist() == ["5", "0.5"]


def test_conditions_and_replicates_joined_are_told_apart():
    fields = read(condition=["a", "a/b"], replicate=["b/c", "c"])
    assert design(fields, paired=False)["cluster"].nunique() == 2


class TestNames:
    """A name becomes a folder's, which every file system must hold, each its own."""

    @pytest.mark.parametrize("pair", [("A1", "a1"), ("stra\u00dfe", "STRASSE")])
    def test_twins_among_fields(self, tmp_path, pair):
        sheet = "fov\n" + "\n".join(pair)
        with pytest.raises(InputError, match="one folder on Windows and macOS"):
            plan(tmp_path, sheet, *pair)

    def test_twins_among_files(self, tmp_path):
        both = [unicodedata.normalize(form, "d\u00e9") for form in ("NFC", "NFD")]
        with pytest.raises(InputError, match="two files"):
            plan(tmp_path, "fov\nd\u00e9\n", *both)

    @pytest.mark.parametrize("name", ["CON", "f1.", "a:b", "a*?"])
    def test_a_field_with_an_impossible_name(self, tmp_path, name):
        with pytest.raises(InputError, match="cannot be used"):
            plan(tmp_path, f"fov\n{name}\n", name)

    def test_twins_and_impossible_names_among_channels_and_populations(self):
        for channels in (["A", "a"], ["A", "nul.x"]):
            with pytest.raises(ValueError, match="folder"):
                assay(channels=channels)

    def test_a_channel_whose_columns_are_others(self):
        with pytest.raises(ConfigError, match="time_min, which is another column") as failure:
            raise_of(lambda: assay(channels=["A", "time"]))
        assert "raw.names" in str(failure.value)


def raise_of(made: Any) -> None:
    """Pydantic wraps what validators raise; say it as ours."""
    try:
        made()
    except ValueError as error:
        raise ConfigError(str(error)) from error


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufffd", exclude_categories=["Cs"]),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_any_text_as_condition_and_replicate_comes_back(rows):
    """Stripped and composed, and else as it was."""
    from cyto_kedro.datasets.delimited import decode, split, tabulate, tidy

    lines = ["fov,condition,replicate"]
    for i, row in enumerate(rows):
        lines.append(",".join([f"f{i}", *('"' + each.replace('"', '""') + '"' for each in row)]))
    table, _ = tabulate(split(decode("\n".join(lines).encode(), "s"), "s"), "s")
    read = read_sheet(table)
    assert read["condition"].tolist() == [tidy(condition) for condition, _ in rows]
    expected = [tidy(replicate) or f"f{i}" for i, (_, replicate) in enumerate(rows)]
    assert read["replicate"].tolist() == expected
    assert set(DEFAULTS) <= set(read)


def test_a_ratio_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="'A1': et_ratio is below 0"):
        read_sheet(pd.DataFrame({"fov": ["A1"], "et_ratio": ["-5:1"]}))
    offset = read_sheet(pd.DataFrame({"fov": ["A1"], "time_offset_min": ["-10"]}))
    assert offset["time_offset_min"].tolist() == [-10.0]


def test_conditions_that_differ_by_a_mark_that_is_not_seen_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fovs = {"fov": ["A1", "A2"]}
    read_sheet(pd.DataFrame({**fovs, "condition": ["drug", "dr\u200bug"]}))
    assert "look alike" in caplog.text
    caplog.clear()
    read_sheet(pd.DataFrame({**fovs, "condition": ["drug", "drug 2"]}))
    assert "look alike" not in caplog.text
