"""The clips of a field in one page, which opens in any browser and needs no other file."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cyto_kedro.datasets.atomic import FileDataset
from cyto_kedro.errors import InputError
from cyto_kedro.images import Clip
from cyto_kedro.kedro_private import HTMLPreview

FACTS = '<script type="application/json" id="clips">'  # before what the clips show
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:15px/1.4 sans-serif;margin:1.2rem;background:#15191c;color:#e4e7ea}
main{display:flex;flex-wrap:wrap;gap:1.2rem}figure{margin:0;max-width:{{ width }}px}
figure:target{outline:3px solid #ff6a1a}img{display:block;width:100%}
figcaption{font-size:.85rem;color:#a3acb4}h3{font-size:1rem;margin:.3rem 0 0}</style></head>
<body><h1>{{ title }}</h1><main>
{%- for clip in clips %}
<figure id="{{ clip.name }}"><img alt="{{ clip.title }}" src="data:image/webp;base64,{{ clip.webp }}">
<h3>{{ clip.title }}</h3><figcaption>{{ clip.caption }}</figcaption></figure>
{%- endfor %}
{%- if not clips %}<p>No death, kill or long contact to show.</p>{% endif %}
</main><script type="application/json" id="clips">{{ facts|safe }}</script></body></html>
"""


class ClipsDataset(FileDataset[Sequence[Clip], list[Clip]]):
    """Clips of one field as an HTML page; what they show is in it as JSON too, to be read back."""

    def save(self, data: Sequence[Clip]) -> None:
        """Write the page."""
        from jinja2 import Environment, StrictUndefined

        facts = [{k: v for k, v in asdict(clip).items() if k != "webp"} for clip in data]
        page = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
        text = page.render(
            title=f"Clips of {data[0].fov}" if data else "No clips",
            width=320,
            clips=[{**asdict(clip), "webp": b64encode(clip.webp).decode()} for clip in data],
            facts=json.dumps(facts, allow_nan=False).replace("<", "\\u003c"),
        )
        self._write_bytes(text.encode())

    def load(self) -> list[Clip]:
        """The clips. Raises InputError if the file is not a page of clips."""
        text, facts = self._page()
        contents = re.findall(r'src="data:image/webp;base64,([^"]*)"', text)
        if len(facts) != len(contents):
            raise self._no_page()
        return [
            Clip(webp=b64decode(content), **fact)
            for content, fact in zip(contents, facts, strict=True)
        ]

    def names(self) -> list[str]:
        """What the clips are called, none of them decoded. Raises InputError as `load` does."""
        return [fact["name"] for fact in self._page()[1]]

    def _page(self) -> tuple[str, list[dict[str, Any]]]:
        """The text of the page, and what its clips show."""
        with self._read() as file:
            text = file.read().decode()
        start = text.rfind(FACTS)
        if start < 0:
            raise self._no_page()
        return text, json.loads(text[start + len(FACTS) :].partition("</script>")[0])

    def _no_page(self) -> InputError:
        return InputError(f"{self.location} is no page of clips; kedro run --pipelines films")

    def preview(self) -> HTMLPreview:
        """The page."""
        with self._read() as file:
            return HTMLPreview(file.read().decode())
