"""Parameters of the simulated assay: how cells look, move, kill and are filmed.

Lengths are µm, times minutes, brightness grey levels of an 8-bit image.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

KillRuleName = Literal["single_hit", "additive_hits", "long_delay", "spontaneous_only"]


class Params(BaseModel):
    """Frozen and strict: an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Cells(Params):
    """One population: size, shape, motility and brightness of its cells."""

    diameter_um: float = Field(gt=0, description="mean diameter of the disc of equal area")
    diameter_cv: float = Field(0.1, ge=0, lt=0.5, description="sd / mean of the diameter")
    speed_um_per_min: float = Field(ge=0, description="root mean square speed of a free cell")
    persistence_min: float = Field(gt=0, description="correlation time of the velocity")
    mobility: float = Field(gt=0, description="how easily it is pushed, against the others'")
    irregularity: float = Field(ge=0, le=0.3, description="sd of the outline's second harmonic")
    deformation_min: float = Field(gt=0, description="correlation time of the outline")
    brightness: float = Field(gt=0, description="grey levels at the centre of a mean cell")
    brightness_cv: float = Field(0.3, ge=0, description="sd of the log brightness over cells")
    texture: float = Field(0.2, ge=0, le=0.5, description="relative sd of the inner texture")
    clumps: float = Field(0.0, ge=0, le=1.5, description="sd of the log of bright clumps within")
    speed_cv: float = Field(0.0, ge=0, le=1.5, description="sd of the log speed over cells")
    cluster_size: float = Field(1.0, ge=1, description="mean number put down together")
    cling_rate_per_min: float = Field(
        0.0, ge=0, description="rate of sticking to one of its kind while touching; 0: never"
    )
    cling_min: float = Field(60.0, gt=0, description="mean time stuck to one of its kind")
    pile: float = Field(
        0.0, ge=0, le=0.5, description="how deep it lies over its kind, share of the diameter"
    )
    hidden_per_h: float = Field(0.0, ge=0, description="times per hour that it leaves the focus")
    hidden_min: float = Field(4.0, gt=0, description="mean time out of focus")
    death_rate_per_h: float = Field(ge=0, description="spontaneous deaths per living cell and hour")
    dead_at_start: float = Field(ge=0, le=1, description="fraction already dead at time 0")


class Effectors(Cells):
    """Small and fast; they stick to living targets for a while."""

    diameter_um: float = Field(7.2, gt=0)
    speed_um_per_min: float = Field(2.5, ge=0)
    persistence_min: float = Field(4.0, gt=0)
    mobility: float = Field(1.0, gt=0)
    irregularity: float = Field(0.12, ge=0, le=0.3)
    deformation_min: float = Field(4.0, gt=0)
    brightness: float = Field(110.0, gt=0)
    death_rate_per_h: float = Field(0.0, ge=0)
    dead_at_start: float = Field(0.0, ge=0, le=1)
    bind_rate_per_min: float = Field(1.0, ge=0, description="rate of sticking while touching")
    dwell_min: float = Field(10.0, gt=0, description="mean time stuck to a target")
    rest_min: float = Field(6.0, ge=0, description="after letting go, time without sticking")
    bound_speed_fraction: float = Field(0.15, ge=0, le=1, description="of the free speed")
    overlap: float = Field(
        0.0, ge=0, le=0.9, description="how deep it lies on targets at most, share of its diameter"
    )


class Targets(Cells):
    """Large and slow."""

    diameter_um: float = Field(13.0, gt=0)
    speed_um_per_min: float = Field(0.25, ge=0)
    persistence_min: float = Field(20.0, gt=0)
    mobility: float = Field(0.15, gt=0)
    irregularity: float = Field(0.1, ge=0, le=0.3)
    deformation_min: float = Field(30.0, gt=0)
    brightness: float = Field(95.0, gt=0)
    death_rate_per_h: float = Field(0.07, ge=0)
    dead_at_start: float = Field(0.03, ge=0, le=1)


