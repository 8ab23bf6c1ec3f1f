"""Partition ids, and the plan of a run: which fields, blocks and tiles there are.

A partition id is its grain's keys joined by ``/``: ``<fov>/<channel>/<block>`` for an image,
``<fov>/<population>`` for tracks. Which ids exist is planned by ingestion (`Plan`), never read off a
folder, so that stray files cannot enter an analysis; a worker opens its own partitions by id.

At the key ``tile`` stands a block, or a part of its area, ``t0000-0049.y0000-x2048`` (`Tiling`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cyto_kedro.blocks import Block, Tile, Tiling
from cyto_kedro.errors import ConfigError, InputError, PartitionError, unknown

KEYS = ("fov", "channel", "population", "block", "tile")
MAX_NAME = 150  # bytes; 255 with the endings that files get
_DEVICES = r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]"

Grain = tuple[str, ...]


def parse_grain(text: str | Sequence[str]) -> Grain:
    """``"fov/channel/block"`` (or a list) as a tuple of keys.

    Raises
    ------
    ConfigError
        If a key is not one of `KEYS`.
    """
    keys = tuple(text.split("/")) if isinstance(text, str) else tuple(text)
    for key in keys:
        if key not in KEYS:
            raise ConfigError(f"grain {text!r}: {unknown('partition key', key, KEYS)}")
    return keys


def check_name(what: str, name: str) -> str:
    """Return `name` if it can be a folder's name on every file system.

    Raises
    ------
    InputError
        If Linux, macOS, Windows or a network share cannot hold it, or would change it.
    """
    if why := _unfit(name):
        raise InputError(
            f"{what} {name!r} cannot be used: it becomes a folder's name, and {why}, which not every "
            "file system holds. Rename it."
        )
    return name


def _unfit(name: str) -> str:
    """Why not every file system holds `name`; empty where each does."""
    if not name or name.startswith("."):
        return "it is empty or begins with a dot"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a space, or ends with a dot"
    if bad := re.search(r'[/\\<>:"|?*\x00-\x1f\x7f]', name):
        return f"it holds {bad[0]!r}"
    if re.fullmatch(_DEVICES, name.split(".")[0].strip(), re.IGNORECASE):
        return "it is a device's name on Windows"
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in name):
        return "it holds bytes that are no Unicode text"
    if len(name.encode()) > MAX_NAME:
        return f"it is longer than {MAX_NAME} bytes"
    return ""


def check_names(what: str, names: Iterable[str]) -> None:
    """Check each name, and that no two of them are one folder somewhere.

    Raises
    ------
    InputError
        See `check_name`; or if two differ in capitals or in Unicode's form only, which are one folder
        on Windows and macOS, so that one's results would replace the other's.
    """
    folders: dict[str, str] = {}
    for name in names:
        check_name(what, name)
        other = folders.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            raise InputError(
                f"{what}s {other!r} and {name!r} differ in capitals or in the form of Unicode signs "
                "only: they would be one folder on Windows and macOS, one's results replacing the "
                "other's. Rename one."
            )


class PlannedFov(BaseModel):
    """What the plan knows of a field of view."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    n_frames: int = Field(ge=1)
    height_px: int = Field(ge=1)
    width_px: int = Field(ge=1)
    pixel_size_um: float | None = Field(default=None, gt=0)
    excluded: tuple[int, ...] = Field(
        default=(), description="frames that the sample sheet excludes: they hold no cells"
    )
    frame_interval_s: float | None = Field(
        default=None, gt=0, description="median time between frames; null: unknown"
    )

    lacking: tuple[str, ...] = Field(
        default=(), description="channels that were not filmed in this field"
    )

    def excluded_in(self, block: Block) -> list[int]:
        """Places within a block of its excluded frames."""
        return [each - block.start for each in self.excluded if block.start <= each < block.stop]

    def used_in(self, block: Block) -> list[int]:
        """Places within a block of its other frames."""
        left_out = set(self.excluded_in(block))
        return [each for each in range(len(block)) if each not in left_out]


