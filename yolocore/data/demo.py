"""Built-in data: shapes on textured backgrounds, with everything about them known exactly.

Ellipses, rectangles, triangles and stars of random size, colour and rotation. Each has its box, outline,
rotated box, and three keypoints (the tip, which a dot marks, the centre and the tail), so that the data
serves every task with objects; to classify there are pictures of one shape each. A video of shapes that cross
each other's way comes with its true tracks.

Each picture has a random generator of its own, all randomness is integers and uniform floats, and all
painting is integer arithmetic: a seed gives the same bytes from any thread and on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.data.labels import Instance, Problem, whole_image
from yolocore.data.legend import Legend
from yolocore.data.sources import Sample
from yolocore.media import VideoFile

NAMES = ("ellipse", "rectangle", "triangle", "star")
VIDEO, TRACKS = "video/demo.mp4", "video/gt.txt"

_MOST_OBJECTS = 6
_SHARES = (0.18, 0.45)  # smallest and largest long side of a shape, as shares of the image's
_WHOLE_SHARES = (0.45, 0.68)  # the same where the picture is of one shape; a larger square may not fit aslant
_SLIMMEST = 0.65  # short side as a share of the long one
_OVERLAP = 0.1  # most of a box that another one may cover
_CONTRAST = 150  # least distance of a shape's colour from the background's, summed over the channels
_ATTEMPTS = 40
_FRAMES = 90
_FRAME_RATE = 30
_VIDEO_OBJECTS = 6
_SHIFT = 4  # binary digits after the point in what cv2 draws
_FINE = 8  # a pixel is painted as this many by this many

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """One object. centre, half (width and height before rotation): pixels; angle: radians, clockwise."""

    category: int
    centre: tuple[float, float]
    half: tuple[float, float]
    angle: float
    colour: tuple[int, int, int]

    def place(self, points: Points) -> Points:
        """Points of the unit shape (x right, y down, tip at 0 -1) as pixels."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return points * self.half @ np.array([[cos, sin], [-sin, cos]]) + self.centre

    def outline(self) -> Points:
        return self.place(_UNIT_OUTLINES[self.category])

    def box(self) -> tuple[float, float, float, float]:
        outline = self.outline()
        return (*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist())

    def instance(self) -> Instance:
        unit = _UNIT_OUTLINES[self.category]
        (left, top), (right, bottom) = unit.min(axis=0), unit.max(axis=0)
        corners = self.place(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
        keypoints = np.hstack([self.place(_UNIT_KEYPOINTS), np.full((3, 1), 2)])
        return Instance(
            self.category,
            self.box(),
            (tuple(self.outline().ravel().tolist()),),
            tuple(keypoints.ravel().tolist()),
            tuple(corners.ravel().tolist()),
        )


class DemoSource:
    """The built-in images as a source (see `sources.Source`); they are painted into `folder`.

    count: images. side: their height and width in pixels. whole: each image shows one shape, whose class is the
    image's, and lies in a folder of that name; otherwise each shape has all its labels.
    """

    warnings: Sequence[Problem] = ()

    def __init__(self, folder: Path, count: int, side: int, seed: int, whole: bool = False) -> None:
        self.root = folder
        self.legend = Legend(NAMES, whole=True) if whole else Legend(NAMES, (len(_UNIT_KEYPOINTS), 3), _FLIP)
        for name in NAMES if whole else ("",):
            (folder / name).mkdir(parents=True, exist_ok=True)

        def paint(index: int) -> tuple[Sample, list[Instance]]:
            rng = np.random.default_rng((seed, index))
            image, shapes = draw_scene(rng, side, whole)
            category = NAMES[shapes[0].category]
            name = f"{category}/{category}_{index:06d}.jpg" if whole else f"{index:06d}.jpg"
            (folder / name).write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
            instances = [shape.instance() for shape in shapes]
            if whole:
                instances = [whole_image(shapes[0].category, (side, side))]
            return Sample(name, folder / name, None), instances

        with ThreadPoolExecutor() as pool:
            found = list(pool.map(paint, range(count)))
        self._instances = {sample.name: instances for sample, instances in found}
        self.samples: Sequence[Sample] = sorted((sample for sample, _ in found), key=lambda sample: sample.name)

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        return self._instances[sample.name], []


def draw_scene(rng: np.random.Generator, side: int, whole: bool = False) -> tuple[Pixels, list[Shape]]:
    """One image, (side, side, 3) uint8 BGR, and the shapes in it, all inside and hardly covering each other.

    whole: one large shape; otherwise a few.
    """
    image = _background(rng, side, side)
    shapes: list[Shape] = []
    wanted = 1 if whole else int(rng.integers(1, _MOST_OBJECTS + 1))
    for _ in range(_ATTEMPTS):
        shape = _random_shape(rng, image, side, _WHOLE_SHARES if whole else _SHARES)
        if all(_covered(shape.box(), other.box()) <= _OVERLAP for other in shapes):
            shapes.append(shape)
        if len(shapes) == wanted:
            break
    for shape in shapes:
        _paint(image, shape)
    return _with_grain(rng, image), shapes


def write_video(folder: Path, side: int, seed: int) -> None:
    """Write the video (twice `side` wide, 3:2) and its true tracks in MOT form (see `track.mot`).

    Raises StorageError when the video cannot be written.
    """
    width, height = 2 * side, 2 * side * 2 // 3
    path = folder / VIDEO
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, 1 << 32))
    background = _background(rng, height, width)
    starts = [
        replace(_random_shape(rng, background, side), category=index % len(NAMES)) for index in range(_VIDEO_OBJECTS)
    ]
    travel = rng.uniform(0, 2, (_VIDEO_OBJECTS, 2))  # where on its way there and back each one begins
    speed = rng.uniform(0.004, 0.014, (_VIDEO_OBJECTS, 2))  # ways a frame
    turn = rng.uniform(-0.03, 0.03, _VIDEO_OBJECTS)  # radians a frame

    rows: list[str] = []
    with VideoFile(path, _FRAME_RATE, (width, height)) as video:
        for frame in range(_FRAMES):
            image = background.copy()
            shapes = [
                _travelled(shape, travel[i] + frame * speed[i], shape.angle + frame * turn[i], (width, height))
                for i, shape in enumerate(starts)
            ]
            owner = np.zeros((height, width), np.int64)
            areas = []
            for identity, shape in enumerate(shapes, start=1):
                mask = _paint(image, shape)
                owner[mask >= 128] = identity
                areas.append(int((mask >= 128).sum()))
            for identity, (shape, area) in enumerate(zip(shapes, areas, strict=True), start=1):
                x1, y1, x2, y2 = shape.box()
                visible = (owner == identity).sum() / area
                box = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
                rows.append(f"{frame + 1},{identity},{box},1,{shape.category},{visible:.2f}")
            video.write(_with_grain(rng, image))
    (folder / TRACKS).write_text("\n".join(rows) + "\n")


