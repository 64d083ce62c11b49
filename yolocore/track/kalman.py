"""Constant-velocity Kalman filter over boxes, for all tracks at once.

The measured state is (cx, cy, aspect = width / height, height), with one velocity each (SORT, Bewley et al.
2016; noise model of DeepSORT, Wojke et al. 2017). All noises are diagonal and each coordinate moves by its own
velocity alone, so the 8-dimensional filter falls apart, exactly, into four position-velocity filters of two
dimensions: gains are divisions of scalars, there is no matrix to invert, and every operation below is
elementwise over (tracks, coordinates).

A batch of n filters is one float64 array (n, 5, 4): the rows are named below, the columns are the coordinates.
Time is counted in frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.boxes import xywh_to_xyxy, xyxy_to_xywh

POSITION, VELOCITY, VAR_POSITION, COVARIANCE, VAR_VELOCITY = range(5)
ASPECT, HEIGHT = 2, 3

# Standard deviations: those of centre and height grow with the height of the object (a near object moves more
# pixels a frame), those of the aspect, which has no unit, are constants.
PER_HEIGHT_POSITION = 1 / 20
PER_HEIGHT_VELOCITY = 1 / 160
ASPECT_MEASURED = 1e-1
ASPECT_POSITION = 1e-2
ASPECT_VELOCITY = 1e-5

# An edge of the image can clip a box to nothing; a height of zero would leave aspect and noise undefined.
LEAST_HEIGHT = 1.0

Array = npt.NDArray[np.floating[Any]]  # float64


def measure(boxes: Array) -> Array:
    """Boxes (n, 4) x1 y1 x2 y2 as measurements (n, 4) float64 cx cy aspect height."""
    cx, cy, width, height = xyxy_to_xywh(np.asarray(boxes, np.float64)).T
    height = np.maximum(height, LEAST_HEIGHT)
    return np.stack([cx, cy, width / height, height], axis=1)


def boxes_of(filters: Array) -> Array:
    """Boxes (n, 4) x1 y1 x2 y2 at the filters' positions."""
    cx, cy, aspect, height = filters[:, POSITION].T
    return xywh_to_xyxy(np.stack([cx, cy, aspect * height, height], axis=1))


def initiate(measured: Array) -> Array:
    """Filters (n, 5, 4) that stand still at the measurements (n, 4): how fast they move, only time can tell."""
    filters = np.zeros((len(measured), 5, 4))
    filters[:, POSITION] = measured
    height = measured[:, HEIGHT]
    filters[:, VAR_POSITION] = _variance(height, 2 * PER_HEIGHT_POSITION, ASPECT_POSITION)
    filters[:, VAR_VELOCITY] = _variance(height, 10 * PER_HEIGHT_VELOCITY, ASPECT_VELOCITY)
    return filters


def predict(filters: Array) -> Array:
    """The filters one frame later."""
    position, velocity, var_position, covariance, var_velocity = filters.swapaxes(0, 1)
    height = position[:, HEIGHT]
    later = np.empty_like(filters)
    later[:, POSITION] = position + velocity
    later[:, VELOCITY] = velocity
    later[:, VAR_POSITION] = (
        var_position + 2 * covariance + var_velocity + _variance(height, PER_HEIGHT_POSITION, ASPECT_POSITION)
    )
    later[:, COVARIANCE] = covariance + var_velocity
    later[:, VAR_VELOCITY] = var_velocity + _variance(height, PER_HEIGHT_VELOCITY, ASPECT_VELOCITY)
    np.maximum(later[:, POSITION, HEIGHT], LEAST_HEIGHT, out=later[:, POSITION, HEIGHT])
    return later


def correct(filters: Array, measured: Array) -> Array:
    """The filters after each has seen its measurement; measured (n, 4) as `measure` gives it."""
    position, velocity, var_position, covariance, var_velocity = filters.swapaxes(0, 1)
    spread = var_position + _variance(position[:, HEIGHT], PER_HEIGHT_POSITION, ASPECT_MEASURED)
    gain_position, gain_velocity = var_position / spread, covariance / spread
    surprise = measured - position
    better = np.empty_like(filters)
    better[:, POSITION] = position + gain_position * surprise
    better[:, VELOCITY] = velocity + gain_velocity * surprise
    better[:, VAR_POSITION] = var_position - gain_position * var_position
    better[:, COVARIANCE] = covariance - gain_position * covariance
    better[:, VAR_VELOCITY] = var_velocity - gain_velocity * covariance
    return better


def _variance(height: Array, per_height: float, aspect: float) -> Array:
    """Variances (n, 4): that of the aspect is given, the others are proportional to the squared height."""
    variance = np.empty((len(height), 4))
    variance[:] = np.square(per_height * height)[:, None]
    variance[:, ASPECT] = aspect**2
    return variance
