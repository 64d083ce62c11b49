"""A detector behind a real server: the same answers as in process, over both protocols, and plain refusals."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.runtimes.bright import encoded, picture
from tests.serve.finder import INFO, META, SCORE
from yolocore.errors import DataError, ServiceError, UsageError
from yolocore.runtimes.detector import open_detector
from yolocore.runtimes.triton import NO_IMAGE, TritonDetector, TritonUrl, served_digest

LIMITS = {"conf": INFO.conf, "iou": INFO.iou, "max_det": INFO.max_det}
PICTURES = [
    picture((48, 64), (3, 5, 30, 40)),
    picture((48, 64), (10, 0, 64, 20), green=True),
    picture((200, 100), (7, 150, 9, 200)),
    picture((48, 64)),
    picture((333, 517), (1, 1, 516, 332), green=True),
]


@pytest.fixture(params=["http", "grpc"])
def url(request, serving):
    host, port = serving.endpoint.host, serving.endpoint.port
    return f"triton://{host}:{port}/finder" if request.param == "http" else f"triton+grpc://{host}:{port + 1}/finder"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("triton://host:9000/name", (False, "host", 9000, "name")),
        ("triton://host/name", (False, "host", 8000, "name")),
        ("triton+grpc://10.0.0.1/my-model_2", (True, "10.0.0.1", 8001, "my-model_2")),
        ("triton+grpc://[::1]:9001/name", (True, "[::1]", 9001, "name")),
    ],
)
def test_url_is_read(text, parts):
    url = TritonUrl.parse(text)
    assert (url.grpc, url.host, url.port, url.name) == parts


@pytest.mark.parametrize(
    "text", ["triton://host", "triton://host:x/name", "triton:///name", "triton://h/a/b", "tritons://h/a"]
)
def test_other_urls_are_refused(text):
    with pytest.raises(UsageError, match="is no Triton URL"):
        TritonUrl.parse(text)


def test_answers_are_those_of_the_graph_in_this_process(url, serving):
    session = onnxruntime.InferenceSession(serving.model)
    with TritonDetector(url) as detector:
        found = detector.detect(PICTURES, **LIMITS)
    for image, detections in zip(PICTURES, found, strict=True):
        boxes, scores, classes, count = session.run(None, {"image": np.ascontiguousarray(image[None, :, :, ::-1])})
        np.testing.assert_array_equal(detections.boxes, boxes[0, : count[0]])
        np.testing.assert_array_equal(detections.scores, scores[0, : count[0]])
        np.testing.assert_array_equal(detections.classes, classes[0, : count[0]])
    assert [detections.classes.tolist() for detections in found] == [[0], [1], [0], [], [1]]


def test_encoded_images_give_the_same(url):
    with TritonDetector(url) as detector:
        plain = detector.detect(PICTURES, **LIMITS)
        coded = detector.detect_encoded([encoded(image) for image in PICTURES])
    for a, b in zip(plain, coded, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.classes, b.classes)


def test_encoded_images_stand_upright(url):
    """As in the rest of the project: turned as their EXIF orientation says."""
    content = cv2.imencode(".jpg", picture((40, 80), (8, 8, 72, 32)))[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # 6: rotate 90° clockwise
    content = content[:2] + b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned + content[2:]
    with TritonDetector(url) as detector:
        (found,) = detector.detect_encoded([content])
    x1, y1, x2, y2 = found.boxes[0]
    assert y2 - y1 > x2 - x1


def test_server_says_what_it_serves(url, serving):
    with TritonDetector(url) as detector:
        assert (detector.meta, detector.info, detector.digest) == (META, INFO, serving.digest)
    assert served_digest(url) == serving.digest
    assert open_detector(url).meta == META


def test_time_is_accounted_for(url):
    with TritonDetector(url) as detector:
        detector.detect(PICTURES, **LIMITS)
        assert detector.timings.images == len(PICTURES)
        assert set(detector.timings.milliseconds()) == {"preprocess_ms", "inference_ms", "postprocess_ms"}


@pytest.mark.parametrize(
    ("settings", "classes"),
    [
        pytest.param({}, [[0], [1]], id="as served"),
        pytest.param({"conf": SCORE + 0.01}, [[], []], id="a higher score limit"),
        pytest.param({"classes": [1]}, [[], [1]], id="one class"),
        pytest.param({"classes": []}, [[], []], id="no class"),
        pytest.param({"max_det": 1}, [[0], [1]], id="fewer rows"),
        pytest.param({"multi_label": True, "rect": True, "pad": 0.5}, [[0], [1]], id="what is the server's business"),
        pytest.param({"imgsz": META.imgsz}, [[0], [1]], id="its own size"),
    ],
)
def test_callers_may_ask_for_less(url, settings, classes):
    with TritonDetector(url) as detector:
        found = detector.detect(PICTURES[:2], **{**LIMITS, **settings})
    assert [detections.classes.tolist() for detections in found] == classes


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param(
            {"conf": 0.001}, r"conf=0\.001: the served model drops scores below 0\.25", id="lower score limit"
        ),
        pytest.param({"iou": 0.5}, r"iou=0\.5: the served model suppresses at 0\.7", id="another overlap"),
        pytest.param({"max_det": 300}, "max_det=300: the served model answers with 5 rows", id="more rows"),
        pytest.param({"imgsz": 640}, "imgsz=640: the served model works at 64", id="another size"),
        pytest.param({"agnostic": True}, "agnostic_nms=True", id="suppression across classes"),
    ],
)
def test_callers_may_not_ask_for_what_the_server_has_dropped(url, settings, reason):
    with TritonDetector(url) as detector, pytest.raises(UsageError, match=reason):
        detector.detect(PICTURES[:1], **{**LIMITS, **settings})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GIF, or so it says", id="no image"),
        pytest.param(
            cv2.imencode(".jpg", picture((200, 200), (9, 9, 99, 99)))[1].tobytes()[:-200], id="truncated JPEG"
        ),
    ],
)
def test_bytes_that_are_no_image_are_the_senders_fault(url, content, capfd):
    with TritonDetector(url) as detector:
        with pytest.raises(DataError, match=NO_IMAGE):
            detector.detect_encoded([encoded(PICTURES[0]), content])
        assert len(detector.detect_encoded([encoded(PICTURES[0])])) == 1
    assert capfd.readouterr().err == ""  # gevent and gRPC print what they think went wrong, unless kept from it


def test_many_clients_get_each_their_own(url):
    """Requests of several sizes at once, which the server gathers into batches and takes apart again."""

    def ask(start: int) -> bool:
        boxes = [(x, 3, x + 20, 23) for x in range(start, start + 8)]
        images = [picture((48, 64 + 16 * (start % 2)), box, green=x % 2 == 1) for x, box in enumerate(boxes)]
        with TritonDetector(url) as detector:
            found = detector.detect(images, **LIMITS)
        return all(
            d.boxes.tolist() == [list(box)] and d.classes[0] == i % 2
            for i, (d, box) in enumerate(zip(found, boxes, strict=True))
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(12)))


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_no_server_is_said_at_once(scheme):
    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        TritonDetector(f"{scheme}://127.0.0.1:9/finder")
    assert "\n" not in str(caught.value)


def test_unknown_model_is_named(url):
    with pytest.raises(ServiceError, match="'nothing' is not found"):
        TritonDetector(url.replace("finder", "nothing"))


def test_model_of_somebody_else_is_refused(url):
    with pytest.raises(ServiceError, match="not deployed by yolocore"):
        TritonDetector(f"{url}-jpeg")


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_silent_server_is_given_up(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServiceError, match="no answer in time"):
        TritonDetector(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/finder", timeout=0.3)


def test_server_that_comes_up_late_is_asked_again(serving):
    """A connection refused once: the client waits a moment, and the answer is the server's."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]

    def forward() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            client, _ = listener.accept()
            server = socket.create_connection((serving.endpoint.host, serving.endpoint.port))
            with client, server:
                for source, target in pairwise([client, server, client]):
                    target.sendall(source.recv(1 << 16))

    relay = threading.Timer(0.1, forward)
    relay.start()
    TritonDetector(f"triton://127.0.0.1:{port}/finder").close()
    relay.join()
