"""Small scenes whose right answer is known, laws that hold for any scene, and public detections of real videos."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.config import TrackConfig
from yolocore.detections import Detections
from yolocore.track.bytetrack import ByteTrack
from yolocore.track.metrics import evaluate_tracks
from yolocore.track.mot import TrackTable, mot_lines, read_mot, read_sequence

Spot = tuple[float, float, float]  # centre x, centre y, score of a box of 40 x 80 pixels
CONFIG = TrackConfig()
GONE: list[Spot] = []


def see(spots: list[Spot], classes: list[int] | None = None) -> Detections:
    x, y, scores = np.array(spots, np.float32).reshape(-1, 3).T
    boxes = np.stack([x - 20, y - 40, x + 20, y + 40], axis=1)
    return Detections(boxes, scores, np.array(classes or [0] * len(spots), np.int64))


def follow(frames: list[list[Spot]], frame_rate: float = 30.0) -> list[list[int]]:
    """Identities by frame, in the order of the frame's spots."""
    tracker = ByteTrack(CONFIG, frame_rate)
    return [tracker.update(see(spots)).track_ids.tolist() for spots in frames]  # type: ignore[union-attr]


def walk(x: float, step: float, frames: int, score: float = 0.9, y: float = 100) -> list[list[Spot]]:
    return [[(x + step * t, y, score)] for t in range(frames)]


def together(*walks: list[list[Spot]]) -> list[list[Spot]]:
    return [list(chain(*spots)) for spots in zip(*walks, strict=True)]


CROSSING = together(walk(100, 6, 30), walk(280, -6, 30, y=130))

SCENES = {
    "two objects keep their identities": (together(walk(100, 4, 6), walk(400, -4, 6)), [[1, 2]] * 6),
    "objects that cross keep them too": (CROSSING, [[1, 2]] * 30),
    "an empty video has no tracks": ([GONE] * 4, [[]] * 4),
    "empty frames before the first object count": ([GONE, *walk(100, 4, 3)], [[], [], [1], [1]]),
    "a new object is shown from its second sighting": (
        together(walk(100, 0, 4), [GONE, *walk(300, 0, 3)]),
        [[1], [1], [1, 2], [1, 2]],
    ),
    "a flicker of one frame is never shown nor numbered": (
        together(walk(100, 0, 6), [GONE, [(300, 100, 0.9)], GONE, *walk(500, 0, 3)]),
        [[1], [1], [1], [1], [1, 2], [1, 2]],
    ),
    "a faint detection carries its track on": (
        [*walk(100, 4, 5), *walk(120, 4, 5, score=0.15), *walk(140, 4, 5)],
        [[1]] * 15,
    ),
    "a faint detection begins nothing": (walk(100, 4, 5, score=0.2), [[]] * 5),
    "below the low threshold there is nothing": (
        [*walk(100, 0, 3), *walk(100, 0, 3, score=0.05)],
        [[1]] * 3 + [[]] * 3,
    ),
    "a faint detection does not find a lost track": (
        [*walk(100, 0, 3), GONE, *walk(100, 0, 2, score=0.15)],
        [[1]] * 3 + [[]] * 3,
    ),
    "hidden as long as the buffer, the object is itself again": (
        [*walk(100, 0, 5), *[GONE] * 30, *walk(100, 0, 3)],
        [[1]] * 5 + [[]] * 30 + [[1]] * 3,
    ),
    "hidden one frame longer, it is another": (
        [*walk(100, 0, 5), *[GONE] * 31, *walk(100, 0, 3)],
        [[1]] * 5 + [[]] * 31 + [[], [2], [2]],
    ),
    "hidden in motion, it is found where it went": (
        [*walk(100, 5, 20), *[GONE] * 10, *walk(250, 5, 5)],
        [[1]] * 20 + [[]] * 10 + [[1]] * 5,
    ),
    "a hopeless pair does not push a good one aside": (
        # The left detection almost misses the first track; the right one lies between both, nearer to the first.
        [*[[(100, 100, 1.0), (128, 100, 1.0)]] * 5, [(67, 100, 1.0), (113, 100, 1.0)]],
        [[1, 2]] * 5 + [[1]],
    ),
    "a lost track that comes to lie on another is given up": (
        [
            *together(walk(100, 10, 10), walk(300, 0, 10)),
            *walk(300, 0, 20),
            *together(walk(400, 10, 3), walk(300, 0, 3)),
        ],
        [[1, 2]] * 10 + [[2]] * 20 + [[2], [3, 2], [3, 2]],
    ),
    "a jump beyond overlap is another object": (
        [*walk(100, 0, 3), *walk(300, 0, 3)],
        [[1]] * 3 + [[], [2], [2]],
    ),
}


