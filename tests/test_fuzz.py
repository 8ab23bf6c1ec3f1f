"""What people type, 500 mutations each: a sentence or a right result, never a bare traceback.

Each mutation is made from its number, the seed, so that a failure names the case to run again.
"""

from __future__ import annotations

import random
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from kedro.config import OmegaConfigLoader
from kedro.pipeline import Pipeline, node
from openpyxl import Workbook

from cyto_kedro.console import expected
from cyto_kedro.datasets.delimited import tidy
from cyto_kedro.datasets.raw import RawFolder
from cyto_kedro.datasets.sheet import SampleSheetDataset
from cyto_kedro.errors import ConfigError, InputError
from cyto_kedro.hooks import CheckHooks
from cyto_kedro.parameters import MODELS, Assay
from cyto_kedro.partitions import check_names
from cyto_kedro.pipelines.ingestion.nodes import plan_assay

pytestmark = pytest.mark.slow

SEEDS = range(500)
CONF = Path(__file__).resolve().parents[1] / "conf"
NASTY = [
    *(
        "NA",
        "None",
        "null",
        "nan",
        "NaN",
        "01",
        "1E2",
        "1e5",
        "TRUE",
        "-",
        "=1+1",
        "+x",
        "@a",
        "'x",
    ),
    *(
        "5 µM",
        "d\u00e9",
        "de\u0301",
        "a;b",
        "a,b",
        "a\tb",
        'a"b',
        "a\nb",
        "  x ",
        "\u00a0",
        "\ufeff",
    ),
    *(
        "10",
        "10.0",
        "0,5",
        "1,000",
        "1/2",
        "5:1",
        "2024-01-02",
        "#REF!",
        "x" * 300,
        "🧪",
        "\u200bx",
    ),
]
VALUES = [*NASTY[:14], "[]", "{}", "-1", "~"]
COLUMNS = ["condition", "replicate", "donor", "plate", "mine"]


