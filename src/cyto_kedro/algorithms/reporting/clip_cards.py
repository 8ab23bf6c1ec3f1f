"""Clips in the report: a table of them, each opened by a click, without any script."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from heapq import nsmallest
from typing import Any
from urllib.parse import quote

from cyto_kedro.algorithms.reporting.findings import BLANK
from cyto_kedro.images import Clip

MOST_CLIPS = 200  # listed in the page; all are in the folder clips beside it
INSIDE = 1_500_000  # characters of clips within the page; others are linked in the folder

EVENTS = {"kill": "kill", "death": "death in doubt", "contact": "long contact"}


def clip_cards(clips: Iterable[Clip]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """What the page shows of the weightiest clips, and how many there are of each field.

    Of clips that come one by one, no more are held than are listed: those of deaths first, by weight,
    then contacts. ``src`` is the clip itself as long as there is room, else blank; ``href`` leads to
    the folder.
    """
    of_field: Counter[str] = Counter()

    def counted() -> Iterator[Clip]:
        for clip in clips:
            of_field[clip.fov] += 1
            yield clip

    # of equal weight: in the order of fields
    ranked = nsmallest(MOST_CLIPS, counted(), lambda clip: -round(clip.weight, 1))
    made, room = [], INSIDE
    for clip in ranked:
        data = b64encode(clip.webp).decode()
        room -= len(data)
        made.append(
            {
                "name": clip.name,
                "title": clip.title,
                "caption": clip.caption,
                "src": f"data:image/webp;base64,{data}" if room >= 0 else "",
                "href": f"{folder_page(clip.fov)}#{clip.name}",
                "cells": [
                    *(EVENTS[clip.event], clip.fov, f"{clip.population} {clip.track_id}"),
                    f"{clip.by_population} {clip.by_track_id}" if clip.by_population else BLANK,
                    *(f"{clip.weight:.2f}" if clip.event == "kill" else BLANK, str(clip.frame)),
                ],
            }
        )
    return made, of_field


def folder_page(fov: str) -> str:
    """The page of all clips of a field, beside the report."""
    return f"clips/{quote(fov)}.html"


_LINK = re.compile(r'<a xlink:href="#(clip-[^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
_UNSEEN = "stroke-opacity: 0.004"  # of `core.style.HIT`


def linked(svg: str, names: Collection[str]) -> str:
    """A figure without the links to clips that are not in the page, nor what was drawn for them."""

    def kept(link: re.Match[str]) -> str:
        if link[1] in names:
            return link[0].replace(' target="_blank"', "")  # the clip is in this page
        return "" if _UNSEEN in link[2] else link[2]

    return _LINK.sub(kept, svg)


def links_alone(svg: str) -> str:
    """What of a figure is there to be clicked on, to lie over its bitmap; blank without any."""
    found = [link[0] for link in _LINK.finditer(svg) if _UNSEEN in link[2]]
    box = re.search(r'viewBox="[^"]*"', svg)
    if not found or box is None:
        return ""
    inner = re.sub(r' clip-path="[^"]*"', "", "\n".join(found))
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]}>{inner}</svg>'
