"""Random change of hue, saturation and brightness, as one matrix a picture.

Computed in YIQ, the colour space of NTSC television (FCC 1953): hue is the angle of (I, Q), saturation their
length and brightness a factor on all. So the whole change, and the order of the channels, is one linear map of
red, green and blue, ten times as fast as the way to 8-bit HSV, through a table and back; and unlike
there, neither hue nor saturation changes how light a pixel is. What leaves 0..255 is cut, as by a camera.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig

_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # from R, G, B
_RGB = np.linalg.inv(_YIQ)
_FROM_BGR = _YIQ[:, ::-1]


def recolour(image: npt.NDArray[np.uint8], config: TrainConfig, rng: np.random.Generator) -> None:
    """Random hue shift, saturation and brightness gain of (h, w, 3) uint8 in place, and BGR → RGB.

    The ranges are the config's: hue as a share of the circle, the others as a share of what is there.
    """
    turn, saturation, brightness = (rng.uniform(-1, 1, 3) * (config.hsv_h, config.hsv_s, config.hsv_v)).tolist()
    angle, radius = 2 * math.pi * turn, 1 + saturation
    cosine, sine = radius * math.cos(angle), radius * math.sin(angle)
    change = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    cv2.transform(image, (1 + brightness) * _RGB @ change @ _FROM_BGR, dst=image)