class Killing(Params):
    """How effectors kill, and what a death looks like.

    ``single_hit``: every minute of contact an effector hits with a rate; the first hit kills
    after a delay. ``long_delay``: the same with a long, variable delay, so that the killer has
    often left. ``additive_hits``: minutes of contact add up over all effectors; the target dies
    a delay after the sum passes a threshold. ``spontaneous_only``: effectors do no harm.
    """

    rule: KillRuleName = Field("single_hit", description="how effectors kill")
    hit_rate_per_min: float = Field(0.05, ge=0, description="single_hit and long_delay")
    threshold_contact_min: float = Field(24.0, gt=0, description="additive_hits")
    delay_min: float | None = Field(
        None, gt=0, description="mean from the hit to the membrane's break; None: 10, long_delay 40"
    )
    delay_cv: float = Field(0.4, gt=0, description="sd / mean of the delay (gamma distributed)")
    rise_min: float = Field(4.0, gt=0, description="time constant of the death dye's uptake")
    rounding_lead_min: float = Field(4.0, ge=0, description="rounding up starts before the break")
    rounding_min: float = Field(6.0, gt=0, description="time constant of rounding and shrinking")
    shrink: float = Field(0.2, ge=0, lt=0.8, description="lost fraction of the diameter")
    fade: float = Field(0.4, ge=0, le=1, description="fraction of its own dye a dead cell loses")
    fade_min: float = Field(20.0, gt=0, description="time constant of that loss")

    @property
    def mean_delay_min(self) -> float:
        """The delay in force."""
        return self.delay_min or (40.0 if self.rule == "long_delay" else 10.0)


class Camera(Params):
    """Optics, dyes and camera, the same in all channels unless a name says otherwise."""

    bit_depth: Literal[8, 16] = Field(8, description="16: levels are stretched by 257")
    psf_sigma_um: float = Field(0.5, ge=0, description="sd of the Gaussian point spread")
    haze: float = Field(0.12, ge=0, description="share of light out of focus, spread by haze_um")
    haze_um: float = Field(5.0, gt=0, description="sd of the out-of-focus light")
    offset: float = Field(8.0, ge=0, description="grey level without light")
    background: float = Field(18.0, ge=0, description="grey levels of the empty medium")
    unevenness: float = Field(0.35, ge=0, lt=1, description="loss of light in the far corner")
    photons_per_level: float = Field(3.0, gt=0, description="photons per grey level: shot noise")
    read_noise: float = Field(1.0, ge=0, description="sd, grey levels")
    bleach_effector: float = Field(0.004, ge=0, lt=1, description="rate per frame, exp(-rate f)")
    bleach_target: float = Field(0.006, ge=0, lt=1, description="rate per frame")
    bleach_death: float = Field(0.001, ge=0, lt=1, description="rate per frame")
    death_brightness: float = Field(130.0, gt=0, description="grey levels of a dead mean cell")
    spill: float = Field(0.3, ge=0, description="death dye around a dead cell, share of its light")
    spill_um: float = Field(5.0, gt=0, description="sd of that halo")
    bleed_target_to_death: float = Field(0.02, ge=0, le=1, description="bleed-through")
    drift_px_per_frame: tuple[float, float] = Field((0.0, 0.0), description="stage drift, (y, x)")
    defocus_um: float = Field(0.0, ge=0, description="sd added to the point spread at worst focus")
    defocus_min: float = Field(120.0, gt=0, description="time from best focus to worst and back")
    ghosts: int = Field(0, ge=0, description="cells far out of focus, mean number per channel")
    ghost_um: float = Field(6.0, gt=0, description="sd of their light")
    ghost_brightness: float = Field(0.4, ge=0, description="their peak, share of a mean cell's")
    debris: int = Field(0, ge=0, description="specks in view, mean number per channel")
    debris_um: float = Field(1.0, gt=0, description="sd of a speck's light")
    debris_brightness: float = Field(0.6, ge=0, description="their peak, share of a mean cell's")
    unfilmed_px: tuple[int, int, int, int] = Field(
        (0, 0, 0, 0), description="margins that were not filmed: top, bottom, left, right"
    )


class Mishaps(Params):
    """What goes wrong in a film, by number of frame; None and (): it does not."""

    pause_frame: int | None = Field(None, ge=1, description="first frame after a pause")
    pause_min: float = Field(10.0, gt=0, description="added to the interval before it")
    dropped_frames: tuple[int, ...] = Field(
        (), description="frames that were lost: black, without masks, tracks have a gap"
    )
    jump_frame: int | None = Field(None, ge=1, description="first frame after the stage jumped")
    jump_px: tuple[float, float] = Field((6.0, -4.0), description="of that jump, (y, x)")
