"""The benchmarks' measures against cases worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ctc_format as ctc
import metrics as m


def film(*boxes: tuple[int, int, int, int, int], size: int = 20) -> np.ndarray:
    """(1, size, size) labels of boxes (label, y0, y1, x0, x1)."""
    frame = np.zeros((1, size, size), np.uint32)
    for label, y0, y1, x0, x1 in boxes:
        frame[0, y0:y1, x0:x1] = label
    return frame


def test_score_of_counts() -> None:
    score = m.Score(2, 4, 3) + m.Score(1, 1, 2)
    assert (score.precision, score.recall, score.f1) == (3 / 5, 3 / 5, 6 / 10)
    assert np.isnan(m.Score().f1) and np.isnan(m.Score(0, 0, 1).precision)


def test_iou_and_cover_of_shifted_box() -> None:
    # 4 x 4 boxes, shifted by one column: 12 pixels shared of 20
    pairs = m.overlaps(film((5, 0, 4, 0, 4))[0], film((9, 0, 4, 1, 5))[0])
    assert pairs.to_dict("list") == {"true": [5], "found": [9], "iou": [0.6], "cover": [0.75]}


def test_detection_counts_split_missed_and_extra_cells() -> None:
    truth = film((1, 0, 4, 0, 4), (2, 0, 4, 10, 14), (3, 10, 14, 0, 4))
    # cell 1 shifted (IoU 0.6), cell 2 in two halves (IoU 0.5 each: one may count), 3 missed, one extra
    found = film((7, 0, 4, 1, 5), (8, 0, 2, 10, 14), (9, 2, 4, 10, 14), (4, 15, 18, 15, 18))
    matches = m.match_film(truth, found)
    assert sorted(matches["true"]) == [1, 2]
    score = m.detection(truth, found, matches)
    assert (score.hits, score.found, score.true) == (2, 4, 3)
    assert len(m.match_film(truth, found, 0.75)) == 0


def test_match_is_the_best_assignment_not_the_greedy_one() -> None:
    # the largest IoU, 6/14 of true 1 and found 2, would leave the other two alone
    truth = film((1, 0, 1, 0, 10), (2, 0, 1, 10, 14))
    found = film((1, 0, 1, 0, 4), (2, 0, 1, 4, 14))
    pairs = m.match(truth[0], found[0], 0.1).set_index("true")["found"].to_dict()
    assert pairs == {1: 1, 2: 2}


def test_seg_counts_missed_cells_as_zero_and_needs_more_than_half() -> None:
    truth = film((1, 0, 4, 0, 4), (2, 0, 4, 10, 14), (3, 10, 14, 0, 4))
    found = film((7, 0, 4, 1, 5), (8, 0, 2, 10, 14))  # 0.6; half covered: not enough
    total, n = m.seg(truth, found)
    assert (total, n) == (pytest.approx(0.6), 3)


def test_frames_without_cells() -> None:
    empty, one = film(), film((1, 0, 4, 0, 4))
    assert len(m.match_film(empty, empty)) == 0
    assert m.detection(one, empty, m.match_film(one, empty)).recall == 0
    assert m.seg(empty, one) == (0, 0)


def test_identify_takes_the_majority_within_the_frames_asked() -> None:
    named = pd.DataFrame(
        {"frame": [0, 1, 2, 3, 4], "true": [7, 7, 7, 8, 8], "track_id": [1, 1, 1, 1, 1]}
    )
    asked = pd.DataFrame({"track_id": [1, 1, 1, 2], "first": [0, 3, 4, 0], "last": [4, 4, 4, 4]})
    assert m.identify(named, asked).tolist() == [7, 8, 8, 0]
    # frames 2 to 4 hold two of track 8 against one of 7
    assert m.identify(named, asked.iloc[[1]], margin=1).tolist() == [8]
    assert m.identify(named, asked.iloc[[2]], margin=4).tolist() == [7]


def test_name_tracks_skips_interpolated_points() -> None:
    matches = pd.DataFrame({"frame": [0, 1], "true": [5, 5], "found": [3, 4], "iou": [0.9, 0.8]})
    points = pd.DataFrame({"frame": [0, 1, 2], "track_id": [2, 2, 2]})
    points["label"] = pd.array([3, 4, pd.NA], dtype="Int64")
    named = m.name_tracks(matches, points)
    assert named.to_dict("list") == {"frame": [0, 1], "true": [5, 5], "track_id": [2, 2]}


def contacts(*rows: tuple[int, str, int, str, int]) -> pd.DataFrame:
    names = ["frame", "population_a", "track_id_a", "population_b", "track_id_b"]
    return pd.DataFrame(rows, columns=names)


def test_contact_sides_do_not_matter() -> None:
    one = contacts((0, "T", 3, "C", 1), (0, "C", 9, "C", 2))
    other = contacts((0, "C", 1, "T", 3), (0, "C", 2, "C", 9), (0, "C", 9, "C", 2))
    score = m.contact_score(one, other)
    assert (score.hits, score.found, score.true) == (2, 2, 2)


def test_contact_of_unknown_cell_is_found_and_wrong() -> None:
    true = contacts((0, "T", 3, "C", 1), (1, "T", 3, "C", 1))
    found = contacts((0, "T", 3, "C", 1), (0, "T", 0, "C", 1), (0, "T", 0, "C", 1))
    score = m.contact_score(true, found)
    assert (score.hits, score.found, score.true) == (1, 3, 2)
    assert m.contact_score(true, found.iloc[:0]).recall == 0


def test_deaths_pair_with_the_nearest_of_the_same_cell() -> None:
    true = pd.DataFrame({"track_id": [1, 2, 3], "frame": [10, 20, 30]})
    found = pd.DataFrame({"true": [1, 1, 2, 0], "frame": [18, 11, 19, 30]})
    pairs = m.match_deaths(true, found)
    late = (pairs["found_frame"] - pairs["frame"]).tolist()
    assert pairs["track_id"].tolist() == [1, 2]
    assert late == [1, -1]
    assert pairs["row"].tolist() == [1, 2]


def kills(*rows: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["target", "effector", "share"])


def test_kill_score_is_the_shared_part_of_each_death() -> None:
    true = kills((1, 10, 1.0), (2, 20, 0.5), (2, 21, 0.5))
    # death 1: 0.75 right; death 2: 0.5 of each wrong place; death 3 was nobody's
    found = kills((1, 10, 0.75), (1, 11, 0.25), (2, 20, 0.5), (2, 22, 0.5), (3, 10, 1.0))
    score = m.kill_score(true, found)
    assert (score.hits, score.found, score.true) == (1.25, 3.0, 2.0)
    assert m.kill_score(true, true).f1 == 1
    assert m.kill_score(true, found.assign(effector=0)).hits == 0


def test_expected_guess_equals_the_mean_of_many_draws() -> None:
    true = kills((1, 10, 1.0), (2, 20, 0.5), (2, 21, 0.5))
    candidates = pd.DataFrame(
        {
            "death": [0, 0, 1, 1, 1, 2],
            "target": [1, 1, 2, 2, 2, 0],
            "effector": [10, 11, 20, 21, 0, 10],
        }
    )
    expected = m.guess_score(true, candidates)
    assert expected.hits == pytest.approx(1 / 2 + (0.5 + 0.5) / 3)
    assert (expected.found, expected.true) == (3, 2)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        mixed = candidates.iloc[rng.permutation(len(candidates))]
        guess = mixed.drop_duplicates("death").assign(share=1.0)
        drawn.append(m.kill_score(true, guess).hits)
    assert np.mean(drawn) == pytest.approx(expected.hits, abs=0.1)


def points(*rows: tuple[int, int, int | None]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["track_id", "frame", "label"])
    return table.astype({"label": "Int64"})


def tracks(**parents: int | None) -> pd.DataFrame:
    ids = [int(name.removeprefix("t")) for name in parents]
    return pd.DataFrame(
        {"track_id": ids, "parent_track_id": pd.array(list(parents.values()), dtype="Int64")}
    )


def test_gap_and_division_become_pieces_with_parents() -> None:
    table = points((1, 0, 5), (1, 1, None), (1, 2, 6), (2, 3, 1), (3, 3, 2), (3, 4, 2))
    named, lineage = ctc.unbroken(table, tracks(t1=None, t2=1, t3=1))
    assert lineage.tolist() == [[1, 0, 0, 0], [2, 2, 2, 1], [3, 3, 3, 2], [4, 3, 4, 2]]
    assert named["piece"].tolist() == [1, 2, 3, 4, 4]
    none, nothing = ctc.unbroken(table.iloc[:0], tracks())
    assert len(none) == 0 and nothing.shape == (0, 4)


def moving(n: int) -> np.ndarray:
    """Two boxes over n frames."""
    frames = [film((1, 2, 8, t, t + 6), (2, 12, 18, t, t + 6)) for t in range(n)]
    return np.concatenate(frames)


def test_challenge_measures_of_a_perfect_and_a_flawed_result(tmp_path: Path) -> None:
    pytest.importorskip("ctc_metrics")
    label = moving(4)
    both = points(*[(track, t, track) for track in (1, 2) for t in range(4)])
    named, lineage = ctc.unbroken(both, tracks(t1=None, t2=None))
    truth = ctc.write_truth(tmp_path / "gt", ctc.renamed(label, named), lineage)
    perfect = ctc.evaluate(ctc.write_results(tmp_path / "same", label, lineage), truth)
    assert (perfect["SEG"], perfect["DET"], perfect["TRA"]) == (1, 1, 1)

    # cell 2 is not seen in frame 1: 1 of 8 cells lost, and 2 of 6 links; the bridge is not a true link
    label[1][label[1] == 2] = 0
    seen = both[~((both["track_id"] == 2) & (both["frame"] == 1))]
    named, lineage = ctc.unbroken(seen, tracks(t1=None, t2=None))
    found = ctc.write_results(tmp_path / "found", ctc.renamed(label, named), lineage)
    result = ctc.evaluate(found, truth)
    assert result["SEG"] == pytest.approx(7 / 8)
    assert result["DET"] == pytest.approx(1 - 10 / 80)
    assert result["TRA"] == pytest.approx(1 - (10 + 2 * 1.5 + 1) / (80 + 6 * 1.5))


def bouts(*rows: tuple[int, int, int, int]) -> pd.DataFrame:
    """Bouts (track_a, track_b, start, end)."""
    table = pd.DataFrame(rows, columns=["track_id_a", "track_id_b", "start_frame", "end_frame"])
    return table.assign(population_a="N", population_b="T")


def test_bout_errors_are_of_the_bout_that_overlaps_most() -> None:
    true = bouts((1, 1, 0, 9), (1, 1, 20, 29), (2, 1, 5, 8))
    found = bouts((1, 1, 2, 9), (1, 1, 9, 23), (1, 2, 5, 8), (0, 1, 5, 8), (2, 1, 9, 12))
    # the second overlaps the first true bout in one frame and the second in four; the others nothing
    start, end = m.bout_errors(true, found)
    assert sorted(zip(start.tolist(), end.tolist(), strict=True)) == [(-11, -6), (2, 0)]
    assert [len(each) for each in m.bout_errors(true, found[:0])] == [0, 0]


def test_main_killers_of_deaths_that_both_attribute() -> None:
    columns = ["target", "effector", "share"]
    true = pd.DataFrame([(1, 1, 0.6), (1, 2, 0.4), (2, 3, 1.0), (3, 4, 1.0)], columns=columns)
    found = pd.DataFrame(
        [(1, 1, 1.0), (2, 3, 0.5), (2, 5, 0.5), (9, 1, 1.0), (0, 4, 1.0)], columns=columns
    )
    score = m.main_killer_score(true, found)
    assert (score.hits, score.found, score.true) == (1.5, 2, 2)


@pytest.mark.slow
def test_a_small_simulated_assay_is_found() -> None:
    import killing

    fields = killing.assay_of("single_hit", "1", 1, 128, 25)
    for source in killing.SOURCES:
        row = killing.row("single_hit", "1", source, fields)
        assert (
            row["contact F1"] > 0.95 and row["death R"] == row["death P"] == row["time <= 1"] == 1
        )
        assert row["kill F1"] > row["guess"] and row["kills"] == 7
