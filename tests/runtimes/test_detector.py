"""The detector: what is found comes back in each image's own pixels, whatever canvas the network saw."""

import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime, picture
from yolocore.detections import Detections
from yolocore.errors import ModelError, UsageError
from yolocore.letterbox import Letterbox
from yolocore.meta import TASKS, ModelMeta
from yolocore.nms import Suppressed
from yolocore.runtimes.detector import LocalDetector, Timings, check_task, open_detector
from yolocore.runtimes.postprocess import restore

SETTINGS = {"conf": 0.25, "iou": 0.7, "max_det": 300}
WIDE, TALL, SMALL = (96, 256), (256, 96), (32, 32)

CANVASES = [
    pytest.param([WIDE], {}, None, (64, 128), id="rectangle: shorter side rounded up"),
    pytest.param([WIDE], {"rect": False}, None, (128, 128), id="square"),
    pytest.param([WIDE], {"pad": 0.5}, None, (64, 160), id="rectangle with context"),
    pytest.param([WIDE], {"imgsz": 256}, None, (96, 256), id="another size"),
    pytest.param([WIDE, TALL], {}, None, (128, 128), id="a mixed batch takes what holds both"),
    pytest.param([SMALL], {}, None, (128, 128), id="a small image is enlarged"),
    pytest.param([SMALL, WIDE], {"pad": 0.5}, None, (160, 160), id="but not to fill the context"),
    pytest.param([WIDE, TALL], {"imgsz": 256}, (64, 96), (64, 96), id="a fixed shape stays"),
]


@pytest.mark.parametrize(("sizes", "options", "fixed", "canvas"), CANVASES)
def test_boxes_return_to_image_pixels(sizes, options, fixed, canvas):
    runtime = BrightRuntime(fixed)
    images = [picture(size, (5, 8, 25, 30), green=index == 1) for index, size in enumerate(sizes)]
    found = LocalDetector(runtime).detect(images, **SETTINGS, **options)
    assert runtime.seen == [(len(sizes), 3, *canvas)]
    for index, (size, detections) in enumerate(zip(sizes, found, strict=True)):
        gain = min(canvas[0] / size[0], canvas[1] / size[1])
        np.testing.assert_allclose(detections.boxes, [[5, 8, 25, 30]], atol=1.5 / min(gain, 1))
        assert detections.classes.tolist() == [index == 1]


def test_no_context_is_enlarged_away():
    """An image in a canvas with context keeps the longer side that was asked for."""
    runtime = BrightRuntime()
    detector = LocalDetector(runtime)
    (found,) = detector.detect([picture((64, 128), (0, 0, 128, 64))], **SETTINGS, pad=0.5)
    assert runtime.seen == [(1, 3, 96, 160)]
    np.testing.assert_array_equal(found.boxes, [[0, 0, 128, 64]])


def test_options_reach_the_suppression():
    detector = LocalDetector(BrightRuntime())
    images = [picture((64, 64), (5, 5, 20, 20))]
    assert len(detector.detect(images, conf=0.95, iou=0.7, max_det=300)[0]) == 0
    assert len(detector.detect(images, conf=0.25, iou=0.7, max_det=300, classes=[1])[0]) == 0
    assert len(detector.detect(images, conf=0.0005, iou=0.7, max_det=300, multi_label=True)[0]) == 6
    assert len(detector.detect(images, conf=0.0005, iou=0.7, max_det=1)[0]) == 1


def test_no_images_are_no_detections():
    assert LocalDetector(BrightRuntime()).detect([], **SETTINGS) == []


def test_time_is_counted_by_stage():
    detector = LocalDetector(BrightRuntime())
    for count in (1, 3):
        detector.detect([picture((64, 64))] * count, **SETTINGS)
    assert detector.timings.images == 4
    assert all(value > 0 for value in detector.timings.milliseconds().values())
    assert Timings().milliseconds() == {"preprocess_ms": 0, "inference_ms": 0, "postprocess_ms": 0}


SIZES = [pytest.param(WIDE, id="reduced"), pytest.param((96, 128), id="as is"), pytest.param((51, 67), id="enlarged")]
BOX = (5, 8, 45, 48)


def look(task, size, **options):
    (found,) = LocalDetector(BrightRuntime(task=task)).detect([picture(size, BOX)], **SETTINGS, **options)
    assert found.classes.tolist() == [0]
    return found