@pytest.mark.parametrize(("frames", "expected"), SCENES.values(), ids=SCENES.keys())
def test_scene(frames: list[list[Spot]], expected: list[list[int]]) -> None:
    assert follow(frames) == expected


@pytest.mark.parametrize(
    ("frame_rate", "hidden", "same"), [(60, 60, True), (60, 61, False), (15, 15, True), (15, 16, False)]
)
def test_the_buffer_is_a_time_whatever_the_frame_rate(frame_rate: float, hidden: int, same: bool) -> None:
    ids = follow([*walk(100, 0, 5), *[GONE] * hidden, *walk(100, 0, 3)], frame_rate)
    assert ids[-1] == [1 if same else 2]


# A jump by 24 pixels leaves an overlap of 0.25: a cost of 0.75, and 0.875 once weighed with the score of 0.5.
JUMP: list[list[Spot]] = [*[[(100, 100, 0.5)]] * 5, [(124, 100, 0.5)]]


@pytest.mark.parametrize(
    ("settings", "frames", "last"),
    [
        ({}, JUMP, []),
        ({"fuse_score": False}, JUMP, [1]),
        ({"match_thresh": 0.9}, JUMP, [1]),
        ({"new_track_thresh": 0.6}, walk(100, 0, 5, score=0.5), []),
        ({"new_track_thresh": 0.6}, [*walk(100, 0, 2), *walk(100, 0, 3, score=0.5)], [1]),
        ({"track_high_thresh": 0.6}, [*walk(100, 0, 2), *walk(124, 0, 1, score=0.5)], []),
        ({"track_low_thresh": 0.01}, [*walk(100, 0, 2), *walk(100, 0, 1, score=0.05)], [1]),
        ({"track_buffer": 0}, [*walk(100, 0, 2), GONE, *walk(100, 0, 2)], [2]),
    ],
)
def test_settings_do_what_they_say(settings: dict, frames: list[list[Spot]], last: list[int]) -> None:
    tracker = ByteTrack(TrackConfig(**settings))
    assert [tracker.update(see(spots)).track_ids.tolist() for spots in frames][-1] == last  # type: ignore[union-attr]


def test_a_wavering_class_keeps_the_identity_and_the_majority_names_it() -> None:
    tracker = ByteTrack(CONFIG)
    shown = [tracker.update(see([(100, 100, 0.8)], [c])) for c in (2, 7, 2, 2, 7, 2)]
    assert [d.track_ids.tolist() for d in shown] == [[1]] * 6  # type: ignore[union-attr]
    assert [d.classes.tolist() for d in shown] == [[2]] * 6


def test_an_object_that_grew_before_it_hid_does_not_go_on_growing() -> None:
    def square(half: float) -> Detections:
        box = np.array([[300 - half, 300 - half, 300 + half, 300 + half]], np.float32)
        return Detections(box, np.full(1, 0.9, np.float32), np.zeros(1, np.int64))

    tracker = ByteTrack(CONFIG)
    for half in range(30, 63, 3):
        tracker.update(square(half))
    for _ in range(25):
        tracker.update(Detections.empty())
    assert tracker.update(square(60)).track_ids.tolist() == [1]  # type: ignore[union-attr]


