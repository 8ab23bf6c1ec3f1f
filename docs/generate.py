"""What MkDocs asks while it builds the site: pages made from the code, kept nowhere else.

`parameters.md`, `tables.md` and the pages under `api/` come from parameter models, table schemas and
docstrings. A new algorithm or column is in them without touching a page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # MkDocs loads this file alone

import make_api  # noqa: E402
import make_parameters  # noqa: E402
import make_tables  # noqa: E402
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

PAGES: dict[str, Callable[[], str]] = {
    "parameters.md": make_parameters.main,
    "tables.md": make_tables.main,
    "api/algorithms.md": make_api.algorithms_page,
    "api/blocks.md": make_api.blocks_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site's."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files
