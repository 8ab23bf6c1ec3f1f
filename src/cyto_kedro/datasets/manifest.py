"""Ingestion's manifest: which partitions exist, and which raw files they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from cyto_kedro.datasets.raw import RawChannel
from cyto_kedro.partitions import Plan
from cyto_kedro.view import View


class Manifest(Plan):
    """The plan, the assay's populations, and the raw channels."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    #: population -> effector, target or other
    roles: dict[str, str]
    #: population -> channels it is segmented from
    sources: dict[str, tuple[str, ...]]
    #: population -> whether its channels are averaged (mean) or kept apart (separate)
    combine: dict[str, Literal["mean", "separate"]] = Field(default_factory=dict)
    #: population -> populations taken out of its mask
    subtract: dict[str, tuple[str, ...]]
    #: marker -> channel
    markers: dict[str, str]
    #: populations of which the death marker does not tell: their cells are taken to live
    unmarked: tuple[str, ...] = ()
    #: what of the raw films is analysed
    view: View = View()
    #: whether images that are quickly made are stored
    keep_images: Literal["virtual", "stored"] = "virtual"
    #: where each (fov, channel) lies in the raw files
    raw: tuple[RawChannel, ...] = ()

    @property
    def channel_roles(self) -> dict[str, str]:
        """How each raw channel is coloured: by the population it shows, or as the death marker."""
        roles = {
            channel: self.roles[population]
            for population, channels in self.sources.items()
            for channel in channels
            if channel in self.channels and self.roles[population] != "other"
        }
        if "death" in self.markers:
            roles[self.markers["death"]] = "death"
        return roles

    def fingerprint(self) -> dict[str, Any]:
        """What the ledger hashes: all but how images are kept, which changes no pixel."""
        names = type(self).model_fields.keys() - {"keep_images"}
        return {name: getattr(self, name) for name in names}

    def for_group(self, group: Mapping[str, str]) -> Self:
        """What a group may know: its own field and population, and no raw files.

        What a group does not see cannot make its results stale: a field that is added later leaves
        the others current.
        """
        update: dict[str, Any] = {"raw": ()}
        if "." not in group.get("tile", ""):  # no tile: what it makes does not depend on the cut
            update["tiling"] = None
        if "fov" in group:
            update["fovs"] = {group["fov"]: self.fovs[group["fov"]]}
        if "population" in group:
            name = group["population"]
            update["populations"] = (name,)
            for field in ("roles", "sources", "subtract"):
                update[field] = {name: getattr(self, field)[name]}
            update["unmarked"] = tuple(each for each in self.unmarked if each == name)
            update["combine"] = {name: self.combine[name]} if name in self.combine else {}
        return self.model_copy(update=update)