def test_trackers_number_independently() -> None:
    for _ in range(2):
        assert follow(walk(100, 4, 2)) == [[1], [1]]


@st.composite
def videos(draw: st.DrawFn) -> list[Detections]:
    """Wandering objects, missed at random, with scores from unusable to certain, and clutter."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    objects, frames = draw(st.integers(0, 6)), draw(st.integers(1, 25))
    position = rng.uniform(50, 350, (objects, 2))
    step = rng.normal(0, 5, (objects, 2))
    video = []
    for _ in range(frames):
        position = position + step + rng.normal(0, 2, position.shape)
        centres = np.concatenate([position[rng.random(objects) < 0.8], rng.uniform(0, 400, (rng.integers(0, 3), 2))])
        size = rng.uniform(20, 60, (len(centres), 2))
        boxes = np.concatenate([centres - size, centres + size], axis=1).astype(np.float32)
        scores = rng.uniform(0, 1, len(boxes)).astype(np.float32)
        video.append(Detections(boxes, scores, rng.integers(0, 4, len(boxes))))
    return video


@settings(max_examples=60, deadline=None)
@given(videos())
def test_laws(video: list[Detections]) -> None:
    tracker = ByteTrack(CONFIG)
    alive: dict[int, int] = {}
    for frame, detections in enumerate(video):
        tracked = tracker.update(detections)
        assert tracked.track_ids is not None
        ids = tracked.track_ids.tolist()
        assert len(set(ids)) == len(ids), "an identity has one box a frame"
        new = [identity for identity in ids if identity not in alive]
        assert sorted(new) == list(range(len(alive) + 1, len(alive) + 1 + len(new))), "numbers rise without gaps"
        assert all(frame - alive.get(i, frame) <= CONFIG.track_buffer + 1 for i in ids), "what is forgotten stays so"
        alive |= dict.fromkeys(ids, frame)
        assert np.isin(tracked.scores, detections.scores).all(), "every tracked box is a detection of the frame"
        assert (tracked.scores >= CONFIG.track_low_thresh).all()
    assert len(alive) == tracker.identities


@settings(max_examples=40, deadline=None)
@given(videos(), st.integers(0, 2**32 - 1))
def test_the_order_of_a_frames_detections_does_not_matter(video: list[Detections], seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = ByteTrack(CONFIG), ByteTrack(CONFIG)
    for detections in video:
        a = one.update(detections)
        b = other.update(detections[rng.permutation(len(detections))])
        by_id, by_other_id = np.argsort(a.track_ids), np.argsort(b.track_ids)  # type: ignore[arg-type]
        for column in ("boxes", "scores", "classes", "track_ids"):
            np.testing.assert_array_equal(getattr(a, column)[by_id], getattr(b, column)[by_other_id])


@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte", "PETS09-S2L1", "ETH-Sunnyday"])
def test_public_detections_are_tracked_as_well_as_elsewhere(name: str, shared: Path, tmp_path: Path) -> None:
    """MOTA and IDF1 at most two points under the recorded figures of another implementation on the same detections."""
    folder = shared / "data" / "mot" / name
    reference = json.loads((shared / "facts" / "reference" / "tracking_mot15.json").read_text())
    expected = reference["bytetrack"]["per_sequence"][name]
    public, truth = read_mot(folder / "det" / "det.txt"), read_mot(folder / "gt" / "gt.txt")

    tracker = ByteTrack(CONFIG)
    lines = [
        line
        for frame in range(1, read_sequence(folder / "seqinfo.ini").length + 1)
        for line in mot_lines(frame, tracker.update(public.detections(frame)))
    ]
    (tmp_path / "tracks.txt").write_text("".join(lines))
    tracks: TrackTable = read_mot(tmp_path / "tracks.txt")
    measured = evaluate_tracks(truth, tracks)
    assert 100 * measured.mota >= expected["MOTA"] - 2
    assert 100 * measured.idf1 >= expected["IDF1"] - 2
    assert 100 * measured.hota >= expected["HOTA"] - 2
