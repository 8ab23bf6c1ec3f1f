"""Masks whose labels are identities: a number is one cell all through the film.

Tracks and their lineage are read off the masks; who came of whom is said beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cyto_kedro import schemas
from cyto_kedro.algorithms.tracking.links import Links, assemble
from cyto_kedro.datasets.planned import differences, is_whole
from cyto_kedro.errors import InputError
from cyto_kedro.importing.place import Found, Place
from cyto_kedro.statements import Statement

log = logging.getLogger(__name__)

# Share of steps in which another cell lay nearer than the one of the same number, above which numbers
# are no identities (masks numbered anew in every frame), or may not be.
_ANEW, _DOUBTFUL = 0.5, 0.1


@dataclass(frozen=True)
class IdentityFilm:
    """A film of masks, read frame by frame."""

    #: what it is, as a sentence begins
    kind: str
    #: the file or folder, for messages
    where: str
    #: (T, Y, X)
    shape: tuple[int, int, int]
    #: frame -> (Y, X) uint32
    read: Callable[[int], np.ndarray]
    #: identity -> the one it came of: its mother, or itself before a gap
    parents: Mapping[int, int]
    #: identity -> its first and last frame, where the source says so
    spans: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    #: what the source states of pixel size and frame interval
    said: tuple[Statement, ...] = ()


def identified(film: IdentityFilm, place: Place, masks_only: bool = False) -> Found:
    """The film as the assay's view shows it, its identities as tracks.

    Where `masks_only`, numbers mean nothing beyond their frame.

    Raises InputError if the film is of another size, or its numbers are no identities.
    """
    plan, fov = place.manifest, place.fov
    whole = is_whole(plan, fov, film.shape, film.where)
    for difference in differences(plan, fov, whole, film.said):
        log.warning("%s", difference)
    numbers = plan.view.frames(film.shape[0]) if whole else range(film.shape[0])

    def label(t: int) -> np.ndarray:
        frame = film.read(numbers[t])
        return plan.view.labels(frame) if whole else frame

    used = [t for t in range(len(numbers)) if t not in set(place.excluded)]
    cells = detections(label, used, film.where)
    if masks_only:
        return Found(film.kind, len(cells), label, None)
    if plan.view.crop_px is None:
        _as_said(film, cells, {numbers[t]: t for t in used})
    links = identity_links(cells, film.parents, film.where)
    _are_identities(cells, links, film.where)
    return Found(film.kind, len(cells), label, points_of(cells, links, place))


def points_of(cells: pd.DataFrame, links: Links, place: Place) -> pd.DataFrame:
    """`TrackPoints` of linked `cells` (frame, label, y_px, x_px, in that order); frames in between
    are interpolated."""
    if not len(cells):
        return schemas.empty(schemas.TrackPoints)
    return assemble(cells.assign(**place.group), links, **place.calibration)


def detections(label: Callable[[int], np.ndarray], frames: list[int], where: str) -> pd.DataFrame:
    """Every mask of `frames`: ``frame``, ``label``, ``y_px``, ``x_px`` (centroid), in that order.

    Labels in several pieces are told of.
    """
    from skimage.measure import label as pieces_of

    names = ["frame", "label", "y_px", "x_px"]
    parts, pieces = [pd.DataFrame(columns=names, dtype=float)], 0
    for t in frames:
        frame = label(t)
        pixel = np.flatnonzero(frame)
        labels, cell = np.unique(frame.ravel()[pixel], return_inverse=True)
        area = np.bincount(cell, minlength=len(labels))
        y, x = (np.bincount(cell, at) / area for at in np.divmod(pixel, frame.shape[1]))
        parts.append(pd.DataFrame(dict(zip(names, (t, labels, y, x), strict=True))))
        pieces += int(pieces_of(frame, connectivity=2, return_num=True)[1]) - len(labels)
    found = pd.concat([each for each in parts if len(each)] or parts[:1], ignore_index=True)
    found = found.astype({"frame": np.int64, "label": np.int64})
    if pieces > 4 * len(found):
        raise InputError(
            f"{where}: {len(found)} labels in {pieces + len(found)} pieces: that is an image, not masks"
        )
    if pieces:
        log.warning(
            "%s: labels lie in %d pieces more than there are cells; each label stays one cell",
            where,
            pieces,
        )
    return found


def identity_links(cells: pd.DataFrame, parents: Mapping[int, int], where: str) -> Links:
    """Links between the sightings of one identity, and from each to those that came of it.

    A cell that came of one that was not seen (outside of the view) came of the one before that.
    A mother that goes on under her own number is one of her daughters.

    Raises InputError if identities came of each other.
    """
    identity, frame = (cells[key].to_numpy(np.int64) for key in ("label", "frame"))
    order = np.lexsort((frame, identity))
    same = identity[order[1:]] == identity[order[:-1]]
    source, target = order[:-1][same], order[1:][same]
    names, first = np.unique(identity[order], return_index=True)
    rows = dict(zip(names.tolist(), np.split(order, first[1:]), strict=True)) if len(names) else {}
    born: list[tuple[int, int]] = []
    unseen = 0
    for child, sightings in rows.items():
        before, passed = parents.get(child, 0), {child}
        while before:
            if before in passed:
                raise InputError(
                    f"{where}: {child} and {before} came of each other; export it anew"
                )
            passed.add(before)
            earlier = rows.get(before, sightings[:0])
            earlier = earlier[frame[earlier] < frame[sightings[0]]]
            if len(earlier):
                born.append((int(earlier[-1]), int(sightings[0])))
                break
            before = parents.get(before, 0)
        unseen += bool(parents.get(child, 0)) and not before
    if unseen:
        log.warning("%s: %d cells whose mother was not seen before them have none", where, unseen)
    ends = np.array(born, np.int64).reshape(-1, 2)
    source, target = np.append(source, ends[:, 0]), np.append(target, ends[:, 1])
    return Links.of(source, target)


def _as_said(film: IdentityFilm, cells: pd.DataFrame, used: dict[int, int]) -> None:
    """Tell of tracks that have no mask in the frame in which they are said to begin or to end."""
    seen = set(cells[["label", "frame"]].itertuples(index=False, name=None))
    ends = {(name, t) for name, span in film.spans.items() for t in span if t in used}
    if lost := sorted((name, t) for name, t in ends if (name, used[t]) not in seen):
        log.warning(
            "%s: track %d has no mask in frame %d, where its table says that it begins or ends (%d "
            "such ends); the masks are taken",
            film.where,
            *lost[0],
            len(lost),
        )


def _are_identities(cells: pd.DataFrame, links: Links, where: str) -> None:
    """Refuse numbers that are given anew in every frame: another cell is nearer than the same."""
    import scipy

    frame = cells["frame"].to_numpy()
    step = frame[links.target] == frame[links.source] + 1
    source, target = links.source[step], links.target[step]
    advice = "; if the masks alone are wanted, add --masks-only, and `kedro run` links them"
    if not len(links.source) and len(np.unique(frame)) > 1:
        raise InputError(f"{where}: no label is in two frames, so there are no tracks{advice}")
    if len(target) < 10:
        return
    at = cells[["y_px", "x_px"]].to_numpy()
    others = 0
    for t in np.unique(frame[source]):
        before, now = np.flatnonzero(frame == t), frame[source] == t
        nearest = before[scipy.spatial.KDTree(at[before]).query(at[target[now]])[1]]
        others += int((nearest != source[now]).sum())
    share = others / len(target)
    said = f"{where}: in {share:.0%} of {len(target)} steps another cell was nearer than the one of the"
    if share > _ANEW:
        raise InputError(f"{said} same label: numbers are given anew in every frame{advice}")
    if share > _DOUBTFUL:
        log.warning("%s same label; are labels identities?", said)
