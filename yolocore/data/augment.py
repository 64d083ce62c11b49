"""Training augmentation of pictures with objects: mosaic, views, flips, copy-paste, mixup and colour, on uint8.

All geometry of a picture is one matrix (see `geometry`), and its labels go through the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from yolocore.config.tree import TrainConfig
from yolocore.data.colour import recolour
from yolocore.data.geometry import (
    Picture,
    Shape,
    draw,
    flip,
    mosaic_placements,
    random_view,
)
from yolocore.data.objects import Objects
from yolocore.data.paste import paste
from yolocore.letterbox import FILL, Letterbox

MIXUP_BETA = 32.0  # both parameters of the distribution of a blend's share: nearly always about a half

_COMPOSITION = ("mosaic", "mixup", "copy_paste")


def without_composition(config: TrainConfig) -> TrainConfig:
    """The same config, under which a picture shows one image, as in the last epochs."""
    return config.model_copy(update=dict.fromkeys(_COMPOSITION, 0.0))


def without_mirrors(config: TrainConfig) -> TrainConfig:
    """The same config, under which no picture shows a mirror image: upside down it is one as well, and more than
    45 degrees of shear along both axes make one."""
    return config.model_copy(update={"fliplr": 0.0, "flipud": 0.0, "shear": min(config.shear, 45.0)})


@dataclass(frozen=True, eq=False)
class Sample:
    """A decoded training image and its objects.

    image: (h, w, 3) uint8, BGR, perhaps smaller than the original.
    size: (height, width) of the original, to whose pixels the objects refer.
    """

    image: Picture
    size: Shape
    objects: Objects


def augment(
    layers: Sequence[Sequence[Sample]],
    out: Picture,
    config: TrainConfig,
    rng: np.random.Generator,
    flip_idx: Sequence[int] = (),
) -> Objects:
    """Make a training picture of one layer, or blend two (Zhang et al. 2018, "mixup", arXiv:1710.09412).

    layers: each of one sample (letterboxed) or four (a mosaic). out: (h, w, 3) uint8, filled with the picture, RGB.
    flip_idx: which keypoint each keypoint becomes in a mirror image.
    Returns the objects still visible, in pixels of `out`.
    """
    objects = _compose(layers[0], out, config, rng, flip_idx)
    for layer in layers[1:]:
        other = np.empty_like(out)
        objects = Objects.joined([objects, _compose(layer, other, config, rng, flip_idx)])
        share = rng.beta(MIXUP_BETA, MIXUP_BETA)
        cv2.addWeighted(out, share, other, 1 - share, 0, dst=out)
    recolour(out, config, rng)
    return objects


def _compose(
    samples: Sequence[Sample], out: Picture, config: TrainConfig, rng: np.random.Generator, flip_idx: Sequence[int]
) -> Objects:
    """One layer, BGR, and the objects visible in it."""
    height, width = out.shape[:2]
    sizes = [sample.size for sample in samples]
    if len(samples) == 1:
        placements = Letterbox.fit(sizes[0], (height, width)).matrix[None]
        matrices = random_view(config, (height, width), (height, width), rng) @ placements
    else:
        placements = mosaic_placements(sizes, (height, width), rng)
        matrices = random_view(config, (2 * height, 2 * width), (height, width), rng) @ placements
    out[:] = FILL
    matrices = draw([sample.image for sample in samples], sizes, matrices, out)
    matrices = flip(out, config, rng) @ matrices
    own = matrices.repeat([len(sample.objects) for sample in samples], 0)
    objects = Objects.joined([sample.objects for sample in samples]).moved(own, flip_idx).visible((height, width))
    if objects.outlines is not None and config.copy_paste and rng.random() < config.copy_paste:
        objects = paste(out, objects)
    return objects
