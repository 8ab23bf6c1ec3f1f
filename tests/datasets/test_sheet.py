"""A sample sheet is read as what was typed, in every form that labs have, or refused in a sentence."""

from __future__ import annotations

import unicodedata
from datetime import date, time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError
from openpyxl import Workbook

from cyto_kedro.datasets.sheet import SampleSheetDataset
from cyto_kedro.datasets.table import TableDataset

TYPED = [
    ["fov", "condition", "donor"],
    ["01", "NA", "10"],
    ["1", "1E2", ""],
    ["x", "5 µM; a", "null"],
]


def sheet_of(folder: Path, content: bytes | str, name: str = "sample_sheet.csv") -> pd.DataFrame:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return SampleSheetDataset(filepath=str(folder / "sample_sheet.csv")).load()


def cells(table: pd.DataFrame) -> list[list[str]]:
    return [list(table.columns), *table.to_numpy().tolist()]


def written(separator: str, quote: str = '"') -> str:
    return "".join(
        separator.join(f"{quote}{cell}{quote}" for cell in row) + "\r\n" for row in TYPED
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_text_in_every_separator_and_unicode_encoding(tmp_path, separator, code):
    assert cells(sheet_of(tmp_path, written(separator).encode(code))) == TYPED


def test_excel_says_its_separator_and_old_macs_their_own_line_ends(tmp_path):
    assert cells(sheet_of(tmp_path, "sep=;\r\n" + written(";"))) == TYPED
    assert cells(sheet_of(tmp_path, written(",").replace("\r\n", "\r"))) == TYPED


def test_blank_lines_and_trailing_separators_are_no_fields(tmp_path):
    text = "\n,,\nfov,condition,\nf1,x,,\n,,,\n   ,\nf2,y\n\n"
    assert cells(sheet_of(tmp_path, text)) == [["fov", "condition"], ["f1", "x"], ["f2", "y"]]


def test_unicode_is_composed_and_unseen_marks_around_a_cell_fall(tmp_path):
    text = unicodedata.normalize("NFD", "fov,condition\nd\u00e9,\u00a0Z\u00fcrich\u200b \n")
    assert cells(sheet_of(tmp_path, text))[1] == ["d\u00e9", "Z\u00fcrich"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("fov,condition\nf1,5 µM\n".encode("latin-1"), ("line 2", "0xb5", "CSV UTF-8", "encoding")),
        (b"fov,condition\nf1,\xef\xbf\xbd\n", ("line 2", "letter lost")),
        ("fov,dose\nf1,0,5\n", ("line 2", "'5'", "decimal comma")),
        ("fov,\nf1,x\n", ("line 2", "'x'", "beyond the 1 columns")),
        ("fov,,dose\nf1,x,1\n", ("column 2", "no name")),
        ("fov,condition,condition\nf1,a,b\n", ("two columns", "'condition'")),
        ('fov,condition\nf1,"x\n', ("quotation mark",)),
        ("", ("is empty",)),
        (b"PK\x03\x04rest", ("Excel", ".xlsx")),
        (b"\xd0\xcf\x11\xe0rest", ("protected Excel",)),
        (b"fov,condition\nf1,\x00x\nf2,y and more text so that it is no UTF-16", ("line 2",)),
    ],
)
def test_what_cannot_be_read_without_a_guess(tmp_path, content, said):
    with pytest.raises(DatasetError) as failure:
        sheet_of(tmp_path, content)
    for each in ("sample_sheet.csv", *said):
        assert each in str(failure.value)


def test_an_encoding_may_be_named(tmp_path):
    (tmp_path / "s.csv").write_bytes("fov,condition\nf1,5 µM\n".encode("latin-1"))
    given = {"encoding": "latin-1"}
    table = SampleSheetDataset(filepath=str(tmp_path / "s.csv"), load_args=given).load()
    assert table["condition"].tolist() == ["5 µM"]


def excel(path: Path, *rows: list[Any], change: Any = None, title: str = "Sheet1") -> Path:
    book = Workbook()
    page = book.active
    page.title = title
    for row in rows:
        page.append(row)
    if change:
        change(page)
    book.save(path)
    return path


def read_excel(tmp_path: Path, *rows: list[Any], change: Any = None) -> list[list[str]]:
    excel(tmp_path / "sample_sheet.xlsx", *rows, change=change)
    return cells(SampleSheetDataset(filepath=str(tmp_path / "sample_sheet.csv")).load())


def test_excel_cells_are_what_is_seen(tmp_path):
    def formats(page: Any) -> None:
        page["C2"].number_format = "000"
        page["D2"].number_format = "0%"

    rows = [["fov", "condition", "donor", "dose", "day"], [1, "NA", 7, 0.5, date(2024, 1, 2)]]
    read = read_excel(
        tmp_path, *rows, [2.0, "01", 10.0, 0.1 + 0.2, None], [None] * 5, change=formats
    )
    assert read[1:] == [
        ["1", "NA", "007", "50%", "2024-01-02 00:00:00"],
        ["2", "01", "10", "0.3", ""],
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["f1", date(2024, 2, 1)], ("B2", "condition", "2024-02-01", "as text")),
        (["f1", time(5, 1)], ("B2", "05:01", "5:1")),
        (["f1", "#REF!"], ("B2", "#REF!")),
        (["f1", "=A2"], ("B2", "formula without a saved value")),
    ],
)
def test_excel_cells_that_are_not_what_was_typed(tmp_path, row, said):
    with pytest.raises(DatasetError) as failure:
        read_excel(tmp_path, ["fov", "condition"], row)
    for each in said:
        assert each in str(failure.value)


