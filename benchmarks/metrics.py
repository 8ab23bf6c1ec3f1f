"""How well found cells, tracks, contacts, deaths and kills agree with the truth.

Pure functions on label images and tables. Two labels are the same cell where they are matched one to
one by intersection over union (IoU). Where a track is asked who it is, the answer is the true track that
it was matched with in most of the frames asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

SIDES = ("a", "b")
PAIR = ["frame", "population_a", "track_a", "population_b", "track_b"]


@dataclass(frozen=True)
class Score:
    """Counts of agreement; weights are allowed, so they need not be whole."""

    hits: float = 0.0
    found: float = 0.0
    true: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(self.hits + other.hits, self.found + other.found, self.true + other.true)

    @property
    def precision(self) -> float:
        return self.hits / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        return self.hits / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        total = self.found + self.true
        return 2 * self.hits / total if total else float("nan")


def overlaps(truth: np.ndarray, found: np.ndarray) -> pd.DataFrame:
    """Pairs of labels that share pixels in one frame.

    Parameters
    ----------
    truth, found : (Y, X) integer
        Label images, background 0.

    Returns
    -------
    DataFrame
        Columns true, found (labels), iou, and cover, the share of the true cell that is covered.
    """
    true_ids, true_at, true_area = np.unique(truth, return_inverse=True, return_counts=True)
    ids, at, area = np.unique(found, return_inverse=True, return_counts=True)
    code, shared = np.unique(true_at.ravel() * len(ids) + at.ravel(), return_counts=True)
    i, j = np.divmod(code, len(ids))
    table = pd.DataFrame(
        {
            "true": true_ids[i].astype(np.int64),
            "found": ids[j].astype(np.int64),
            "iou": shared / (true_area[i] + area[j] - shared),
            "cover": shared / true_area[i],
        }
    )
    return table[(table["true"] > 0) & (table["found"] > 0)].reset_index(drop=True)


def match(truth: np.ndarray, found: np.ndarray, least_iou: float = 0.5) -> pd.DataFrame:
    """One-to-one pairs (columns true, found, iou) with the largest summed IoU, each >= `least_iou`."""
    pairs = overlaps(truth, found)
    pairs = pairs[pairs["iou"] >= least_iou]
    i, true_ids = pd.factorize(pairs["true"])
    j, ids = pd.factorize(pairs["found"])
    iou = np.zeros((len(true_ids), len(ids)))
    iou[i, j] = pairs["iou"]
    rows, columns = linear_sum_assignment(iou, maximize=True)
    kept = iou[rows, columns] > 0
    rows, columns = rows[kept], columns[kept]
    return pd.DataFrame(
        {
            "true": np.asarray(true_ids, np.int64)[rows],
            "found": np.asarray(ids, np.int64)[columns],
            "iou": iou[rows, columns],
        }
    )


def n_labels(label: np.ndarray) -> int:
    """Number of cells of a label image."""
    return len(np.setdiff1d(label, 0))


def match_film(truth: np.ndarray, found: np.ndarray, least_iou: float = 0.5) -> pd.DataFrame:
    """`match` for every frame of two (T, Y, X) films; adds the column frame."""
    frames = [match(a, b, least_iou) for a, b in zip(truth, found, strict=True)]
    return pd.concat([each.assign(frame=t) for t, each in enumerate(frames)], ignore_index=True)


def detection(truth: np.ndarray, found: np.ndarray, matches: pd.DataFrame) -> Score:
    """Cells of a film found: `matches` (of `match_film`) among true and found cells."""
    return Score(len(matches), sum(map(n_labels, found)), sum(map(n_labels, truth)))


def seg(truth: np.ndarray, found: np.ndarray) -> tuple[float, int]:
    """Summed IoU and number of true cells of a film: their ratio is SEG.

    As the Cell Tracking Challenge defines it (Maška et al. 2014, doi:10.1093/bioinformatics/btu080):
    a found cell is a true one's if it covers more than half of it; a true cell without one counts 0.
    """
    total, n = 0.0, 0
    for a, b in zip(truth, found, strict=True):
        pairs = overlaps(a, b)
        total += float(pairs.loc[pairs["cover"] > 0.5, "iou"].sum())
        n += n_labels(a)
    return total, n


def name_tracks(matches: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Put the found tracks on matches of labels.

    Parameters
    ----------
    matches
        Columns frame, true, found (labels), of one field and population. True labels are true tracks.
    points
        Found track points: columns frame, label, track_id.

    Returns
    -------
    DataFrame
        Columns frame, true (track), track_id (found track).
    """
    named = points.dropna(subset=["label"])[["frame", "label", "track_id"]]
    named = named.astype(np.int64).rename(columns={"label": "found"})
    table = matches.merge(named, on=["frame", "found"])
    return table[["frame", "true", "track_id"]].astype(np.int64)