def outcome(case: Callable[[], Any]) -> Any:
    """The result, or None where it is refused in a sentence; anything else is a fault."""
    try:
        return case()
    except Exception as error:  # noqa: BLE001 - any that is no sentence is a fault
        said = expected(error)
        assert said is not None and str(said).strip(), f"{type(error).__name__}: {error}"
        assert "Traceback" not in str(said)
        return None


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small films."""
    folder = tmp_path_factory.mktemp("films")
    for fov in ("f1", "f2", "f3"):
        film = np.ones((2, 8, 8), np.uint16)
        path = folder / f"{fov}.tif"
        tifffile.imwrite(path, film, photometric="minisblack", metadata={"axes": "TYX"})
    return folder


ASSAY = Assay.model_validate(
    {
        "raw": {"pattern": "{fov}.tif"},
        "channels": ["A"],
        "populations": {"P": {"role": "target", "channels": ["A"]}},
        "pixel_size_um": 0.65,
        "frame_interval_s": 60,
    }
)


def written(random: random.Random, rows: list[list[str]], folder: Path) -> None:
    """The rows as one of the forms that labs have."""
    for old in folder.glob("sheet.*"):
        old.unlink()
    if random.random() < 0.2:
        book = Workbook()
        for row in rows:
            book.active.append([None if cell == "" else cell for cell in row])
            for cell in book.active[book.active.max_row]:
                cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
        book.save(folder / "sheet.xlsx")
        return
    separator = random.choice(",;\t")
    lines, quoted = [], random.random() < 0.3
    for row in rows:
        cells = [
            '"' + cell.replace('"', '""') + '"' if quoted or re.search(r'[",;\s]', cell) else cell
            for cell in row
        ]
        lines.append(separator.join(cells) + separator * random.choice([0, 0, 2]))
        if random.random() < 0.2:
            lines.append(separator * random.randrange(4))
    text = random.choice(["\n", "\r\n"]).join(lines)
    code = random.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
    (folder / "sheet.csv").write_bytes(text.encode(code))


@pytest.mark.parametrize("seed", SEEDS)
def test_sheets_of_any_text_and_form(films: Path, tmp_path: Path, seed: int) -> None:
    """Whatever is typed into text columns comes back as typed, in every form of the file."""
    dice = random.Random(seed)
    names = dice.sample(COLUMNS, dice.randint(1, len(COLUMNS)))
    rows = [["fov", *names]]
    for fov in ("f1", "f2", "f3"):
        rows.append([fov, *(dice.choice(["", "x", *NASTY]) for _ in names)])
    written(dice, rows, tmp_path)

    def case() -> Any:
        sheet = SampleSheetDataset(filepath=str(tmp_path / "sheet.csv")).load()
        return plan_assay(RawFolder(str(films)), sheet, ASSAY)[1]

    fields = outcome(case)
    if fields is None:
        return
    for at, name in enumerate(names, 1):
        typed = [tidy(row[at]) for row in rows[1:]]
        if name == "replicate":
            typed = [text or row[0] for text, row in zip(typed, rows[1:], strict=True)]
        if typed != (got := fields[name].tolist()):  # 'x, marked so that no program runs it
            typed = [re.sub(r"^'(?=[=+\-@])", "", text) for text in typed]
        assert got == typed, (seed, name)


@pytest.mark.parametrize("seed", SEEDS)
def test_sheets_damaged(films: Path, tmp_path: Path, seed: int) -> None:
    """Bytes lost, doubled or changed: refused, or every field that is planned has one row."""
    dice = random.Random(seed)
    rows = [
        ["fov", "condition", "exclude", "exclude_reason", "time_offset_min", "dose", "et_ratio"]
    ]
    rows += [[f"f{i}", "drug", dice.choice(["", "no"]), "", "10", "0.5", "5:1"] for i in (1, 2, 3)]
    written(dice, rows, tmp_path)
    path = next(tmp_path.glob("sheet.*"))
    content = bytearray(path.read_bytes())
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(content))
        kind = dice.randrange(4)
        if kind == 0:
            del content[at : at + dice.randint(1, 9)]
        elif kind == 1:
            content[at:at] = content[at : at + dice.randint(1, 30)]
        elif kind == 2:
            content[at] = dice.randrange(256)
        else:
            content[at:at] = dice.choice(NASTY).encode()
    path.write_bytes(bytes(content))

    def case() -> Any:
        sheet = SampleSheetDataset(filepath=str(tmp_path / "sheet.csv")).load()
        return plan_assay(RawFolder(str(films)), sheet, ASSAY)

    made = outcome(case)
    if made is not None:
        manifest, fields, _ = made
        assert sorted(manifest.fovs) == sorted(fields["fov"]) and set(manifest.fovs) <= {
            "f1",
            "f2",
            "f3",
        }


SIGNS = [
    *"abzAZ019 ._-~%#&()[]{}+=,;!'@$^`",
    *'<>:"/\\|?*',
    *"\0\n\t\x7f",
    "é",
    "e\u0301",
    "ß",
    "ſ",
    "K",
]
SIGNS += [*("CON", "nul", "com1", "LPT9", "aux.", "..", "\u202e", "\ud800", "🧪", "\u00a0", "İ")]


@pytest.mark.parametrize("seed", SEEDS)
def test_names(tmp_path: Path, seed: int) -> None:
    """A name that passes is a folder here, is none that Windows reserves, and has no twin."""
    dice = random.Random(seed)
    names = ["".join(dice.choices(SIGNS, k=dice.randint(1, 6))) for _ in range(3)]
    if dice.random() < 0.3:
        names[1] = dice.choice([str.upper, str.lower, str.swapcase, str.title])(names[0])
    try:
        check_names("field", names)
    except InputError as error:
        assert "Rename" in str(error)
        return
    for name in names:
        (tmp_path / name).mkdir(exist_ok=True)
        assert not PureWindowsPath(name).is_reserved(), name
        assert not re.search(r'[<>:"/\\|?*\0-\x1f]|[ .]$', name), name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(set(names))
    apart = {unicodedata.normalize("NFC", name).lower() for name in names}
    assert len(apart) == len(set(names))


PIPELINE = Pipeline(
    [node(lambda *blocks: None, [f"params:{name}" for name in MODELS], None, name="reads")]
)


def checked(folder: Path) -> CheckHooks:
    """What is checked of the configuration before a run."""
    loader = OmegaConfigLoader(str(folder), env="e", base_env="base", default_run_env="e")
    hook = CheckHooks()
    hook.after_context_created(SimpleNamespace(config_loader=loader))
    hook.before_pipeline_run({"runner": "SequentialRunner"}, PIPELINE, None)
    return hook


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base's parameters; mutations go to an environment that restates them."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "base").mkdir()
    (folder / "e").mkdir()
    (folder / "base" / "catalog.yml").write_text("x: {type: MemoryDataset}\n")
    for path in (CONF / "base").glob("parameters*.yml"):
        (folder / "base" / path.name).write_bytes(path.read_bytes())
    checked(folder)
    return folder


def blocks_of_base() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((CONF / "base").glob("parameters*.yml")):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def mutate_text(dice: random.Random, text: str) -> str:
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(text))
        kind = dice.randrange(4)
        if kind == 0:
            text = text[:at] + text[at + dice.randint(1, 12) :]
        elif kind == 1:
            text = (
                text[:at] + dice.choice([*"{}[]:,\"'#&*!|>%@`-? \n\t", "null", "${x}"]) + text[at:]
            )
        elif kind == 2:
            lines = text.splitlines()
            lines.insert(dice.randrange(len(lines)), dice.choice(lines))
            text = "\n".join(lines)
        else:
            text = re.sub(r": [\w.]+", f": {dice.choice(VALUES)}", text, count=1)
        text = text or "a"
    return text


@pytest.mark.parametrize("seed", SEEDS)
def test_yaml_damaged(conf: Path, seed: int) -> None:
    dice = random.Random(seed)
    name, block = dice.choice(sorted(blocks_of_base().items()))
    text = yaml.safe_dump({name: block}, sort_keys=False, default_flow_style=dice.random() < 0.3)
    (conf / "e" / "parameters.yml").write_text(mutate_text(dice, text), encoding="utf-8")
    outcome(lambda: checked(conf))


def test_a_block_that_was_lost_is_named(conf: Path, tmp_path: Path) -> None:
    """Kedro would say that ``params:subtraction`` is not in its catalog."""
    folder = Path(shutil.copytree(conf, tmp_path / "conf"))
    (folder / "e" / "parameters.yml").unlink(missing_ok=True)
    path = folder / "base" / "parameters_segmentation.yml"
    path.write_text(path.read_text(encoding="utf-8").partition("subtraction:")[0], encoding="utf-8")
    with pytest.raises(ConfigError, match="no file has the block `subtraction:`"):
        checked(folder)


FREE = {
    "names",
    "markers",
    "populations",
    "fovs",
    "sheet",  # columns of the sample sheet, which refuses slips when it is read
    "segmentation",
    "tracking",
    "weights",
    "assay.markers",
}


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of nested mappings, but those that a person names freely."""
    found: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        for key, each in value.items():
            if not path or path[-1] not in FREE:
                found.append((*path, key))
            found += keys_of(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            found += keys_of(each, (*path, number))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_yaml_keys_misspelt(conf: Path, seed: int) -> None:
    """One slip of one key, at any depth: always refused, and the key is named."""
    dice = random.Random(seed)
    blocks = blocks_of_base()
    *path, key = dice.choice(keys_of(blocks))
    at = dice.randrange(len(key))
    slip = dice.choice(
        [
            key[:at] + key[at + 1 :],
            key[: at + 1] + key[at:],
            key[:at] + dice.choice("aeinrst_") + key[at + 1 :],
        ]
    )
    if slip == key or not slip:
        return
    place: Any = blocks
    for each in path:
        place = place[each]
    place[slip] = place.pop(key)
    (conf / "e" / "parameters.yml").write_text(yaml.safe_dump(blocks, sort_keys=False), "utf-8")
    with pytest.raises(Exception) as failure:
        checked(conf)
    said = expected(failure.value)
    assert said is not None and re.search(rf"['.\s]{re.escape(slip)}\b", str(said)), (
        path,
        slip,
        said,
    )
