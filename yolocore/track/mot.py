"""MOTChallenge text: tracks, ground truth and public detections as one comma-separated line a box.

    frame, id, left, top, width, height, confidence, class, visibility

Frames and identities count from 1, boxes are in pixels, -1 stands for "unknown". The class here is the model's
class index, from 0. MOT15 files have three world coordinates in place of class and visibility; they are read as
"unknown". In ground truth a confidence of 0 marks a box that is not to be counted.
Format: Milan et al., MOT16: A Benchmark for Multi-Object Tracking, 2016, section 3.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolocore.detections import Detections
from yolocore.errors import DataError

UNKNOWN = -1
_MOT15_COLUMNS = 10


@dataclass(frozen=True, eq=False)
class TrackTable:
    """Boxes of a whole video, one row each, ordered by frame.

    frames, ids, classes: (n,) int64. boxes: (n, 4) float64 x1 y1 x2 y2 in pixels. scores, visibility: (n,) float64.
    """

    frames: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    visibility: npt.NDArray[np.float64]

    @classmethod
    def from_rows(cls, rows: npt.ArrayLike) -> TrackTable:
        """From rows (n, 9) in the order of the text's columns; rows of a frame keep their order."""
        columns = np.asarray(rows, np.float64).reshape(-1, 9)
        columns = columns[np.argsort(columns[:, 0], kind="stable")]
        frames, ids, _, _, _, _, scores, classes, visibility = columns.T
        boxes = columns[:, 2:6].copy()
        boxes[:, 2:] += boxes[:, :2]
        return cls(frames.astype(np.int64), ids.astype(np.int64), boxes, scores, classes.astype(np.int64), visibility)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> TrackTable:
        """Rows chosen by a slice, a boolean mask or an array of indices."""
        return TrackTable(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def at(self, frame: int) -> slice:
        """The rows of one frame."""
        first, last = np.searchsorted(self.frames, [frame, frame + 1])
        return slice(int(first), int(last))

    def detections(self, frame: int) -> Detections:
        """One frame's boxes as detections, identities left out."""
        rows = self.at(frame)
        return Detections(
            self.boxes[rows].astype(np.float32),
            self.scores[rows].astype(np.float32),
            np.maximum(self.classes[rows], 0),
        )


@dataclass(frozen=True)
class Sequence:
    """What `seqinfo.ini` states of a video: frames a second, number of frames, size in pixels."""

    name: str
    frame_rate: float
    length: int
    width: int
    height: int


def mot_lines(frame: int, tracked: Detections) -> Iterable[str]:
    """The lines, each with its line end, of one frame's tracked detections."""
    if tracked.track_ids is None:
        raise ValueError("detections without identities can't be written as tracks")
    for (x1, y1, x2, y2), score, class_index, identity in zip(
        tracked.boxes.tolist(), tracked.scores.tolist(), tracked.classes, tracked.track_ids, strict=True
    ):
        box = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
        yield f"{frame},{identity},{box},{score:.4f},{class_index},{UNKNOWN}\n"


def read_mot(path: str | Path) -> TrackTable:
    """Read tracks, ground truth or detections. Lines have 7 to 10 columns; empty lines are skipped.

    Raises DataError that names the file and the line for anything that is no box.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise DataError(f"{path}: cannot be read ({reason}); give a MOT text file") from None
    return TrackTable.from_rows(
        [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    )


def _parse(line: str, where: str) -> list[float]:
    """One line as the nine numbers of a row."""
    texts = line.split(",")
    if not 7 <= len(texts) <= _MOT15_COLUMNS:
        raise DataError(f"{where}: has {len(texts)} columns, expected frame,id,left,top,width,height,confidence,…")
    try:
        row = [float(text) for text in texts]
    except ValueError:
        raise DataError(f"{where}: {line.strip()!r} holds something that is no number") from None
    frame, identity, *box = row[:6]
    if not np.isfinite(row).all():
        raise DataError(f"{where}: {line.strip()!r} holds a value that is not finite")
    if frame < 1 or frame % 1 or identity % 1:
        raise DataError(f"{where}: frame {frame:g}, id {identity:g}: expected whole numbers, frames from 1")
    if box[2] <= 0 or box[3] <= 0:
        raise DataError(f"{where}: a box of {box[2]:g} x {box[3]:g} pixels is empty")
    known = row[:7] if len(row) == _MOT15_COLUMNS else row
    return known + [UNKNOWN] * (9 - len(known))


def read_sequence(path: str | Path) -> Sequence:
    """Read a `seqinfo.ini`. Raises DataError that names the file and what is missing."""
    path = Path(path)
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
        section = parser["Sequence"]
        return Sequence(
            name=section["name"],
            frame_rate=float(section["frameRate"]),
            length=int(section["seqLength"]),
            width=int(section["imWidth"]),
            height=int(section["imHeight"]),
        )
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except KeyError as error:
        raise DataError(
            f"{path}: has no {error.args[0]}; expected a [Sequence] section as MOTChallenge has it"
        ) from None
    except (configparser.Error, ValueError) as error:
        raise DataError(f"{path}: is no seqinfo.ini ({' '.join(str(error).split())})") from None
