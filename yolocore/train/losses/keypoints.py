"""Losses of keypoints: how far they are off in the scale of the object, and whether they are there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from yolocore.evaluate.similarity import keypoint_sigmas
from yolocore.meta import KeypointShape
from yolocore.model.decode import decode_keypoints


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
    sigmas = raw.new_tensor(keypoint_sigmas(count))
    area = ((boxes[:, 2:] - boxes[:, :2]).prod(1)).clamp(min=1)
    distance = (found - truth[..., :2]).square().sum(2)
    similarity = torch.exp(-distance / (2 * (2 * sigmas) ** 2 * area[:, None]))
    location = ((1 - similarity) * labelled).sum(1) / labelled.sum(1).clamp(min=1)
    if dims == 2:
        return location.sum(), raw.new_zeros(())
    visibility = binary_cross_entropy_with_logits(points[..., 2], labelled, reduction="none").mean(1)
    return location.sum(), visibility.sum()
