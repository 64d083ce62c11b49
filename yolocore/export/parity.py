"""Is the export the same model? Its answers beside the checkpoint's, on real images.

Two comparisons, each with the network's input at the same square shape:

- numbers: all that the network puts out, for the very same pixels. They exist however little the model has
  learnt, so the proof is never empty.
- detections: the boxes that come out at the end for the image as it is, each side by its own letterbox and
  suppression. Every box must have its equal on the other side, except where suppression, a limit or the best
  class of a place had to be chosen between values that are as good as equal. Such a choice may fall either way,
  and is excused only if the checkpoint sees the other box too. Masks and keypoints are made of the numbers by
  the same code on both sides. Of a model for classify, the probabilities are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from yolocore.boxes import iou_matrix
from yolocore.config import ExportConfig
from yolocore.detections import Detections
from yolocore.errors import RefusedError
from yolocore.letterbox import Letterbox, centre_crop, to_tensor_batch
from yolocore.meta import ModelMeta
from yolocore.nms import MAX_CANDIDATES, non_max_suppression
from yolocore.records import ParityRow
from yolocore.rotated import prob_iou
from yolocore.runtimes.base import Floats, Outputs, Runtime
from yolocore.runtimes.detector import Image, LocalDetector

_SMALLEST_OBJECT = 8  # pixels: the finest stride
_REMEDY = "the export is not the same model; try simplify=false or another opset"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """An exported model under test.

    name: its file's. forward: as `Runtime.forward`. find: what it sees in one image; None: numbers are all.
    """

    name: str
    forward: Callable[[Floats], Outputs]
    find: Callable[[Image], Detections] | None


def network_candidate(name: str, runtime: Runtime, config: ExportConfig) -> Candidate:
    """The network alone, with the letterbox and suppression of this process around it."""
    detector = LocalDetector(runtime)

    def find(image: Image) -> Detections:
        return detector.detect([image], conf=config.conf, iou=config.iou, max_det=config.max_det, rect=False)[0]

    # Around a classifier there is nothing but a crop, which is the same for both.
    return Candidate(name, runtime.forward, None if runtime.meta.task == "classify" else find)


def serving_candidate(name: str, model: onnx.ModelProto, prediction: str) -> Candidate:
    """The served graph, run as a server runs it. prediction: name of the network's output inside the graph."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.append(helper.make_tensor_value_info(prediction, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def forward(batch: Floats) -> Outputs:
        # An image of the canvas's own shape goes through the letterbox unchanged.
        levels = np.rint(batch * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        return tuple(session.run([prediction], {"image": np.ascontiguousarray(levels)}))

    def find(image: Image) -> Detections:
        outputs = ["boxes", "scores", "classes", "count"]
        boxes, scores, classes, count = session.run(outputs, {"image": np.ascontiguousarray(image[None, ..., ::-1])})
        n = int(count[0])
        return Detections(boxes[0, :n], scores[0, :n], classes[0, :n].astype(np.int64))

    return Candidate(name, forward, find)


def prove(
    reference: Runtime, candidates: Sequence[Candidate], images: Iterable[tuple[str, Image]], config: ExportConfig
) -> tuple[ParityRow, ...]:
    """Compare each candidate with the checkpoint on images (name, pixels).

    reference: the checkpoint, its meta.imgsz being the size that was exported.
    Raises RefusedError that names the model, the image, the figure and its limit.
    """
    tallies = {candidate.name: _Tally() for candidate in candidates}
    meta = reference.meta
    for image_name, image in images:
        place = Letterbox.fit((image.shape[0], image.shape[1]), (meta.imgsz, meta.imgsz))
        pixels = centre_crop(image, meta.imgsz) if meta.task == "classify" else place.apply(image)
        batch = to_tensor_batch([pixels])
        wanted = reference.forward(batch)
        for candidate in candidates:
            tally = tallies[candidate.name]
            try:
                tally.add_numbers(wanted, candidate.forward(batch), meta, config)
                if candidate.find:
                    kept = _Boxes.of(wanted, place, meta, config.conf, config.iou, config.max_det)
                    floor = max(config.conf - config.parity_score, 0)
                    seen = _Boxes.of(wanted, place, meta, floor, 1.0, MAX_CANDIDATES, multi_label=True)
                    tally.add_detections(kept, seen, candidate.find(image), config)
            except _DisagreementError as disagreement:
                raise RefusedError(f"{candidate.name}: on {image_name}, {disagreement}; {_REMEDY}") from None
    return tuple(tally.row(name) for name, tally in tallies.items())


@dataclass(frozen=True)
class _Boxes:
    """The checkpoint's boxes of one image, without what the task adds to them.

    shown: as a detector answers, on the image and cut at its border. whole: the same as suppression compares them,
    on the canvas. Boxes that the border makes equal may be far apart there.
    """

    shown: Detections
    whole: Detections

    @classmethod
    def of(
        cls,
        outputs: Outputs,
        place: Letterbox,
        meta: ModelMeta,
        conf: float,
        iou: float,
        max_det: int,
        multi_label: bool = False,
    ) -> _Boxes:
        """Of the first image of a batch. The rest as for `non_max_suppression`."""
        whole, _ = non_max_suppression(
            outputs[0][0],
            nc=len(meta.names),
            conf=conf,
            iou=iou,
            max_det=max_det,
            multi_label=multi_label,
            turned=meta.task == "obb",
        )
        rotated = None if whole.rotated is None else place.restore_rotated(whole.rotated)
        return cls(Detections(place.restore(whole.boxes), whole.scores, whole.classes, rotated=rotated), whole)


class _DisagreementError(Exception):
    """A figure beyond its limit, in words."""


@dataclass
class _Tally:
    """What the images so far have shown of one candidate."""

    images: int = 0
    boxes: int = 0
    ties: int = 0
    worst_iou: float = 1.0
    worst_score: float = 0.0
    raw_score: float = 0.0
    raw_pixels: float = 0.0

    def add_numbers(self, wanted: Outputs, found: Outputs, meta: ModelMeta, config: ExportConfig) -> None:
        """wanted, found: as `Runtime.forward`, for the same pixels."""
        shapes, others = ([output.shape for output in outputs] for outputs in (wanted, found))
        if shapes != others:
            raise _DisagreementError(f"the output has the shapes {others}, not {shapes}")
        pixels, score = _differences(wanted, found, meta)
        # An edge may move as far as costs the smallest object the allowed IoU.
        limit = (1 - config.parity_iou) * _SMALLEST_OBJECT
        if not pixels <= limit:  # which NaN isn't either
            raise _DisagreementError(f"a raw coordinate differs by {pixels:.4g} pixels, more than {limit:.4g}")
        if not score <= config.parity_score:
            raise _DisagreementError(
                f"a raw score differs by {score:.4g}, more than parity_score={config.parity_score}"
            )
        self.images += 1
        self.raw_pixels, self.raw_score = max(self.raw_pixels, pixels), max(self.raw_score, score)

    def add_detections(self, kept: _Boxes, seen: _Boxes, found: Detections, config: ExportConfig) -> None:
        """kept: the checkpoint's detections; seen: its boxes before suppression, each in every class.

        found: the candidate's detections.
        """
        overlap = _overlap(kept.shown, found)
        # Of boxes that the image's border made equal, those with equal scores belong together.
        wishes = overlap + _near(kept.shown, found, config)
        rows, columns = _pairs(np.where(overlap >= config.parity_iou, wishes, 0))
        scores = np.abs(kept.shown.scores[rows] - found.scores[columns])
        if not (scores <= config.parity_score).all():
            raise _DisagreementError(
                f"the score of a box differs by {scores.max():.4g}, more than parity_score={config.parity_score}"
            )
        same = (_overlap(found, seen.shown) >= config.parity_iou) & _near(found, seen.shown, config)
        missing = np.setdiff1d(np.arange(len(kept.whole)), rows)
        extra = np.setdiff1d(np.arange(len(found)), columns)
        lost, answered = kept.whole[missing], seen.whole[np.flatnonzero(same.any(axis=0))]
        excused_missing = _tied(lost, answered, len(found), config) | _torn(lost, seen.whole, config)
        origins = np.flatnonzero(same[extra].any(axis=0))
        gained = seen.whole[origins]
        chosen = _tied(gained, kept.whole, len(kept.whole), config) | _torn(gained, seen.whole, config)
        excused_extra = (same[np.ix_(extra, origins)] & chosen).any(axis=1)
        for what, boxes, others, excused in (
            ("checkpoint", kept.shown[missing], found, excused_missing),
            ("export", found[extra], kept.shown, excused_extra),
        ):
            if not excused.all():
                alone = boxes[np.flatnonzero(~excused)[:1]]
                best = _overlap(alone, others).max(initial=0)
                raise _DisagreementError(
                    f"the {what}'s box of class {alone.classes[0]} and score {alone.scores[0]:.3f} has no equal: "
                    f"best IoU {best:.4f}, less than parity_iou={config.parity_iou}"
                )
        self.boxes += len(kept.whole)
        self.ties += len(missing) + len(extra)
        self.worst_iou = min(self.worst_iou, float(overlap[rows, columns].min(initial=1)))
        self.worst_score = max(self.worst_score, float(scores.max(initial=0)))

    def row(self, name: str) -> ParityRow:
        """Rounded to what means something, so that the last bits of a processor don't change a record's bytes."""
        return ParityRow(
            model=name,
            images=self.images,
            boxes=self.boxes,
            unmatched=self.ties,
            worst_iou=round(self.worst_iou, 4),
            worst_score=round(self.worst_score, 4),
            raw_score=round(self.raw_score, 4),
            raw_pixels=round(self.raw_pixels, 4),
        )


def _differences(wanted: Outputs, found: Outputs, meta: ModelMeta) -> tuple[float, float]:
    """Largest difference of a coordinate, in pixels, and of all that is none.

    That is scores in 0..1, angles in radians, and the numbers of masks as a share of the largest of their kind.
    """
    difference, nc = np.abs(wanted[0] - found[0]), len(meta.names)
    if meta.task == "classify":
        return 0.0, float(difference.max())
    box, scores, extra = np.split(difference, [4, 4 + nc], axis=1)
    pixels, others = [box], [scores]
    if meta.keypoints:
        count, numbers = meta.keypoints
        points = extra.reshape(len(extra), count, numbers, -1)
        pixels, others = [box, points[:, :, :2]], [scores, points[:, :, 2:]]
    elif meta.task == "segment":
        prototypes = np.abs(wanted[1] - found[1])
        others += [extra / np.abs(wanted[0][:, 4 + nc :]).max(), prototypes / np.abs(wanted[1]).max()]
    else:
        others.append(extra)
    return _largest(pixels), _largest(others)


def _largest(arrays: Sequence[Floats]) -> float:
    """NaN where there is one: it must not be overlooked."""
    return float(np.max([array.max(initial=0) for array in arrays]))


def _overlap(a: Detections, b: Detections) -> Floats:
    """How much every a overlaps every b, as suppression measures it, 0 where the classes differ: (n, m)."""
    return _cover(a, b) * (a.classes[:, None] == b.classes)


def _cover(a: Detections, b: Detections) -> Floats:
    """As `_overlap`, whatever the classes."""
    if a.rotated is None or b.rotated is None:
        return iou_matrix(a.boxes, b.boxes)
    every = np.repeat(a.rotated, len(b), axis=0), np.tile(b.rotated, (len(a), 1))
    return prob_iou(*every).reshape(len(a), len(b))


def _near(a: Detections, b: Detections, config: ExportConfig) -> Mask:
    """Which scores are as good as equal: (n, m)."""
    near: Mask = np.abs(a.scores[:, None] - b.scores) <= config.parity_score
    return near


def _pairs(wishes: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of one-to-one pairs, highest wish first, none where it is 0."""
    open_pairs = wishes.copy()
    rows, columns = [], []
    while open_pairs.max(initial=0) > 0:
        row, column = np.unravel_index(open_pairs.argmax(), open_pairs.shape)
        rows.append(int(row))
        columns.append(int(column))
        open_pairs[row], open_pairs[:, column] = 0, 0
    return np.array(rows, np.int64), np.array(columns, np.int64)


def _tied(boxes: Detections, others: Detections, other_count: int, config: ExportConfig) -> Mask:
    """Which boxes the other side may lack, because it had to choose between values as good as equal.

    boxes, others: as suppression compares them; others may have been chosen instead, and the other side has
    other_count boxes in all.
    """
    full = other_count == config.max_det
    floor = others.scores.min(initial=1) if full else config.conf
    at_limit = boxes.scores - floor <= config.parity_score
    overlap = _overlap(boxes, others)
    slack = 1 - config.parity_iou
    chosen_instead = (overlap > config.iou - slack) & (_near(boxes, others, config) | (overlap <= config.iou + slack))
    tied: Mask = at_limit | chosen_instead.any(axis=1)
    return tied


def _torn(boxes: Detections, seen: Detections, config: ExportConfig) -> Mask:
    """Which boxes the checkpoint sees in another class just as well, so that either may be their best."""
    elsewhere = boxes.classes[:, None] != seen.classes
    torn: Mask = ((_cover(boxes, seen) >= config.parity_iou) & elsewhere & _near(boxes, seen, config)).any(axis=1)
    return torn
