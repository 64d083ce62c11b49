"""The tracker alone, without a detector: milliseconds of a frame by the number of objects in it."""

from __future__ import annotations

import numpy as np

from bench.harness import compare
from yolocore.config import TrackConfig
from yolocore.detections import Detections
from yolocore.track.bytetrack import ByteTrack

FRAMES = 100


def scene(objects: int, seed: int = 0) -> list[Detections]:
    """Objects that walk straight through 1920 × 1080 pixels, seen with noise and one miss in ten."""
    rng = np.random.default_rng(seed)
    centre, step = rng.uniform(0, (1920, 1080), (objects, 2)), rng.normal(0, 4, (objects, 2))
    half = rng.uniform(10, 40, (objects, 2))
    frames = []
    for time in range(FRAMES):
        seen = rng.random(objects) > 0.1
        middle = (centre + time * step + rng.normal(0, 1, (objects, 2)))[seen]
        boxes = np.concatenate((middle - half[seen], middle + half[seen]), 1).astype(np.float32)
        scores = rng.uniform(0.1, 1, len(boxes)).astype(np.float32)
        frames.append(Detections(boxes, scores, np.zeros(len(boxes), np.int64)))
    return frames


def main() -> None:
    def run(frames: list[Detections]) -> None:
        tracker = ByteTrack(TrackConfig())
        for frame in frames:
            tracker.update(frame)

    scenes = {f"{objects} objects": scene(objects) for objects in (10, 50, 200)}
    compare(
        f"ByteTrack, {FRAMES} frames (ms for all of them)",
        {name: lambda frames=frames: run(frames) for name, frames in scenes.items()},
        rounds=5,
    )