def test_excel_merged_cells_broken_files_and_several_sheets(tmp_path):
    with pytest.raises(DatasetError, match="B2:B3 are merged"):
        read_excel(
            tmp_path,
            *(["fov", "condition"], ["f1", "x"], ["f2", None]),
            change=lambda page: page.merge_cells("B2:B3"),
        )
    path = tmp_path / "sample_sheet.xlsx"
    book = Workbook()
    book.active.append(["what this is"])
    for title in ("a", "b"):
        page = book.create_sheet(title)
        page.append(["fov", "condition"])
        page.append([title, "x"])
    book.save(path)
    with pytest.raises(DatasetError, match="a, b each have a column fov"):
        SampleSheetDataset(filepath=str(path)).load()
    one = SampleSheetDataset(filepath=str(path), load_args={"sheet": "b"}).load()
    assert one["fov"].tolist() == ["b"]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"cannot be read as Excel's \.xlsx"):
        SampleSheetDataset(filepath=str(path)).load()


def test_parquet(tmp_path):
    table = pd.DataFrame({"fov": ["f1", "f2"], "donor": [10.0, None], "dose": [1, 2]})
    table.to_parquet(tmp_path / "sample_sheet.parquet")
    read = SampleSheetDataset(filepath=str(tmp_path / "sample_sheet.csv")).load()
    assert cells(read)[1:] == [["f1", "10", "1"], ["f2", "", "2"]]


class TestWhichSheet:
    def test_none(self, tmp_path):
        with pytest.raises(
            DatasetError, match=r"no sample sheet: .*sample_sheet\.csv does not exist"
        ):
            SampleSheetDataset(filepath=str(tmp_path / "sample_sheet.csv")).load()

    def test_two_that_agree_and_two_that_do_not(self, tmp_path):
        excel(tmp_path / "sample_sheet.xlsx", ["fov", "condition"], ["f1", "x"])
        assert len(sheet_of(tmp_path, "fov,condition\nf1,x\n")) == 1
        with pytest.raises(DatasetError, match=r"differ: .*sheet\.csv and .*sheet\.xlsx"):
            sheet_of(tmp_path, "fov,condition\nf1,y\n")

    def test_one_beside_the_films_wins_and_is_said(self, tmp_path, caplog):
        (tmp_path / "films").mkdir()
        (tmp_path / "conf.csv").write_text("fov\nkept\n")
        dataset = SampleSheetDataset(
            filepath=str(tmp_path / "conf.csv"), path=str(tmp_path / "films")
        )
        assert dataset.load()["fov"].tolist() == ["kept"]
        (tmp_path / "films" / "conf.csv").write_text("fov\nbeside\n")
        assert dataset.load()["fov"].tolist() == ["beside"]
        assert "beside the films is read" in caplog.text

    def test_an_old_excel_file(self, tmp_path):
        (tmp_path / "sample_sheet.xls").write_bytes(b"x")
        with pytest.raises(DatasetError, match=r"\.xls files are not read; save it as \.xlsx"):
            SampleSheetDataset(filepath=str(tmp_path / "sample_sheet.csv")).load()


class TestTables:
    """What the program writes as CSV comes back, and never runs in a spreadsheet."""

    def test_a_text_is_a_number_only_where_that_loses_nothing(self, tmp_path):
        table = pd.DataFrame(
            {
                "zeros": ["01", "1"],
                "powers": ["1E2", "100"],
                "missing": ["NA", "x"],
                "whole": [1, 2],
                "part": [0.1, 1e-7],
                "flag": [True, False],
            }
        )
        dataset = TableDataset(filepath=tmp_path / "a.csv")
        dataset.save(table)
        pd.testing.assert_frame_equal(dataset.load(), table)

    @pytest.mark.parametrize("kind", [object, "string", "category"])
    @pytest.mark.parametrize("text", ["=1+1", "+x", "-2", "@SUM(A1)", "\t=1"])
    def test_no_cell_begins_as_a_formula(self, tmp_path, text, kind):
        dataset = TableDataset(filepath=tmp_path / "a.csv")
        condition = pd.Series([text, "x"], dtype=kind)
        dataset.save(pd.DataFrame({"condition": condition, text: ["a", "b"], "n": [-1, 2]}))
        lines = (tmp_path / "a.csv").read_text().splitlines()
        for cell in (*lines[0].split(",")[:2], *lines[1].split(",")[:1]):
            assert cell.strip('"')[0] not in "=+-@\t\r"
        assert lines[1].endswith(",-1")  # numbers stay numbers
        assert dataset.load()["condition"].tolist()[0].strip() == text.strip()

    def test_unknown_load_args(self, tmp_path):
        (tmp_path / "a.csv").write_text("a\n1\n")
        with pytest.raises(DatasetError, match=r"unknown key 'dtypes'.*'dtype'"):
            TableDataset(filepath=tmp_path / "a.csv", load_args={"dtypes": {}}).load()
