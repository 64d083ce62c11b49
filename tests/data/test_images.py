"""Sizes from headers are what decoding gives, and what is broken is refused."""

import struct

import cv2
import numpy as np
import pytest

from yolocore.data.images import check_image, decode_image, image_size
from yolocore.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)


def encoded(suffix: str, *options: int, pixels=PIXELS) -> bytes:
    return cv2.imencode(suffix, pixels, list(options))[1].tobytes()


def with_exif(orientation: int, order: str) -> bytes:
    """A JPEG whose EXIF block says how it is to be turned."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    tiff = mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    payload = b"Exif\0\0" + tiff
    plain = encoded(".jpg")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + plain[2:]


FORMS = {
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg with restart markers": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "grey jpeg": encoded(".jpg", pixels=PIXELS[..., 0]),
    "png": encoded(".png"),
    "16-bit png": encoded(".png", pixels=PIXELS.astype(np.uint16) * 257),
    "webp": encoded(".webp"),
    "bmp": encoded(".bmp"),
    "tiff": encoded(".tiff"),
    **{f"exif orientation {n}, {order}": with_exif(n, order) for n in range(1, 9) for order in "<>"},
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_all_ways_to_the_size_agree(content, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(content)
    decoded = decode_image(content, "image")
    assert decoded.dtype == np.uint8
    assert decoded.shape[2] == 3
    assert check_image(content) == image_size(path) == decoded.shape[:2]
    assert check_image(memoryview(content)) == decoded.shape[:2]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_copies_show_the_same(suffix, reduction):
    y, x = np.mgrid[0:80, 0:120]
    pixels = np.stack((x * 2, y * 3, x + y), 2).astype(np.uint8)
    small = decode_image(encoded(suffix, pixels=pixels), "image", reduction)
    assert small.shape == (80 // reduction, 120 // reduction, 3)
    whole = cv2.resize(pixels, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - whole).mean() < 4


def test_sideways_pictures_are_turned():
    assert check_image(with_exif(6, "<")) == (80, 48)


def test_real_photographs(shared):
    paths = sorted((shared / "data" / "coco" / "images").glob("*.jpg"))[::4]
    for path in paths:
        content = path.read_bytes()
        assert image_size(path) == check_image(content) == decode_image(content, path.name).shape[:2]


@pytest.mark.parametrize("form", ["jpeg", "progressive jpeg", "grey jpeg", "png", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.98])
def test_a_truncated_image_is_refused(form, share):
    content = FORMS[form][: int(len(FORMS[form]) * share)]
    assert check_image(content) is None
    with pytest.raises(DataError, match=r"^a/b\.jpg: .*replace the file"):
        decode_image(content, "a/b.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(1000), b"\xff\xd8\xff\xe0"], ids=["empty", "text", "zeros", "start"]
)
def test_what_is_no_image_is_refused(content, tmp_path):
    (tmp_path / "x.jpg").write_bytes(content)
    assert check_image(content) is None
    with pytest.raises(DataError, match=r"x\.jpg"):
        image_size(tmp_path / "x.jpg")
