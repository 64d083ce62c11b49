"""Losses of keypoints: how far they are off in the scale of the object, and whether they are there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from yolocore.meta import KeypointShape
from yolocore.model.decode import decode_keypoints

# How far people differ in where they put each of the 17 points of COCO's bodies, as a share of the
# square root of the body's area. Source: the COCO keypoint task (cocodataset.org/#keypoints-eval).
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)


def keypoint_losses(
    raw: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, boxes: Tensor, shape: KeypointShape
) -> tuple[Tensor, Tensor]:
    """Sums over p positive cells of the location loss and of the visibility loss.

    raw: (p, K·d). centres (2, p), strides (p,): of the cells. truth: (p, K, 3) x, y in pixels and 0 for
    points that are not labelled. boxes: (p, 4) of the objects, xyxy pixels. shape: (K, d).

    Location: 1 - the object keypoint similarity (COCO), a mean over the labelled points. Visibility, where
    the model predicts it: binary cross-entropy of whether a point is labelled, a mean over all points.
    """
    count, dims = shape
    points = raw.unflatten(1, shape)
    found = decode_keypoints(points[..., :2].flatten(1).T, centres, strides, 2).T.unflatten(1, (count, 2))
    labelled = (truth[..., 2] > 0).to(raw.dtype)
    sigmas = raw.new_tensor(COCO_SIGMAS if count == len(COCO_SIGMAS) else (1 / count,) * count)
    area = ((boxes[:, 2:] - boxes[:, :2]).prod(1)).clamp(min=1)
    distance = (found - truth[..., :2]).square().sum(2)
    similarity = torch.exp(-distance / (2 * (2 * sigmas) ** 2 * area[:, None]))
    location = ((1 - similarity) * labelled).sum(1) / labelled.sum(1).clamp(min=1)
    if dims == 2:
        return location.sum(), raw.new_zeros(())
    visibility = binary_cross_entropy_with_logits(points[..., 2], labelled, reduction="none").mean(1)
    return location.sum(), visibility.sum()
