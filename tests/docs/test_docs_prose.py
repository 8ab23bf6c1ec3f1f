"""The pages can be read at once: short sentences, the field's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
MOST_WORDS = 40
# what the field calls hazard, fatal contact, attributed
NOT_OURS = r"\b(doom(s|ed|ing)?|struck|laid to)\b"


def sentences(text: str) -> list[str]:
    """The sentences of a page's prose: no code, no tables, no headings, no addresses of links."""
    text = re.sub(r"^( *)```.*?^ *```$", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(    |\||#).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    items = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text)
    ends = r"(?<=[.!?])(?:\*\*)?\s+"
    return [each for item in items for each in re.split(ends, " ".join(item.split())) if each]


def test_sentences_are_told_apart() -> None:
    text = (
        "# A\n\nOne two. Three `four.five` six: seven.\n\n```\nnot. Counted\n```\n- Eight\n- nine\n"
    )
    found = ["One two.", "Three `four.five` six: seven.", "- Eight", "- nine"]
    assert sentences(text) == found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_sentence_is_longer_than_a_breath(path: Path) -> None:
    long = [
        f"{len(each.split())} words: {each}"
        for each in sentences(path.read_text(encoding="utf-8"))
        if len(each.split()) > MOST_WORDS
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("folder", ["docs", "src", "conf", "notebooks"])
def test_words_are_the_fields(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".md", ".py", ".yml", ".ipynb")
        for match in re.finditer(NOT_OURS, path.read_text(encoding="utf-8"), re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_every_page_opens_with_an_example_and_shows_a_picture() -> None:
    without = {"accuracy.md", "speed.md", "design.md", "cluster.md", "runs.md", "tried.md"} | {
        "tiles.md",
        "trained_networks.md",
    }
    for path in (ROOT / "docs").glob("*.md"):
        shown = re.findall(r"!\[([^\]]+)\]\((pictures/[\w.]+)\)", path.read_text(encoding="utf-8"))
        assert shown or path.name in without, f"{path.name} shows no picture"
        assert all((ROOT / "docs" / target).is_file() for _, target in shown)
    size = sum(each.stat().st_size for each in (ROOT / "docs" / "pictures").iterdir())
    assert size < 2_000_000