def _unit_outlines() -> tuple[Points, ...]:
    circle = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    spikes = np.array([-math.pi / 2 + math.pi / 5 * i for i in range(10)])
    radius = np.where(np.arange(10) % 2, 0.45, 1.0)
    return (
        np.stack([np.cos(circle), np.sin(circle)], axis=1),
        np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]),
        np.array([[0.0, -1], [1, 1], [-1, 1]]),
        np.stack([radius * np.cos(spikes), radius * np.sin(spikes)], axis=1),
    )


_UNIT_OUTLINES = _unit_outlines()
_UNIT_KEYPOINTS = np.array([[0, -0.5], [0, 0], [0, 0.4]])
_FLIP = (0, 1, 2)  # all lie on the axis


def _random_shape(
    rng: np.random.Generator, background: Pixels, side: int, shares: tuple[float, float] = _SHARES
) -> Shape:
    """A shape that lies inside the background and stands out from it. shares: of `side`, its shortest and longest."""
    long = rng.uniform(*shares) * side / 2
    short = long * rng.uniform(_SLIMMEST, 1)
    half = (short, long) if rng.random() < 0.5 else (long, short)
    shape = Shape(int(rng.integers(len(NAMES))), (0, 0), half, rng.uniform(0, 2 * math.pi), (0, 0, 0))
    x1, y1, x2, y2 = shape.box()
    height, width = background.shape[:2]
    x, y = rng.uniform(1 - x1, width - 1 - x2), rng.uniform(1 - y1, height - 1 - y2)
    around = background[int(y + y1) : int(y + y2) + 1, int(x + x1) : int(x + x2) + 1].reshape(-1, 3)
    mean = around.sum(axis=0, dtype=np.int64) // len(around)
    while True:
        hsv = rng.integers((0, 120, 90), (180, 256, 256))
        colour = cv2.cvtColor(hsv[None, None].astype(np.uint8), cv2.COLOR_HSV2BGR)[0, 0].astype(np.int64)
        if np.abs(colour - mean).sum() >= _CONTRAST:
            return replace(shape, centre=(x, y), colour=tuple(colour.tolist()))