def identify(named: pd.DataFrame, asked: pd.DataFrame, margin: int = 0) -> np.ndarray:
    """The true track that each found track was in a range of frames; 0 for none.

    Parameters
    ----------
    named
        Of `name_tracks`.
    asked
        Columns track_id, first, last: a found track and frames, both ends in.
    margin
        Frames added on both sides.
    """
    table = asked[["track_id", "first", "last"]].astype(np.int64).reset_index(drop=True)
    table["row"] = table.index
    table = table.merge(named, on="track_id")
    table = table[table["frame"].between(table["first"] - margin, table["last"] + margin)]
    count = table.groupby(["row", "true"]).size().rename("n").reset_index()
    best = count.sort_values(["row", "n", "true"], ascending=[True, False, True])
    best = best.drop_duplicates("row")
    result = np.zeros(len(asked), np.int64)
    result[best["row"].to_numpy()] = best["true"].to_numpy()
    return result


def pair_table(contacts: pd.DataFrame) -> pd.DataFrame:
    """Contacts as unordered pairs, whichever side each cell stood on; columns `PAIR`, unique.

    Needs frame, population_a, track_id_a, population_b, track_id_b.
    """
    table = contacts.rename(columns={"track_id_a": "track_a", "track_id_b": "track_b"})[PAIR]
    table = table.reset_index(drop=True)
    a, b = ([f"population_{side}", f"track_{side}"] for side in SIDES)
    names = table["population_a"].astype(str), table["population_b"].astype(str)
    swap = (names[0] > names[1]) | ((names[0] == names[1]) & (table["track_a"] > table["track_b"]))
    table = table.assign(
        **{
            one: table[other].where(swap, table[one])
            for one, other in zip(a + b, b + a, strict=True)
        }
    )
    table = table.astype({"track_a": np.int64, "track_b": np.int64})
    return table.drop_duplicates(ignore_index=True)


def contact_score(true: pd.DataFrame, found: pd.DataFrame) -> Score:
    """Pairs and frames in contact that agree.

    Both have the columns that `pair_table` needs, with true identities. In `found`, a cell that is
    no true one has track 0: such a contact is counted as found and wrong.
    """
    known = (found["track_id_a"] > 0) & (found["track_id_b"] > 0)
    ours, theirs = pair_table(found[known]), pair_table(true)
    hits = len(ours.merge(theirs, on=PAIR))
    return Score(hits, len(ours) + int((~known).sum()), len(theirs))