class Plan(BaseModel):
    """Which partitions exist: fields, channels, populations, and the length of a block."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    fovs: dict[str, PlannedFov]
    channels: tuple[str, ...]
    populations: tuple[str, ...]
    block_length: int = Field(ge=1)
    tiling: Tiling | None = None

    @field_validator("fovs", "channels", "populations")
    @classmethod
    def _names(cls, value: Any) -> Any:
        check_names("name", value)
        return value

    def blocks(self, fov: str) -> list[Block]:
        """The blocks of a field's film."""
        return Block.cut(self.fovs[fov].n_frames, self.block_length)

    def windows(self, fov: str) -> list[tuple[slice, slice]]:
        """Rows and columns of a field's tiles; one for a field that stays whole.

        Raises
        ------
        ConfigError
            If the overlap is in um and the field's pixel size unknown, or half a tile or more.
        """
        planned = self.fovs[fov]
        size, pixel = (planned.height_px, planned.width_px), planned.pixel_size_um
        if self.tiling is None:
            return [(slice(0, size[0]), slice(0, size[1]))]
        try:
            rows, columns = (self.tiling.cut(each, pixel) for each in size)
        except ConfigError as error:
            raise ConfigError(f"field {fov!r}: {error}") from error
        return [(slice(*y), slice(*x)) for y in rows for x in columns]

    def window(self, fov: str, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns of a tile of a field.

        Raises
        ------
        PartitionError
            If the plan has no such tile.
        """
        found = self.windows(fov)
        for rows, columns in found:
            if (rows.start, columns.start) == (tile.y, tile.x) and tile.whole == (len(found) == 1):
                return rows, columns
        raise PartitionError(f"field {fov!r} has no tile {str(tile)!r} in this plan")

    def tiles(self, fov: str, block: Block) -> list[Tile]:
        """The tiles of a block."""
        found = self.windows(fov)
        return [Tile(block, y.start, x.start, len(found) == 1) for y, x in found]

    def groups(self, by: Grain, within: Mapping[str, str] | None = None) -> list[dict[str, str]]:
        """Every group of the grain `by`, as ``{key: value}``, in order.

        Parameters
        ----------
        within
            Keys already fixed; only groups that agree with them are returned. A tile fixes its block.
        """
        within = dict(within or {})
        if "tile" in within:
            within["block"] = str(Tile.parse(within["tile"]).block)
        found = []
        fovs = [within["fov"]] if "fov" in within else list(self.fovs)
        if "fov" not in by:
            if "block" in by or "tile" in by:
                raise ConfigError(
                    f"grain {'/'.join(by)}: blocks are of a field, so fov must be in it"
                )
            fovs = fovs[:1]
        for fov in fovs:
            options: list[Sequence[str]] = []
            for key in by:
                if key in within:
                    options.append([within[key]])
                elif key == "fov":
                    options.append([fov])
                elif key == "block":
                    options.append([str(block) for block in self.blocks(fov)])
                elif key == "tile":
                    blocks = self.blocks(fov)
                    if "block" in within:
                        blocks = [Block.parse(within["block"])]
                    options.append([str(each) for b in blocks for each in self.tiles(fov, b)])
                else:
                    options.append(self.channels if key == "channel" else self.populations)
            found += [dict(zip(by, values, strict=True)) for values in product(*options)]
        return found

    def ids(self, grain: Grain, within: Mapping[str, str] | None = None) -> list[str]:
        """The planned partition ids of `grain` (those that agree with `within`)."""
        return [partition_id(grain, group) for group in self.groups(grain, within)]


def partition_id(grain: Grain, group: Mapping[str, str]) -> str:
    """The id of `group` at `grain`."""
    return "/".join(group[key] for key in grain)


def parse_id(grain: Grain, identity: str) -> dict[str, str]:
    """The keys that a partition id holds.

    Raises
    ------
    PartitionError
        If `identity` has another number of parts than `grain`.
    """
    parts = identity.split("/")
    if len(parts) != len(grain):
        raise PartitionError(f"partition {identity!r} is not of the grain {'/'.join(grain)}")
    return dict(zip(grain, parts, strict=True))
