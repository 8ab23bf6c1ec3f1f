"""Nodes of ingestion."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tabulation.quality import frame_quality
from cyto_kedro.blocks import Block
from cyto_kedro.datasets.manifest import Manifest
from cyto_kedro.datasets.raw import RawChannel, RawFolder
from cyto_kedro.datasets.raw_facts import tell
from cyto_kedro.errors import CytoError, InputError, together
from cyto_kedro.parameters import Assay
from cyto_kedro.partitions import PlannedFov, check_names
from cyto_kedro.pipelines.common import Group
from cyto_kedro.pipelines.ingestion.sheet import excluded_frames, read_sheet, with_place
from cyto_kedro.statements import FRAME_INTERVAL, PIXEL_SIZE, settle, times_of
from cyto_kedro.view import View

log = logging.getLogger(__name__)


def plan_assay(
    raw_folder: RawFolder, sample_sheet: pd.DataFrame, assay: Assay
) -> tuple[Manifest, pd.DataFrame, pd.DataFrame]:
    """Find the raw films, check that they fit together, and plan the partitions.

    Only headers are read. Fields that the sheet excludes are left out of the plan.

    Returns
    -------
    manifest, fields, frames
        The plan; one row per field (calibration and the sheet's columns); one row per frame.

    Raises
    ------
    InputError
        No file fits the pattern; a field is not in the sheet, or has no file; a channel is missing
        in a field; channels of a field differ in shape, length or pixel size.
    """
    sheet = read_sheet(sample_sheet)
    excluded = sheet["exclude"].to_numpy(bool)
    left_out = dict(sheet.loc[excluded, ["fov", "exclude_reason"]].to_numpy(str).tolist())
    for fov, reason in left_out.items():
        log.warning("field %s is excluded by the sample sheet: %s", fov, reason)
    sheet = sheet[~excluded]
    if sheet.empty:
        raise InputError("the sample sheet excludes every field, so there is nothing to analyse")
    names = {channel: assay.raw.names.get(channel, channel) for channel in assay.channels}
    controls = sheet.loc[sheet["control"].to_numpy(bool), "fov"]
    may_lack = {str(fov): optional_channels(assay) for fov in controls}
    raw = raw_folder.scan(
        assay.raw.pattern,
        channels=names if assay.raw.names else list(assay.channels),
        sidecar=assay.raw.sidecar,
        exclude=assay.raw.exclude,
        skip_fovs=left_out,
        project_z=assay.raw.project_z,
        z_is_time=assay.raw.z_is_time,
        may_lack=may_lack,
    )
    by_fov: dict[str, dict[str, RawChannel]] = {}
    for each in raw:
        by_fov.setdefault(each.fov, {})[each.channel] = each
    _same_fovs(set(by_fov), set(sheet["fov"]))
    check_names("field", sheet["fov"])
    planned: dict[str, PlannedFov] = {}
    fields: list[dict[str, Any]] = []
    frames: list[pd.DataFrame] = []
    kept: list[RawChannel] = []
    remarks: dict[str, list[str]] = {}
    new: dict[str, list[str]] = {}
    rows: list[dict[Any, Any]] = sheet.to_dict("records")
    wrong: list[CytoError] = []
    for row in rows:
        fov = str(row["fov"])
        lacking = [each for each in may_lack.get(fov, ()) if each not in by_fov[fov]]
        wanted = [each for each in assay.channels if each not in lacking]
        try:
            channels = _complete(fov, by_fov[fov], wanted)
            whole, time_s, said = _agree(fov, channels, assay)
            row, disagreeing = with_place(row, channels[0].plate, channels[0].well)
            table = _frames(fov, whole.n_frames, time_s, row)
            planned[fov], used = _viewed(fov, whole, table, assay.raw.view)
        except InputError as error:
            wrong.append(error)
            continue
        said += disagreeing
        kept += channels
        remarks[fov] = [each for channel in channels for each in channel.remarks]
        planned[fov] = planned[fov].model_copy(update={"lacking": tuple(lacking)})
        if planned[fov].n_frames == 1:
            said.append(
                "a still, one frame: no motion, contact time, death or kill can be seen in it"
            )
        new[fov] = said + [
            f"a control without the channel {channel}: it is analysed for what it has, without "
            f"{', '.join(name for name, p in assay.populations.items() if channel in p.channels)}"
            for channel in lacking
        ]
        shape = planned[fov].model_dump(exclude={"excluded", "frame_interval_s", "lacking"})
        fields.append({**row, **shape})
        frames.append(used)
    if (all_wrong := together(wrong, "the fields")) is not None:
        raise all_wrong
    for channel in assay.channels:
        if all(channel in each.lacking for each in planned.values()):
            raise InputError(
                f"no field has the channel {channel!r}: add its files, or take it out of assay.channels"
            )
    _one_depth_of_bits(kept)
    for fov, remark in uneven_lengths(frames).items():
        new[fov].append(remark)
    tell(new)
    for row in fields:
        found = dict.fromkeys([*remarks[row["fov"]], *new[row["fov"]]])
        row["remarks"] = "\n".join(found)
    manifest = Manifest(
        fovs=planned,
        channels=assay.channels,
        populations=tuple(assay.populations),
        block_length=assay.block_length,
        tiling=assay.tiles,
        roles={name: each.role for name, each in assay.populations.items()},
        sources={name: each.channels for name, each in assay.populations.items()},
        combine={name: each.combine for name, each in assay.populations.items()},
        subtract={name: each.subtract for name, each in assay.populations.items()},
        markers=assay.markers,
        unmarked=tuple(name for name, p in assay.populations.items() if not p.death_marker),
        view=assay.raw.view,
        keep_images=assay.keep_images,
        raw=tuple(kept),
    )
    tiles = sum(len(manifest.windows(fov)) for fov in planned)  # refuses an overlap that cannot be
    if tiles > len(planned):
        log.info("fields are cut into %d tiles for segmentation", tiles)
    if tiles > len(planned) or assay.raw.project_z is not None or assay.raw.view.bin_px > 1:
        # a frame takes longer to make than to read: for each tile, or of many planes or pixels
        manifest = manifest.model_copy(update={"keep_images": "stored"})
    log.info(
        "%d fields, %d frames, %d channels: %d blocks",
        len(planned),
        sum(each.n_frames for each in planned.values()),
        len(assay.channels),
        len(manifest.groups(("fov", "block"))),
    )
    return (
        manifest,
        schemas.conform(schemas.Fields, pd.DataFrame(fields)),
        schemas.conform(schemas.Frames, pd.concat(frames, ignore_index=True)),
    )


def optional_channels(assay: Assay) -> tuple[str, ...]:
    """Channels that show effectors and nothing else: a control without effectors can lack them."""
    shown: dict[str, list[str]] = {channel: [] for channel in assay.channels}
    for population in assay.populations.values():
        for channel in population.channels:
            shown.setdefault(channel, []).append(population.role)
    needed = set(assay.markers.values())
    return tuple(
        channel
        for channel in assay.channels
        if set(shown[channel]) == {"effector"} and channel not in needed
    )


def _same_fovs(found: set[str], listed: set[str]) -> None:
    wrong: list[CytoError] = []
    if unlisted := sorted(found - listed):
        more = f" (and {len(unlisted) - 1} more: {', '.join(unlisted[1:])})" if unlisted[1:] else ""
        wrong.append(
            InputError(
                f"field {unlisted[0]!r} has raw files but no row in the sample sheet{more} (fields "
                f"found: {', '.join(sorted(found))}; listed: {', '.join(sorted(listed))}). Without a "
                "row its condition is unknown: add one (with exclude = true to leave the field out)"
            )
        )
    if absent := sorted(listed - found):
        more = f" (nor of {', '.join(absent[1:])})" if absent[1:] else ""
        wrong.append(
            InputError(
                f"field {absent[0]!r} is in the sample sheet but no raw file of it was found{more} "
                f"(found: {', '.join(sorted(found))}). Check assay.raw.pattern, or remove the row"
            )
        )
    if (error := together(wrong, "the sample sheet and the films")) is not None:
        raise error


def _complete(fov: str, found: Mapping[str, RawChannel], wanted: Iterable[str]) -> list[RawChannel]:
    for channel in wanted:
        if channel not in found:
            raise InputError(
                f"field {fov!r} has no channel {channel!r} (it has {', '.join(sorted(found))}). "
                "Add the file, correct assay.channels, or exclude the field in the sample sheet"
            )
    return [found[channel] for channel in wanted]


def _agree(
    fov: str, channels: list[RawChannel], assay: Assay
) -> tuple[PlannedFov, np.ndarray | None, list[str]]:
    """Shape, length, pixel size and times of a field, after checking that all sources agree.

    What the assay states holds; what is to be said of the other sources comes third.
    """
    first = channels[0]
    for each in channels[1:]:
        for what, a, b in (
            ("frames", first.n_frames, each.n_frames),
            ("shape", (first.height, first.width), (each.height, each.width)),
        ):
            if a != b:
                raise InputError(
                    f"field {fov!r}: channel {first.channel!r} ({first.files[0]}) has {what} {a} but "
                    f"channel {each.channel!r} ({each.files[0]}) has {b}. Channels of a field must "
                    "show the same frames: complete the film, or exclude the field"
                )
    said = [statement for each in channels for statement in each.said]
    place = f"field {fov!r}"
    size, remarks = settle(place, PIXEL_SIZE, said, assay.pixel_size_um)
    if size is None:
        remarks.append(
            "pixel size unknown (no metadata, no assay.pixel_size_um); µm columns stay empty and "
            "parameters in µm cannot be used"
        )
    planned = PlannedFov(
        n_frames=first.n_frames,
        height_px=first.height,
        width_px=first.width,
        pixel_size_um=None if size is None else size.value,
    )
    if first.n_frames == 1:
        return planned, np.zeros(1), remarks
    step, more = settle(place, FRAME_INTERVAL, said, assay.frame_interval_s)
    remarks += more
    stamps = next((each.time_s for each in channels if each.time_s is not None), None)
    times = times_of(first.n_frames, step, stamps, said)
    if times is None:
        remarks.append(
            "frame times unknown (no metadata, no assay.frame_interval_s); minutes stay empty"
        )
        return planned, None, remarks
    return planned, np.asarray(times, float) - float(times[0]), remarks


def _one_depth_of_bits(raw: Iterable[RawChannel]) -> None:
    """Raise where a channel's pixels are of one type in some fields and of another in others."""
    first: dict[str, RawChannel] = {}
    for each in raw:
        known = first.setdefault(each.channel, each)
        if each.dtype != known.dtype:
            raise InputError(
                f"channel {each.channel!r} is {known.dtype} in field {known.fov!r} "
                f"({known.files[0]}) but {each.dtype} in field {each.fov!r} ({each.files[0]}). Grey "
                "levels of the two are not of one scale, so that thresholds of one are wrong in the "
                "other: export both alike, or analyse them as two assays (exclude = yes)"
            )


def uneven_lengths(frames: Iterable[pd.DataFrame]) -> dict[str, str]:
    """What is to be said of fields (of `schemas.Frames`) whose films end early; fov -> sentence."""
    ends, unit = {}, "frames"
    tables = list(frames)
    timed = not any(table["time_s"].isna().any() for table in tables)
    for table in tables:
        last = table["time_s"].iloc[-1] / 60 if timed else len(table)
        ends[str(table["fov"].iloc[0])] = float(last)
    unit = "min" if timed else "frames"
    longest = max(ends, key=lambda fov: ends[fov])
    return {
        fov: f"its film ends at {end:g} {unit}, that of field {longest} at {ends[longest]:g} {unit}: "
        "what is counted over whole films is not comparable between them"
        for fov, end in ends.items()
        if ends[longest] - end > 0.05 * abs(ends[longest])
    }


def _frames(
    fov: str, n_frames: int, time_s: np.ndarray | None, row: Mapping[Any, Any]
) -> pd.DataFrame:
    if time_s is not None and not (np.diff(time_s) > 0).all():
        at = int(np.flatnonzero(np.diff(time_s) <= 0)[0]) + 1
        raise InputError(
            f"field {fov!r}: frame {at} is not later than the frame before it "
            f"({time_s[at]:g} s after {time_s[at - 1]:g} s); correct the file's time stamps"
        )
    excluded, reason = excluded_frames(fov, str(row["exclude_frames"]), n_frames), ""
    if excluded.any():
        reason = str(row["exclude_reason"])
    offset_s = 60 * float(row["time_offset_min"])
    return pd.DataFrame(
        {
            "fov": fov,
            "frame": np.arange(n_frames),
            "source_frame": np.arange(n_frames),
            "time_s": np.nan if time_s is None else time_s + offset_s,
            "excluded": excluded,
            "exclude_reason": np.where(excluded, reason, ""),
        }
    )


def _viewed(
    fov: str, whole: PlannedFov, frames: pd.DataFrame, view: View
) -> tuple[PlannedFov, pd.DataFrame]:
    """A field and its frames as the view shows them; times stay those of the frames in the file."""
    try:
        used = view.frames(whole.n_frames)
        height, width = view.shape(whole.height_px, whole.width_px)
    except InputError as error:
        raise InputError(f"field {fov!r}: {error}") from error
    table = frames.iloc[list(used)].reset_index(drop=True)
    if table["excluded"].all():
        raise InputError(
            f"field {fov!r}: exclude_frames leaves nothing of its {len(table)} frames; exclude the "
            "field (exclude = yes)"
        )
    between = table["time_s"].diff().dropna()
    planned = PlannedFov(
        n_frames=len(used),
        height_px=height,
        width_px=width,
        pixel_size_um=view.pixel_size_um(whole.pixel_size_um),
        excluded=tuple(np.flatnonzero(table["excluded"]).tolist()),
        frame_interval_s=float(between.median()) if len(between) else None,
    )
    return planned, table.assign(frame=np.arange(len(used)))


def assess_quality(group: Group, raw_images: Mapping[Any, Any], manifest: Manifest) -> pd.DataFrame:
    """Intensity, saturation and focus of every raw frame of a field (all pixels are read)."""
    tables: list[pd.DataFrame] = []
    last: dict[str, np.ndarray] = {}
    lacking = manifest.fovs[group["fov"]].lacking
    for channel, block in raw_images:
        if channel in lacking:
            continue
        image = raw_images[channel, block]
        start, before = Block.parse(block).start, last.get(channel)
        tables.append(
            frame_quality(image, frame_start=start, before=before).assign(
                fov=group["fov"], channel=channel
            )
        )
        last[channel] = np.asarray(image[-1])
    quality = pd.concat(tables, ignore_index=True).sort_values(["channel", "frame"])
    return schemas.conform(schemas.Quality, quality)