def _travelled(shape: Shape, progress: npt.NDArray[np.float64], angle: float, size: tuple[int, int]) -> Shape:
    """The shape on its way to and fro between the frame's edges; progress 0 and 2 are one end, 1 the other."""
    turned = replace(shape, angle=angle, centre=(0, 0))
    x1, y1, x2, y2 = turned.box()
    share = 1 - np.abs(progress % 2 - 1)
    low = np.array([1 - x1, 1 - y1])
    high = np.array([size[0] - 1 - x2, size[1] - 1 - y2])
    x, y = (low + share * (high - low)).tolist()
    return replace(turned, centre=(x, y))


def _covered(box: Sequence[float], other: Sequence[float]) -> float:
    """Overlap of two boxes as a share of the smaller one."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return max(0.0, width) * max(0.0, height) / min(areas)


def _background(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Large patches of muted colour, finer blotches of light and dark, and thin lines that are no objects."""
    base = int(rng.integers(60, 196)) + rng.integers(-15, 16, 3)
    patches = base + rng.integers(-25, 26, (3, 3, 1)) + rng.integers(-12, 13, (3, 3, 3))
    blotches = 128 + rng.integers(-22, 23, (14, 14, 1)) + np.zeros(3, np.int64)
    coarse, fine = (
        cv2.resize(cells.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)
        for cells in (patches, blotches)
    )
    image = np.ascontiguousarray((coarse + fine - 128).clip(0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 6))):
        ends = rng.integers(0, (width, height), (2, 2)).tolist()
        colour = (base + rng.integers(-60, 61)).clip(0, 255).tolist()
        cv2.line(image, ends[0], ends[1], colour, int(rng.integers(1, 3)), cv2.LINE_AA)
    return image


def _with_grain(rng: np.random.Generator, image: Pixels) -> Pixels:
    grain = rng.integers(-7, 8, image.shape[:2], dtype=np.int16)
    return (image + grain[:, :, None]).clip(0, 255).astype(np.uint8)


def _paint(image: Pixels, shape: Shape) -> Pixels:
    """Paint a shape, shaded from left to right, onto the image in place; returns its coverage, 0 to 255."""
    outline, tip = shape.outline(), shape.place(_UNIT_KEYPOINTS[:1])
    # Only the shape's surroundings are computed: a picture would cost five times as much.
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 2, 0).tolist()
    right, bottom = (np.ceil(outline.max(axis=0)).astype(int) + 2).tolist()
    around = image[top:bottom, left:right]
    size = around.shape[:2]
    shape_mask = _coverage(outline - (left, top), size)
    dot = _UNIT_OUTLINES[0] * max(1.5, min(shape.half) * 0.16)
    dot_mask = _coverage(dot + tip - (left, top), size)

    shade = np.linspace(-28, 28, image.shape[1]).astype(np.int32)[None, left:right, None]
    _blend(around, (np.array(shape.colour, np.int32) + shade).clip(0, 255), shape_mask)
    _blend(around, np.full(3, 0 if sum(shape.colour) > 384 else 255, np.int32), dot_mask)
    coverage = np.zeros(image.shape[:2], np.uint8)
    coverage[top:bottom, left:right] = shape_mask
    return coverage


def _blend(image: Pixels, paint: npt.NDArray[np.int32], mask: Pixels) -> None:
    share = mask[:, :, None].astype(np.int32)
    image[:] = (image * (255 - share) + paint * share + 127) // 255


def _coverage(outline: Points, size: tuple[int, int]) -> Pixels:
    """How much of each pixel lies inside a polygon, 0 to 255.

    Painted finer and averaged, because cv2's own smooth edges make a polygon wider by half a pixel a side.
    """
    height, width = size
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    # cv2 counts from the centres of pixels, our coordinates from their corners.
    points = np.round((outline * _FINE - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(fine, [points], 255, cv2.LINE_8, _SHIFT)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
