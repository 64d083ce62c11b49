"""The decoupled filters against the textbook form with full 8 x 8 matrices, and what tracking asks of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.track import kalman

BOX = np.array([[100.0, 50.0, 140.0, 150.0]])


class Textbook:
    """One filter as x' = Fx, z = Hx with matrices and an inverse; noises as kalman's constants state them."""

    def __init__(self, z: np.ndarray) -> None:
        self.F = np.eye(8) + np.eye(8, k=4)
        self.H = np.eye(4, 8)
        self.x = np.concatenate([z, np.zeros(4)])
        self.P = np.diag(np.concatenate([self._std(2, 1e-2)[:4], self._std(10, 1e-5)[4:]]) ** 2)

    def _std(self, times: float, aspect: float) -> np.ndarray:
        h = self.x[3]
        position, velocity = times * h / 20, times * h / 160
        return np.array([position, position, aspect, position, velocity, velocity, aspect, velocity])

    def predict(self) -> None:
        process = np.concatenate([self._std(1, 1e-2)[:4], self._std(1, 1e-5)[4:]])
        self.x, self.P = self.F @ self.x, self.F @ self.P @ self.F.T + np.diag(process**2)

    def correct(self, z: np.ndarray) -> None:
        S = self.H @ self.P @ self.H.T + np.diag(self._std(1, 1e-1)[:4] ** 2)
        K = self.P @ self.H.T @ np.linalg.inv(S)
        self.x, self.P = self.x + K @ (z - self.H @ self.x), self.P - K @ S @ K.T

    def decoupled(self) -> np.ndarray:
        P = self.P
        return np.stack([self.x[:4], self.x[4:], np.diag(P[:4, :4]), np.diag(P[:4, 4:]), np.diag(P[4:, 4:])])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.booleans(), min_size=1, max_size=12))
def test_decoupled_filters_equal_the_textbook(seed: int, sightings: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform([0, 0, 0.3, 20], [640, 480, 3, 200], (3, 4))
    batch = kalman.initiate(start)
    singles = [Textbook(z) for z in start]
    for seen in sightings:
        batch = kalman.predict(batch)
        for single in singles:
            single.predict()
        if seen:
            z = batch[:, kalman.POSITION] * rng.uniform(0.95, 1.05, (3, 4))
            batch = kalman.correct(batch, z)
            for single, row in zip(singles, z, strict=True):
                single.correct(row)
    np.testing.assert_allclose(batch, [single.decoupled() for single in singles], rtol=1e-9, atol=1e-12)


def test_measurement_and_box_are_inverse() -> None:
    np.testing.assert_allclose(kalman.boxes_of(kalman.initiate(kalman.measure(BOX))), BOX)


@pytest.mark.parametrize(
    "box", [[10, 10, 10, 60], [10, 10, 60, 10], [10, 10, 10, 10]], ids=["no width", "no height", "a point"]
)
def test_a_box_clipped_to_nothing_keeps_the_filter_finite(box: list[float]) -> None:
    z = kalman.measure(np.array([box], np.float32))
    filters = kalman.initiate(z)
    for _ in range(5):
        filters = kalman.correct(kalman.predict(filters), z)
    assert np.isfinite(filters).all() and (filters[:, kalman.VAR_POSITION] > 0).all()


def test_a_shrinking_object_never_turns_inside_out() -> None:
    filters = kalman.initiate(kalman.measure(BOX))
    filters[:, kalman.VELOCITY, kalman.HEIGHT] = -60
    for _ in range(5):
        filters = kalman.predict(filters)
    boxes = kalman.boxes_of(filters)
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_a_steady_velocity_is_learnt() -> None:
    step = np.array([7.0, -3.0, 7.0, -3.0])
    filters = kalman.initiate(kalman.measure(BOX))
    for t in range(1, 61):
        filters = kalman.correct(kalman.predict(filters), kalman.measure(BOX + t * step))
    np.testing.assert_allclose(filters[0, kalman.VELOCITY, :2], [7, -3], rtol=1e-2)
    np.testing.assert_allclose(kalman.boxes_of(kalman.predict(filters)), BOX + 61 * step, atol=0.5)


def test_no_filters_are_fine() -> None:
    none = kalman.initiate(kalman.measure(np.zeros((0, 4), np.float32)))
    assert kalman.correct(kalman.predict(none), np.zeros((0, 4))).shape == (0, 5, 4)
