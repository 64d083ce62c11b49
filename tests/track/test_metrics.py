"""Tracking figures: scenes worked out by hand, and another implementation's figures on real data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolocore.errors import DataError
from yolocore.track.metrics import evaluate_tracks
from yolocore.track.mot import TrackTable, read_mot


def table(*rows: tuple[int, int, float], score: float = 1.0) -> TrackTable:
    """Rows of frame, identity, left edge; all boxes are 10 x 10."""
    return TrackTable.from_rows([[frame, identity, left, 0, 10, 10, score, 0, 1] for frame, identity, left in rows])


def line(identity: int, left: float, frames: range) -> list[tuple[int, int, float]]:
    return [(frame, identity, left) for frame in frames]


TEN = range(1, 11)
BACK = range(8, 11)
ONE = line(1, 0, TEN)
TWO = ONE + line(2, 100, TEN)

# truth, tracks, then mota, idf1, switches, missed, spurious, and hota where it is easily said
SCENES = {
    "perfect": (TWO, TWO, 1, 1, 0, 0, 0, 1),
    "other numbers are as good": (TWO, line(9, 0, TEN) + line(4, 100, TEN), 1, 1, 0, 0, 0, 1),
    "nothing found": (ONE, [], 0, 0, 0, 10, 0, 0),
    "one object never found": (TWO, ONE, 0.5, 2 / 3, 0, 10, 0, 0.5**0.5),
    "a track of nothing": (ONE, ONE + line(7, 500, TEN), 0, 2 / 3, 0, 0, 10, 0.5**0.5),
    # Of ten pairs each half agrees with 5 of the 10 boxes of either: association 1/2.
    "cut in two halves": (ONE, line(1, 0, range(1, 6)) + line(2, 0, range(6, 11)), 0.9, 0.5, 1, 0, 0, 0.5**0.5),
    "gone and back under its number": (ONE, line(1, 0, range(1, 4)) + line(1, 0, BACK), 0.6, 0.75, 0, 4, 0, None),
    "gone and back under another": (ONE, line(1, 0, range(1, 4)) + line(2, 0, BACK), 0.5, 3 / 8, 1, 4, 0, None),
    "just under half an overlap is none": (ONE, line(1, 3.4, TEN), -1, 0, 0, 10, 10, None),
    "just over half an overlap is one": (ONE, line(1, 3.3, TEN), 1, 1, 0, 0, 0, None),
    # The nearer newcomer takes nothing over while the old pair still overlaps enough.
    "a pair goes on while it can": (
        line(1, 0, range(1, 4)),
        [(1, 1, 0), (2, 1, 3), (3, 1, 3), (2, 2, 0), (3, 2, 0)],
        1 / 3, 3 / 4, 0, 0, 2, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_scene(scene: tuple) -> None:
    truth, tracks, mota, idf1, switches, missed, spurious, hota = scene
    measured = evaluate_tracks(table(*truth), table(*tracks))
    assert measured.mota == pytest.approx(mota)
    assert measured.idf1 == pytest.approx(idf1)
    assert (measured.switches, measured.missed, measured.spurious) == (switches, missed, spurious)
    if hota is not None:
        assert measured.hota == pytest.approx(hota)


def test_truth_marked_as_not_to_be_counted_is_not() -> None:
    marked = TrackTable.from_rows([[1, 1, 0, 0, 10, 10, 1, 0, 1], [1, 2, 50, 0, 10, 10, 0, 0, 1]])
    assert evaluate_tracks(marked, table((1, 1, 0))).mota == 1


@pytest.mark.parametrize(
    ("truth", "tracks", "reason"),
    [
        ([], ONE, "holds no box"),
        (ONE, [*ONE, (3, 1, 50)], "tracks: identity 1 has 2 boxes in frame 3"),
        ([*ONE, (3, 1, 50)], ONE, "ground truth: identity 1 has 2 boxes in frame 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(truth: list, tracks: list, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        evaluate_tracks(table(*truth), table(*tracks))


# TrackEval 1.3.0 (MIT): HOTA, DetA, AssA, MOTA, IDF1 in percent, switches, spurious, missed, on the tracks that
# `by_column` makes of the public detections. They are bad on purpose: every kind of error is in them.
RECORDED = {
    "TUD-Campus": (21.6049, 40.1022, 11.7697, 47.9109, 25.3425, 15, 19, 153),
    "TUD-Stadtmitte": (34.5739, 39.9312, 29.9418, 54.7578, 42.6016, 20, 18, 485),
    "PETS09-S2L1": (14.4243, 38.3990, 5.4549, 43.6327, 14.8344, 157, 482, 1884),
    "ETH-Sunnyday": (21.7820, 31.4976, 15.2900, 28.9559, 22.2005, 26, 325, 969),
}


def by_column(public: TrackTable) -> TrackTable:
    """Tracks that need no tracker: the identity is the 120 pixel column of a box, its first box in a frame counts."""
    ids = (public.boxes[:, 0] // 120).astype(np.int64) + 10
    _, first = np.unique(np.stack([public.frames, ids]), axis=1, return_index=True)
    return replace(public, ids=ids)[np.sort(first)]


@pytest.mark.parametrize("name", RECORDED)
def test_real_tracks_have_the_recorded_figures(name: str, shared: Path) -> None:
    folder = shared / "data" / "mot" / name
    tracks = by_column(read_mot(folder / "det" / "det.txt"))
    m = evaluate_tracks(read_mot(folder / "gt" / "gt.txt"), tracks)
    shares = [100 * share for share in (m.hota, m.deta, m.assa, m.mota, m.idf1)]
    assert [*shares, m.switches, m.spurious, m.missed] == pytest.approx(RECORDED[name], abs=6e-5)