@pytest.mark.parametrize("size", SIZES)
def test_masks_have_the_resolution_of_the_image(size):
    found = look("segment", size)
    assert found.masks.shape == size
    (mask,) = found.masks.dense()
    x1, y1, x2, y2 = BOX
    ys, xs = np.indices(size)  # of the pixels' corners, which decide about the box; about the mask, their middles do
    inside = (xs >= x1) & (ys >= y1) & ((xs + 0.5 - x1) / (x2 - x1) + (ys + 0.5 - y1) / (y2 - y1) < 1)
    # A box that is found to begin at 5.1 leaves column 5 out.
    assert np.count_nonzero(mask ^ inside) < 0.12 * np.count_nonzero(inside)


@pytest.mark.parametrize("size", SIZES)
def test_keypoints_return_to_image_pixels(size):
    ((first, second),) = look("pose", size).keypoints
    np.testing.assert_allclose(first, [5, 8, 0.9], atol=1.5)
    np.testing.assert_allclose(second, [45, 48, 0.2], atol=1.5)
    np.testing.assert_allclose([first[2], second[2]], [0.9, 0.2], rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_rotated_boxes_return_to_image_pixels(size):
    """In the one form that each rectangle has: not narrower than high."""
    found = look("obb", size)
    (box,) = found.rotated
    np.testing.assert_allclose(box[:4], [25, 28, 40, 40], atol=2)
    assert box[2] >= box[3] and 0 <= box[4] < np.pi
    np.testing.assert_allclose(found.boxes, [BOX], atol=2)


def test_keypoints_lie_in_the_image_and_are_seen_where_the_model_does_not_say():
    place = Letterbox.fit((64, 64), (64, 64))
    meta = ModelMeta(task="pose", names=("a",), keypoints=(2, 2))
    left = Suppressed(Detections.empty()[:0], np.zeros((0, 4), np.float32))
    assert restore(left, [], place, meta).keypoints.shape == (0, 2, 3)
    one = Detections(np.float32([[1, 2, 30, 40]]), np.float32([0.5]), np.int64([0]))
    (points,) = restore(Suppressed(one, np.float32([[-3, 5, 70, 20]])), [], place, meta).keypoints
    np.testing.assert_array_equal(points, [[0, 5, 1], [64, 20, 1]])


@pytest.mark.parametrize(
    ("fixed", "imgsz", "side"),
    [((64, 64), 224, 64), (None, 224, 224), (None, None, 128)],
    ids=["a fixed shape", "asked for", "the model's own"],
)
def test_classes_of_images(fixed, imgsz, side):
    runtime = BrightRuntime(fixed, task="classify")
    images = [picture(WIDE, (100, 20, 150, 70)), picture(TALL, (20, 100, 70, 150), green=True)]
    red, green = LocalDetector(runtime).classify(images, imgsz=imgsz)
    assert runtime.seen == [(2, 3, side, side)]
    assert (red.top(1).tolist(), green.top(1).tolist()) == ([0], [1])
    assert LocalDetector(runtime).classify([]) == []


@pytest.mark.parametrize("task", TASKS)
def test_a_model_does_what_it_is_for(task):
    detector = LocalDetector(BrightRuntime(task=task))
    with pytest.raises(ModelError, match=f"a model for {task} (classifies no images|finds no objects); give one for"):
        detector.detect([], **SETTINGS) if task == "classify" else detector.classify([])


def test_a_task_that_is_not_the_models():
    meta = BrightRuntime(task="pose").meta
    check_task("m.pt", meta, None)
    check_task("m.pt", meta, "pose")
    with pytest.raises(ModelError, match=r"^task=segment: m.pt is for pose; leave task= out, or give a model for segm"):
        check_task("m.pt", meta, "segment")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("missing.onnx", "no such file", id="missing export"),
        pytest.param("missing.pt", "no such file", id="missing checkpoint"),
        pytest.param("model.h5", "unknown kind", id="a format of others"),
        pytest.param("yolo11n", "unknown kind", id="an architecture has no weights"),
    ],
)
def test_what_cannot_be_opened(model, message):
    with pytest.raises(ModelError, match=f"^model={model}: {message}"):
        open_detector(model)


@pytest.mark.parametrize("model", ["model.onnx", "triton://127.0.0.1:1/finder"])
def test_precision_is_fixed_once_exported(model):
    with pytest.raises(UsageError, match=f"^half=True: {model} has the precision"):
        open_detector(model, half=True)
