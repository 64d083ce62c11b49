"""How well tracks follow the truth: CLEAR MOT, identity F1 and HOTA.

Sources: Bernardin & Stiefelhagen 2008 (MOTA), Ristani et al. 2016 (IDF1), Luiten et al. 2020 (HOTA). Where the
papers leave a choice it is made as the MOTChallenge evaluation makes it: boxes match from IoU 0.5 on, and HOTA
is the mean over 19 localisation thresholds. Classes are ignored.

Written here because no maintained library runs beside numpy 2 and headless OpenCV; the tests hold recorded
figures of one that does in an environment of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from yolocore.boxes import iou_matrix
from yolocore.errors import DataError
from yolocore.track.mot import TrackTable

MATCH_IOU = 0.5
HOTA_IOUS = np.arange(0.05, 0.99, 0.05)

Array = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class TrackMetrics:
    """Figures of one video. All but the counts are shares; 1 is perfect, and MOTA may be negative.

    hota: geometric mean of deta (detection) and assa (association), averaged over IoU thresholds.
    mota: 1 - (missed + spurious + switches) / boxes of the truth. idf1: F1 of the best one-to-one identities.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    switches: int
    missed: int
    spurious: int


@dataclass(frozen=True)
class _Frame:
    """Rows of a frame: dense identity index of each truth and track box, and their IoU."""

    truth: Indices
    tracks: Indices
    iou: Array


def evaluate_tracks(truth: TrackTable, tracks: TrackTable) -> TrackMetrics:
    """Compare tracks with ground truth; truth rows of confidence 0 are left out.

    Raises DataError when an identity has two boxes in a frame, or the truth has none at all.
    """
    truth = truth[truth.scores > 0]
    if not len(truth):
        raise DataError("the ground truth holds no box; tracks can't be compared with it")
    truth_count, truth_index = _dense_identities(truth, "ground truth")
    track_count, track_index = _dense_identities(tracks, "tracks")
    frames = []
    for frame in np.union1d(truth.frames, tracks.frames):
        t, p = truth.at(frame), tracks.at(frame)
        frames.append(_Frame(truth_index[t], track_index[p], iou_matrix(truth.boxes[t], tracks.boxes[p])))

    boxes, guesses = len(truth), len(tracks)
    hits, switches = _clear(frames, truth_count)
    identity_hits = _identity_hits(frames, (truth_count, track_count))
    hota, deta, assa = _hota(frames, np.bincount(truth_index), np.bincount(track_index, minlength=track_count))
    return TrackMetrics(
        hota=hota,
        deta=deta,
        assa=assa,
        mota=1 - (boxes - hits + guesses - hits + switches) / boxes,
        idf1=2 * identity_hits / (boxes + guesses),
        switches=switches,
        missed=boxes - hits,
        spurious=guesses - hits,
    )


def _dense_identities(table: TrackTable, name: str) -> tuple[int, Indices]:
    """Number of identities, and each row's identity as an index below it."""
    pairs = np.stack([table.frames, table.ids], axis=1)
    values, counts = np.unique(pairs, axis=0, return_counts=True)
    if (counts > 1).any():
        frame, identity = values[counts > 1][0]
        raise DataError(f"{name}: identity {identity} has {counts.max()} boxes in frame {frame}, expected one")
    identities, index = np.unique(table.ids, return_inverse=True)
    return len(identities), index


def _clear(frames: list[_Frame], truth_count: int) -> tuple[int, int]:
    """Matched boxes, and identity switches: an object matched to another track than the last time it was matched.

    A pair of the previous frame stays matched while it overlaps enough; only the rest is assigned anew.
    """
    hits = switches = 0
    last = np.full(truth_count, -1)
    current = np.full(truth_count, -1)
    for frame in frames:
        kept = current[frame.truth][:, None] == frame.tracks[None, :]
        value = np.where(frame.iou >= MATCH_IOU, frame.iou + len(frame.truth) * kept, 0)
        r, c = linear_sum_assignment(value, maximize=True)
        near = value[r, c] > 0
        matched, found = frame.truth[r[near]], frame.tracks[c[near]]
        hits += len(matched)
        switches += int(np.count_nonzero((last[matched] >= 0) & (last[matched] != found)))
        current[:] = -1
        current[matched] = last[matched] = found
    return hits, switches


def _identity_hits(frames: list[_Frame], shape: tuple[int, int]) -> float:
    """Boxes that agree under the best one-to-one assignment of tracks to objects over the whole video."""
    together = np.zeros(shape)
    for frame in frames:
        t, p = np.nonzero(frame.iou >= MATCH_IOU)
        together[frame.truth[t], frame.tracks[p]] += 1
    return float(together[linear_sum_assignment(together, maximize=True)].sum())


def _hota(frames: list[_Frame], truth_boxes: Indices, track_boxes: Indices) -> tuple[float, float, float]:
    """HOTA, DetA and AssA, each the mean over the IoU thresholds.

    A frame's boxes are matched once, by overlap weighted with how well the two identities go together over the
    whole video; a threshold then only decides which of the pairs count.
    """
    shape = len(truth_boxes), len(track_boxes)
    potential = np.zeros(shape)
    for frame in frames:
        crowd = frame.iou.sum(axis=0, keepdims=True) + frame.iou.sum(axis=1, keepdims=True) - frame.iou
        share = np.divide(frame.iou, crowd, out=np.zeros_like(frame.iou), where=crowd > 0)
        potential[np.ix_(frame.truth, frame.tracks)] += share
    either = truth_boxes[:, None] + track_boxes[None, :]
    alignment = potential / (either - potential)

    matches = np.zeros((len(HOTA_IOUS), *shape))
    for frame in frames:
        r, c = linear_sum_assignment(alignment[np.ix_(frame.truth, frame.tracks)] * frame.iou, maximize=True)
        # The margin keeps a pair whose overlap is the threshold itself, whatever the last bit says.
        counts = frame.iou[r, c] >= HOTA_IOUS[:, None] - np.finfo(float).eps
        matches[:, frame.truth[r], frame.tracks[c]] += counts

    hits = matches.sum(axis=(1, 2))
    association = (matches * (matches / (either - matches))).sum(axis=(1, 2)) / np.maximum(hits, 1)
    detection = hits / (truth_boxes.sum() + track_boxes.sum() - hits)
    return (
        float(np.sqrt(detection * association).mean()),
        float(detection.mean()),
        float(association.mean()),
    )