def match_deaths(true: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Pair found deaths with true ones of the same cell, at most one each, the nearest in time.

    Parameters
    ----------
    true
        Columns track_id, frame (and others, kept).
    found
        Columns true (the true track, of `identify`; 0 for none), frame.

    Returns
    -------
    DataFrame
        The paired rows of `true`, with found_frame and row (of `found`, by position).
    """
    table = found[["true", "frame"]].reset_index(drop=True)
    table = table.rename(columns={"frame": "found_frame"}).assign(row=np.arange(len(found)))
    pairs = true.merge(table, left_on="track_id", right_on="true").drop(columns="true")
    nearest = (pairs["found_frame"] - pairs["frame"]).abs().sort_values(kind="stable").index
    return pairs.loc[nearest].drop_duplicates("track_id").sort_values("track_id", ignore_index=True)


def kill_score(true: pd.DataFrame, found: pd.DataFrame) -> Score:
    """Agreement of two attributions of deaths to effectors, weighted by their shares.

    Both have columns target, effector (true tracks; 0 in `found` for a cell that is no true one)
    and share; the shares of one death sum to 1. A death's hits are the sum over effectors of the
    smaller of the two shares. So an attributed death counts 1 in all: precision is of deaths that we
    attributed, recall of deaths that have a true killer.
    """
    right = found[(found["target"] > 0) & (found["effector"] > 0)]
    by = ["target", "effector"]
    ours = right.groupby(by, as_index=False)["share"].sum()
    both = true.groupby(by, as_index=False)["share"].sum().merge(ours, on=by)
    hits = float(np.minimum(both["share_x"], both["share_y"]).sum())
    return Score(hits, float(found["share"].sum()), float(true["share"].sum()))


def guess_score(true: pd.DataFrame, candidates: pd.DataFrame) -> Score:
    """Expected `kill_score` of a guess that gives each death whole to one candidate at random.

    `candidates` has columns death (any id, one per guess), target, effector (true tracks or 0), each
    row equally likely within its death. A guess hits its effector's true share, and the counts of
    precision and recall do not depend on the draw: the mean over all draws is exact, F1 included.
    """
    n = candidates.groupby("death")["effector"].transform("size")
    share = true.groupby(["target", "effector"], as_index=False)["share"].sum()
    drawn = candidates.assign(weight=1 / n).merge(share, on=["target", "effector"])
    hits = float((drawn["weight"] * drawn["share"]).sum())
    return Score(hits, float(candidates["death"].nunique()), float(true["share"].sum()))


def main_killer_score(true: pd.DataFrame, found: pd.DataFrame) -> Score:
    """How often the right one is named, of deaths that both sides attribute to someone.

    Each side's main killer of a death is the one with the largest share (ties share the point); columns
    as for `kill_score`. Deaths that only one side attributes do not count: whether a death has a
    killer at all is another question.
    """
    sides = []
    for table in (true, found):
        table = table.groupby(["target", "effector"], as_index=False)["share"].sum()
        most = table[table["share"] >= table.groupby("target")["share"].transform("max") - 1e-9]
        sides.append(most.assign(point=1 / most.groupby("target")["share"].transform("size")))
    theirs, ours = sides
    theirs = theirs[theirs["target"].isin(ours["target"])]
    ours = ours[ours["target"].isin(theirs["target"])]
    both = theirs.merge(ours, on=["target", "effector"])
    hits = float(np.minimum(both["point_x"], both["point_y"]).sum())
    return Score(hits, ours["target"].nunique(), theirs["target"].nunique())


def bout_errors(true: pd.DataFrame, found: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Frames by which found bouts start and end late, each against the true bout it overlaps most.

    Both have `schemas.Bouts`' columns with true tracks (0 for none). Bouts without any counterpart
    are not counted here: contact F1 counts them.
    """
    names = ["population_a", "track_id_a", "population_b", "track_id_b"]
    columns = [*names, "start_frame", "end_frame"]
    pairs = found[columns].reset_index(names="row").merge(true[columns], on=names)
    shared = pairs[["end_frame_x", "end_frame_y"]].min(axis=1) - (
        pairs[["start_frame_x", "start_frame_y"]].max(axis=1)
    )
    pairs = pairs.assign(shared=shared)[shared >= 0].sort_values("shared", ascending=False)
    pairs = pairs.drop_duplicates("row").drop_duplicates([*names, "start_frame_y"])
    start = pairs["start_frame_x"] - pairs["start_frame_y"]
    return start.to_numpy(int), (pairs["end_frame_x"] - pairs["end_frame_y"]).to_numpy(int)
