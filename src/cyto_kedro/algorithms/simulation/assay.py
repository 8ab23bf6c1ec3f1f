"""A simulated cytotoxicity assay: films of effectors killing targets, and their whole truth."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cyto_kedro.algorithms.base import Algorithm
from cyto_kedro.algorithms.simulation import blemishes, killing, presets, render, truth
from cyto_kedro.algorithms.simulation.params import Camera, Effectors, Killing, Mishaps, Targets
from cyto_kedro.algorithms.simulation.world import World, simulate
from cyto_kedro.core.contract import Images, Labels
from cyto_kedro.errors import ConfigError, unknown

_MOTION, _LOOK, _TIME, _NOISE, _BLEMISHES, _HIDDEN = range(6)  # independent random streams
_MOST_CROWDED = 0.75  # fraction of the plane covered by cells


class Frame(NamedTuple):
    """A frame of the film: images and masks by channel and population, and each cell's track."""

    image: dict[str, NDArray]
    label: dict[str, NDArray[np.uint32]]
    track_id: NDArray[np.int64]


class Simulated(truth.Truth):
    """A film, its masks (label = track_id), timestamps from the first frame, and its truth."""

    image: Images
    label: Labels
    time_s: NDArray[np.float64]
    pixel_size_um: float


class SimulatedAssay(Algorithm):
    """Make one field of a killing assay from a seed.

    Effectors and targets are persistent random walkers with smoothly changing outlines on a plane
    larger than the view. Effectors stick to living targets for a while, and kill by
    `killing.rule`. Cells are filmed with blur, uneven light, bleaching, noise and death dye that
    spills onto neighbours.

    A death's true frame is the first frame at or after the moment the membrane breaks (column
    `marker_onset_min` of the deaths): from that moment on the dye rises as
    ``1 - exp(-t / killing.rise_min)``, so in that frame it is above 0 and, with the default rise
    and interval, below 0.4 of its plateau. `marker_half_frame` is the first frame at or above
    half of it. Cells that are dead when first seen have no death.

    A track is one stay in view: a cell that leaves and comes back is another track (column `cell`
    joins them). A cell is in view while at least 12 pixels of its mask are. While it is out of
    focus, or in a dropped frame, its track has a gap.

    `preset: crowded` is a film as hard as life (see `presets.crowded`); what is given beside it
    counts. All of its hardships are parameters, and off without it.

    Equal parameters and fov give equal bytes on one version of numpy and scipy.

    Notes
    -----
    What is made, beside image (uint8 or uint16: effectors, targets, death dye), label and times:

    ``track_points``, ``tracks``
        Positions are the outlines' centres, which may lie outside of the view. Extra columns: cell,
        dead, marker (0 to 1), area_px (whole outline); cell, dead_at_first_sight.
    ``touches``
        Pairs of cells in view whose outlines are at most `touch_distance_um` apart, measured on
        the continuous outlines; as they join true tracks, they are `schemas.Contacts`: side a the
        effector, or the smaller track_id within a population. `contact_length`: outline within that
        reach of the other cell, mean of the two sides.
    ``deaths``
        With cause (attack, spontaneous), marker_onset (= frame), marker_onset_min,
        marker_half_frame, hit_frame (null if spontaneous), cell.
    ``kills``
        With damage_share. `contact_frames` are true contacts up to the death. A hit while either is
        outside of the view gives no row.

    Examples
    --------
    >>> film = SimulatedAssay(seed=1, n_frames=2, size_px=96)(fov="A1")
    >>> sorted(film["image"]), film["label"]["TCell"].shape, film["time_s"].round().tolist()
    (['CancerCell', 'Dead', 'TCell'], (2, 96, 96), [0.0, 119.0])
    """

    preset: str | None = Field(None, description="named parameters to start from: crowded")
    seed: int = Field(0, ge=0, description="of all randomness")
    n_frames: int = Field(40, ge=1, description="length of the film")
    size_px: int = Field(192, ge=16, description="height and width of the view")
    pixel_size_um: float = Field(0.65, gt=0, description="side of a pixel")
    frame_interval_min: float = Field(2.0, gt=0, description="mean time between frames")
    time_jitter: float = Field(0.01, ge=0, lt=0.3, description="sd of an interval, relative")
    n_effectors: int = Field(10, ge=0, description="mean number in view")
    n_targets: int = Field(14, ge=0, description="mean number in view")
    touch_distance_um: float = Field(1.0, gt=0, description="largest gap of a contact")
    effector_channel: str = Field("TCell", description="its name, and the population's")
    target_channel: str = Field("CancerCell", description="its name, and the population's")
    death_channel: str = Field("Dead", description="its name")
    effectors: Effectors = Effectors()
    targets: Targets = Targets()
    killing: Killing = Killing()
    camera: Camera = Camera()
    mishaps: Mishaps = Mishaps()

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("preset") is None:
            return given
        name = given["preset"]
        if name not in presets.PRESETS:
            raise ValueError(unknown("preset", str(name), presets.PRESETS))
        args = {"n_frames": presets.CROWDED_FRAMES, **given}
        length = args["n_frames"] if isinstance(args["n_frames"], int) else 1  # else refused below
        return presets.merged(presets.PRESETS[name](length), args)

    @property
    def _margin_um(self) -> float:
        """Hidden rim of the plane: wide enough that no contact in view crosses its seam."""
        return 1.5 * max(self.effectors.diameter_um, self.targets.diameter_um) + (
            2 * self.touch_distance_um
        )

    def _rng(self, fov: str, *stream: int) -> np.random.Generator:
        key = (zlib.crc32(fov.encode()), *stream)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def world(self, fov: str) -> World:
        """Simulate positions, outlines, contacts and deaths of a field; no pixels yet."""
        rng = self._rng(fov, _TIME)
        steps = 1 + self.time_jitter * np.clip(rng.standard_normal(self.n_frames - 1), -3, 3)
        time_s = np.concatenate([[0], 60 * self.frame_interval_min * steps.cumsum()])
        if self.mishaps.pause_frame is not None:
            time_s[self.mishaps.pause_frame :] += 60 * self.mishaps.pause_min
        time_s = np.round(time_s, 3)
        view = self.size_px * self.pixel_size_um
        side = view + 2 * self._margin_um
        counts = [round(n * (side / view) ** 2) for n in (self.n_effectors, self.n_targets)]
        sizes = [kind.diameter_um for kind in (self.effectors, self.targets)]
        covered = sum(n * np.pi * (d / 2) ** 2 for n, d in zip(counts, sizes, strict=True))
        if covered > _MOST_CROWDED * side**2:
            raise ConfigError(
                f"n_effectors={self.n_effectors} and n_targets={self.n_targets} would cover "
                f"{covered / side**2:.0%} of the plane, so cells could not keep apart: at most "
                f"{_MOST_CROWDED:.0%} can work. Take fewer or smaller cells, or a larger size_px"
            )
        return simulate(
            self._rng(fov, _MOTION), time_s / 60, (counts[0], counts[1]), self.effectors,
            self.targets, self.killing, side, self._margin_um, self.touch_distance_um,
            self.frame_interval_min,
        )  # fmt: skip

    def centres_px(self, world: World) -> NDArray[np.float64]:
        """Cell centres (T, n, 2) as (y, x) in camera pixels, stage drift included."""
        moved = world.position_um + self._stage_um()[:, None]
        return (np.mod(moved, world.side_um) - world.margin_um) / self.pixel_size_um - 0.5

    def _stage_um(self) -> NDArray[np.float64]:
        """(T, 2): how far the stage has moved the picture, (y, x)."""
        frames = np.arange(self.n_frames)[:, None]
        moved = np.asarray(self.camera.drift_px_per_frame) * self.pixel_size_um * frames
        if self.mishaps.jump_frame is not None:
            jump = np.asarray(self.mishaps.jump_px) * self.pixel_size_um
            moved = moved + (frames >= self.mishaps.jump_frame) * jump
        return moved

    def iter_frames(self, world: World, fov: str) -> Iterator[Frame]:
        """Film `world`, one frame at a time: memory holds one frame."""
        counts = [int((~world.is_target).sum()), int(world.is_target.sum())]
        kinds = (self.effectors, self.targets)
        parts = [
            np.repeat([float(getattr(kind, name)) for kind in kinds], counts)
            for name in ("brightness", "brightness_cv", "texture", "clumps")
        ]
        look = render.draw_look(self._rng(fov, _LOOK), *parts)
        field = render.illumination(self.size_px, self.camera.unevenness)
        centres, stage = self.centres_px(world), self._stage_um()
        plane = blemishes.Plane(world.side_um, world.margin_um, self.size_px, self.pixel_size_um)
        extra = blemishes.draw_blemishes(
            self._rng(fov, _BLEMISHES), self.camera, plane, self.n_frames
        )
        mean = np.array(
            [self.effectors.brightness, self.targets.brightness, self.camera.death_brightness]
        )
        filmed = blemishes.filmed(self.size_px, self.camera.unfilmed_px)
        hidden = blemishes.draw_hidden(
            self._rng(fov, _HIDDEN), kinds, tuple(counts), world.time_min, self.mishaps
        )
        channels = (self.effector_channel, self.target_channel, self.death_channel)
        if len(set(channels)) < 3:
            raise ConfigError(f"the three channels need three names, got {channels}")
        track = np.zeros(len(world.is_target), dtype=np.int64)
        last = [0, 0]
        for frame in range(self.n_frames):
            at = np.where(hidden[frame][:, None], -1e6, centres[frame])  # far out of view
            shapes = render.Shapes(
                at, world.radius_um[frame] / self.pixel_size_um, world.coefs[frame]
            )
            own_dye = killing.own_dye(world.fate.onset, world.time_min[frame], self.killing)
            light, index = render.draw(
                shapes, look, own_dye, world.marker[frame], world.is_target, self.size_px, filmed
            )
            seen = np.zeros(len(track) + 1, dtype=bool)
            for marks in index:
                seen[np.unique(marks)] = True
            track[~seen[1:] & ~hidden[frame]] = 0
            for kind in (0, 1):
                new = np.flatnonzero(seen[1:] & (track == 0) & (world.is_target == kind))
                track[new] = last[kind] + 1 + np.arange(len(new))
                last[kind] += len(new)
            lookup = np.concatenate([[0], track]).astype(np.uint32)
            spread = blemishes.point_spread_um(self.camera, world.time_min[frame])
            besides = extra.light(frame, self.camera, stage[frame], plane)
            if besides is not None:
                besides = [
                    each * np.float32(level) for each, level in zip(besides, mean, strict=True)
                ]
            levels = render.expose(
                light, frame, self.camera, self.pixel_size_um, field, spread, besides
            )
            dark = ~filmed | (frame in self.mishaps.dropped_frames)
            rng = self._rng(fov, _NOISE, frame)
            images = [render.detect(rng, level, self.camera) for level in levels]
            for image in images:
                image[dark] = 0
            yield Frame(
                dict(zip(channels, images, strict=True)),
                {name: lookup[marks] for name, marks in zip(channels[:2], index, strict=True)},
                np.where(hidden[frame], 0, track),
            )

    def tables(self, world: World, fov: str, track_id: NDArray[np.int64]) -> truth.Truth:
        """Truth tables of `world`, given the tracks (T, n) that `iter_frames` yielded."""
        view = truth.View(
            fov,
            (self.effector_channel, self.target_channel),
            track_id,
            self.centres_px(world),
            self.size_px,
            self.pixel_size_um,
        )
        return truth.tables(world, view, self.killing.rise_min)

    def run(self, fov: str = "sim") -> Simulated:
        """Simulate the field `fov`; every name gives another film of the same assay.

        Raises
        ------
        ConfigError
            If the cells do not fit the plane, or two channels have one name.
        """
        world = self.world(fov)
        shape = (self.n_frames, self.size_px, self.size_px)
        image: dict[str, NDArray] = {}
        label: dict[str, NDArray] = {}
        tracks = []
        for number, frame in enumerate(self.iter_frames(world, fov)):
            for film, now in ((image, frame.image), (label, frame.label)):
                for name, plane in now.items():
                    film.setdefault(name, np.zeros(shape, plane.dtype))[number] = plane
            tracks.append(frame.track_id)
        return {
            "image": image,
            "label": label,
            "time_s": np.round(world.time_min * 60, 3),
            "pixel_size_um": self.pixel_size_um,
            **self.tables(world, fov, np.stack(tracks)),
        }
