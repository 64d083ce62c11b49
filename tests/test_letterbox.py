"""The letterbox: known placements, nothing lost on the way back, pixels where the numbers say."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolocore.letterbox import FILL, Letterbox, centre_crop, rect_shape, to_tensor_batch

side = st.integers(8, 3000)


@pytest.mark.parametrize(
    ("source", "imgsz", "pad", "expected"),
    [
        pytest.param((1080, 810), 640, 0.0, (640, 480), id="portrait"),
        pytest.param((720, 1280), 640, 0.0, (384, 640), id="landscape, rounded up"),
        pytest.param((480, 640), 640, 0.0, (480, 640), id="already a multiple"),
        pytest.param((480, 640), 640, 0.5, (512, 672), id="half a stride of context"),
        pytest.param((100, 100), 320, 0.0, (320, 320), id="small square is enlarged"),
        pytest.param((4, 4000), 640, 0.0, (32, 640), id="a thin strip keeps one stride"),
    ],
)
def test_rect_shape(source, imgsz, pad, expected):
    assert rect_shape(source, imgsz, pad=pad) == expected


@pytest.mark.parametrize(
    ("source", "shape", "longest", "expected"),
    [
        pytest.param((480, 640), (640, 640), None, (0, 80, (480, 640)), id="square canvas"),
        pytest.param((427, 640), (640, 640), None, (0, 106, (427, 640)), id="odd border: top is thinner"),
        pytest.param((375, 500), (480, 640), None, (0, 0, (480, 640)), id="enlarged to fit"),
        pytest.param((333, 500), (640, 640), None, (0, 106, (427, 640)), id="a fraction of a row is a row"),
        pytest.param((375, 500), (480, 640), 500, (70, 52, (375, 500)), id="not enlarged"),
        pytest.param((426, 640), (448, 672), 640, (16, 11, (426, 640)), id="validation's border stays grey"),
        pytest.param((1, 3000), (640, 640), None, (0, 319, (1, 640)), id="never thinner than a pixel"),
    ],
)
def test_fit(source, shape, longest, expected):
    box = Letterbox.fit(source, shape, longest)
    assert (box.pad_left, box.pad_top, box.size) == expected


@given(side, side, st.sampled_from([(640, 640), (384, 640), (32, 640)]), st.sampled_from([None, 640, 100]))
def test_the_image_lies_inside_the_canvas(height, width, shape, longest):
    box = Letterbox.fit((height, width), shape, longest)
    assert 0 <= box.pad_top <= box.pad_top + box.size[0] <= shape[0]
    assert 0 <= box.pad_left <= box.pad_left + box.size[1] <= shape[1]


@given(side, side)
def test_restore_takes_the_placed_image_to_the_whole_source(height, width):
    box = Letterbox.fit((height, width), (640, 640))
    left, top, (rows, columns) = box.pad_left, box.pad_top, box.size
    restored = box.restore(np.array([[left, top, left + columns, top + rows]], np.float32))
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, [[0, 0, width, height]], rtol=1e-6)


def test_restore_clips_to_the_source():
    box = Letterbox.fit((100, 200), (640, 640))
    np.testing.assert_array_equal(box.restore(np.array([[-50.0, 0, 700, 640]])), [[0, 0, 200, 100]])


@pytest.mark.parametrize("source", [(480, 640), (375, 500), (1500, 900)], ids=["as is", "enlarged", "reduced"])
def test_apply_puts_the_resized_image_where_the_numbers_say(source):
    image = np.random.default_rng(0).integers(0, 255, (*source, 3), dtype=np.uint8)
    box = Letterbox.fit(source, (640, 672), 640)
    canvas = box.apply(image)
    rows, columns = slice(box.pad_top, box.pad_top + box.size[0]), slice(box.pad_left, box.pad_left + box.size[1])
    np.testing.assert_array_equal(canvas[rows, columns], cv2.resize(image, box.size[::-1]))
    canvas[rows, columns] = FILL
    assert (canvas == FILL).all()


def test_tensor_batch_is_rgb_planes_in_unit_range():
    canvases = [np.random.default_rng(i).integers(0, 256, (64, 32, 3), dtype=np.uint8) for i in range(3)]
    batch = to_tensor_batch(canvases)
    expected = np.stack(canvases)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, expected)


@given(side, side)
def test_points_come_back_where_they_were(height, width):
    box = Letterbox.fit((height, width), (640, 640))
    points = np.array([[[0, 0, 1], [width, height, 0.5], [width / 3, height / 2, 0]]], np.float32)
    placed = points * np.float32([*box.gain, 1]) + np.float32([*box.offset, 0])
    np.testing.assert_allclose(box.restore_points(placed), points, atol=0.01 * max(1, *1 / np.array(box.gain)))


@pytest.mark.parametrize("angle", [0, 0.4, np.pi / 2, 2.5], ids=["upright", "turned", "on its side", "obtuse"])
def test_a_rotated_box_comes_back_as_it_was(angle):
    box = Letterbox.fit((333, 500), (640, 640))
    across = np.hypot(box.gain[0] * np.sin(angle), box.gain[1] * np.cos(angle))
    along = np.hypot(box.gain[0] * np.cos(angle), box.gain[1] * np.sin(angle))
    placed = np.array([[*(np.array([200, 100]) * box.gain + box.offset), 90 * along, 30 * across, angle]], np.float32)
    np.testing.assert_allclose(box.restore_rotated(placed), [[200, 100, 90, 30, angle]], rtol=1e-5)


@pytest.mark.parametrize(
    ("source", "side", "kept"),
    [
        pytest.param((64, 64), 64, (0, 0, 64, 64), id="as it is"),
        pytest.param((64, 128), 64, (0, 32, 64, 64), id="the middle of a wide one"),
        pytest.param((101, 64), 64, (18, 0, 64, 64), id="an odd border is thinner at the top"),
    ],
)
def test_centre_crop_keeps_the_middle(source, side, kept):
    image = np.random.default_rng(0).integers(0, 255, (*source, 3), dtype=np.uint8)
    top, left, height, width = kept
    np.testing.assert_array_equal(centre_crop(image, side), image[top : top + height, left : left + width])


@given(side, side, st.sampled_from([32, 224]))
def test_a_crop_has_its_size_whatever_the_image(height, width, side):
    image = np.broadcast_to(np.uint8(7), (height, width, 3))
    crop = centre_crop(image, side)
    assert crop.shape == (side, side, 3) and (crop == 7).all()


def test_a_reduced_crop_has_no_patterns_of_fine_texture():
    checkerboard = np.repeat(255 * (np.indices((448, 448)).sum(axis=0) % 2)[..., None], 3, axis=2).astype(np.uint8)
    assert np.ptp(centre_crop(checkerboard, 100).astype(int)) < 60
