"""ByteTrack: follow every detected box, the faint ones too (Zhang et al., ECCV 2022).

A frame is associated in three passes, each an optimal assignment on overlap with the predicted boxes:
confident detections with all confirmed tracks; then faint detections with the tracks still unmatched, which
carries an object through a partial occlusion; then the remaining confident detections with tentative tracks.
A detection left over begins a tentative track, and the second sighting confirms it.

Classes do not take part in the association: a detector that wavers between car and truck must not cut one
object into two identities, and where two objects overlap (a rider and a bicycle) the optimal assignment keeps
them apart by position. A track's class is the one with the highest sum of scores so far.

The state is a struct of arrays; there is no loop over tracks or detections.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from yolocore.boxes import iou_matrix
from yolocore.config import TrackConfig
from yolocore.detections import Detections
from yolocore.track import kalman

# Cost limits of the second and third pass, as published: they are the method's, not the user's.
FAINT_MATCH = 0.5
TENTATIVE_MATCH = 0.7
# Overlap above which a lost track is taken for the tracked one that it lies on.
SAME_OBJECT = 0.85
# `track_buffer` is stated for this many frames a second.
NOMINAL_RATE = 30.0

TENTATIVE, TRACKED, LOST = range(3)

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


@dataclass(eq=False)
class _Tracks:
    """Columns over the n living tracks.

    filters: (n, 5, 4) float64, see kalman. ids: (n,) int64, 0 while tentative. status: (n,) TENTATIVE, TRACKED
    or LOST. seen: (n,) int64 frame of the last detection. votes: (n, classes so far) float64, sum of scores by class.
    """

    filters: kalman.Array
    ids: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    seen: npt.NDArray[np.int64]
    votes: npt.NDArray[np.float64]

    @classmethod
    def begin(cls, measured: kalman.Array, frame: int, classes: int) -> Self:
        n = len(measured)
        return cls(
            filters=kalman.initiate(measured),
            ids=np.zeros(n, np.int64),
            status=np.full(n, TENTATIVE, np.int8),
            seen=np.full(n, frame, np.int64),
            votes=np.zeros((n, classes)),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Mask) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def followed_by(self, other: Self) -> Self:
        return type(self)(
            *(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )


class ByteTrack:
    """Tracker of one video. Feed it the frames in order; identities count from 1 without gaps and are never reused.

    config: thresholds. frame_rate: frames a second that `update` sees, after any stride; it turns
    `track_buffer` into a number of frames.
    """

    def __init__(self, config: TrackConfig, frame_rate: float = NOMINAL_RATE) -> None:
        self._config = config
        self._memory = round(config.track_buffer * frame_rate / NOMINAL_RATE)
        self._frame = 0
        self._identities = 0
        self._tracks = _Tracks.begin(np.zeros((0, 4)), frame=0, classes=0)

    @property
    def identities(self) -> int:
        """How many identities have been given so far."""
        return self._identities

    def update(self, detections: Detections) -> Detections:
        """Associate the next frame's detections.

        Returns those that belong to a confirmed track, in their order and with their scores, each with its identity,
        its track's class, and the box that the filter holds for likeliest after having seen the detected one. In the
        first frame every confident detection is confirmed at once.
        """
        self._frame += 1
        config = self._config
        # A fixed order, so that equal costs are resolved alike however the detector happens to list a frame.
        order = np.lexsort((detections.classes, *detections.boxes.T, -detections.scores))
        found = detections[order]
        confident = found.scores >= config.track_high_thresh
        faint = ~confident & (found.scores >= config.track_low_thresh)

        tracks = self._tracks
        # An extrapolated growth soon swallows the neighbours: what is out of sight keeps its size.
        tracks.filters[tracks.status == LOST, kalman.VELOCITY, kalman.HEIGHT] = 0
        tracks.filters = kalman.predict(tracks.filters)
        overlap = iou_matrix(kalman.boxes_of(tracks.filters), found.boxes)
        cost = 1 - overlap * found.scores if config.fuse_score else 1 - overlap

        match = np.full(len(tracks), -1)
        confirmed = tracks.status != TENTATIVE
        _associate(match, cost, confirmed, confident, config.match_thresh)
        _associate(match, 1 - overlap, (tracks.status == TRACKED) & (match < 0), faint, FAINT_MATCH)
        _associate(match, cost, ~confirmed, _without(confident, match), TENTATIVE_MATCH)

        measured = kalman.measure(found.boxes)
        self._see(match, measured)
        births = np.flatnonzero(_without(confident, match) & (found.scores >= config.new_track_thresh))
        self._begin(measured[births])
        match = np.concatenate([match, births])
        self._vote(match, found)
        keep = self._worth_keeping()
        self._tracks, match = self._tracks[keep], match[keep]
        return self._report(detections, match, order)

    def _see(self, match: Indices, measured: kalman.Array) -> None:
        """Correct the matched tracks and move every track to its next status."""
        tracks, hit = self._tracks, match >= 0
        tracks.filters[hit] = kalman.correct(tracks.filters[hit], measured[match[hit]])
        tracks.seen[hit] = self._frame
        tracks.status[~hit & (tracks.status == TRACKED)] = LOST
        tracks.status[hit] = TRACKED
        self._identify()

    def _begin(self, measured: kalman.Array) -> None:
        self._tracks = self._tracks.followed_by(
            _Tracks.begin(measured, self._frame, classes=self._tracks.votes.shape[1])
        )
        if self._frame == 1:
            self._tracks.status[:] = TRACKED
            self._identify()

    def _identify(self) -> None:
        new = (self._tracks.status == TRACKED) & (self._tracks.ids == 0)
        count = int(np.count_nonzero(new))
        self._tracks.ids[new] = self._identities + 1 + np.arange(count)
        self._identities += count

    def _vote(self, match: Indices, found: Detections) -> None:
        hit = match >= 0
        unseen = int(found.classes.max(initial=-1)) + 1 - self._tracks.votes.shape[1]
        if unseen > 0:
            self._tracks.votes = np.pad(self._tracks.votes, ((0, 0), (0, unseen)))
        self._tracks.votes[hit, found.classes[match[hit]]] += found.scores[match[hit]]

    def _worth_keeping(self) -> Mask:
        """All but tentative tracks not seen again, those lost too long ago, and lost ones that lie on a tracked one."""
        tracks = self._tracks
        unseen = self._frame - tracks.seen
        keep = np.where(tracks.status == TENTATIVE, unseen == 0, unseen <= self._memory)
        active, lost = np.flatnonzero(keep & (tracks.status == TRACKED)), np.flatnonzero(keep & (tracks.status == LOST))
        if len(active) and len(lost):
            boxes = kalman.boxes_of(tracks.filters)
            same = iou_matrix(boxes[active], boxes[lost]) > SAME_OBJECT
            keep[lost[same.any(axis=0)]] = False
        return keep

    def _report(self, detections: Detections, match: Indices, order: Indices) -> Detections:
        tracks = self._tracks
        shown = np.flatnonzero((tracks.status == TRACKED) & (match >= 0))
        rows = order[match[shown]]
        by_row = np.argsort(rows)
        rows, shown = rows[by_row], shown[by_row]
        classes = tracks.votes[shown].argmax(axis=1) if len(shown) else np.zeros(0, np.int64)
        boxes = kalman.boxes_of(tracks.filters[shown]).astype(np.float32)
        return Detections(boxes, detections.scores[rows], classes, tracks.ids[shown])


def _without(candidates: Mask, match: Indices) -> Mask:
    """The candidate detections that no track has yet."""
    free = candidates.copy()
    free[match[match >= 0]] = False
    return free


def _associate(match: Indices, cost: kalman.Array, tracks: Mask, detections: Mask, limit: float) -> None:
    """Write the optimal assignment of the masked tracks and detections into match, pairs below the limit only.

    Costs are clipped at the limit before the assignment: then leaving a pair unmatched costs exactly the limit,
    and a hopeless pair can't push a good one aside.
    """
    rows, columns = np.flatnonzero(tracks), np.flatnonzero(detections)
    if not (len(rows) and len(columns)):
        return
    clipped = np.minimum(cost[np.ix_(rows, columns)], limit)
    r, c = linear_sum_assignment(clipped)
    near = clipped[r, c] < limit
    match[rows[r[near]]] = columns[c[near]]
