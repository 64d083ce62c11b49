"""The served graph without a server: it finds what the server would, and honours no limit that it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.export.networks import META as LIVELY
from tests.export.networks import lively_network
from tests.runtimes.bright import picture
from tests.serve.finder import INFO, write_network, write_serving
from yolocore.config import ExportConfig
from yolocore.errors import ModelError, UsageError
from yolocore.model.checkpoint import save_weights
from yolocore.runtimes.detector import open_detector
from yolocore.runtimes.served import ServedGraph
from yolocore.runtimes.triton import TritonDetector

LIMITS = {"conf": INFO.conf, "iou": INFO.iou, "max_det": INFO.max_det}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ServedGraph:
    return ServedGraph(write_serving(tmp_path_factory.mktemp("served") / "serving.onnx"), **LIMITS)


def test_finds_in_images_of_any_size(graph: ServedGraph) -> None:
    images = [picture((48, 64), (3, 5, 30, 40), green=True), picture((64, 40)), picture((40, 64), (0, 0, 9, 9))]
    green, nothing, red = graph.detect(images, **LIMITS)
    np.testing.assert_array_equal(green.boxes, [[3, 5, 30, 40]])
    assert (green.classes.tolist(), len(nothing), red.classes.tolist()) == ([1], 0, [0])
    assert graph.meta.names == ("red", "green")
    assert graph.timings.images == 3


def test_what_a_server_answers(graph, serving) -> None:
    images = [picture((48, 64), (3, 5, 30, 40), green=True), picture((64, 40), (7, 2, 20, 33))]
    with TritonDetector(serving.endpoint.url("finder")) as detector:
        for ours, theirs in zip(graph.detect(images, **LIMITS), detector.detect(images, **LIMITS), strict=True):
            np.testing.assert_array_equal(ours.boxes, theirs.boxes)
            np.testing.assert_array_equal(ours.scores, theirs.scores)


@pytest.mark.slow
def test_an_exported_networks_own_letterbox_and_suppression(tmp_path: Path) -> None:
    """Against the network alone, with this process's letterbox and suppression around it."""
    from tests.modes.test_export import write_dataset
    from yolocore.modes.export import export
    from yolocore.modes.inputs import ExportInputs

    save_weights(tmp_path / "lively.pt", lively_network(), LIVELY)
    data = write_dataset(tmp_path, images=2)
    config = ExportConfig(simplify=False, parity_images=2)
    export(config, ExportInputs(model=str(tmp_path / "lively.pt"), data=data), tmp_path / "out")
    limits = {"conf": config.conf, "iou": config.iou, "max_det": config.max_det}
    served = ServedGraph(tmp_path / "out" / "serving.onnx", **limits, device="cpu")
    network = open_detector(str(tmp_path / "out" / "model.onnx"), "cpu")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (ours,), (theirs,) = (each.detect([image], **limits, rect=False) for each in (served, network))
    assert len(theirs) > 0
    # Square images pass the letterbox unchanged: what is left is the order of equal scores.
    np.testing.assert_allclose(np.sort(ours.scores), np.sort(theirs.scores), atol=1e-5)


def test_less_may_be_asked_for(graph: ServedGraph) -> None:
    image = picture((48, 64), (3, 5, 30, 40))
    (found,) = graph.detect([image], **{**LIMITS, "conf": 0.95})
    assert len(found) == 0
    (found,) = graph.detect([image], **LIMITS, classes=[1])
    assert len(found) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"conf": 0.1}, "drops scores below 0.25", id="lower scores"),
        pytest.param({"iou": 0.5}, "suppresses at 0.7", id="another overlap"),
        pytest.param({"max_det": 9}, "answers with 5 rows", id="more rows"),
        pytest.param({"imgsz": 320}, "works at 64", id="another size"),
        pytest.param({"agnostic": True}, "within each class", id="across classes"),
    ],
)
def test_more_is_refused(graph: ServedGraph, change: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        graph.detect([picture((32, 32))], **{**LIMITS, **change})


def test_it_classifies_nothing(graph: ServedGraph) -> None:
    with pytest.raises(ModelError, match="classifies no images"):
        graph.classify([picture((32, 32))])


def test_files_that_are_no_serving_model(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    for path, reason in (
        (tmp_path / "broken.onnx", "cannot be loaded"),
        (write_network(tmp_path / "network.onnx"), "is no serving model"),
    ):
        with pytest.raises(ModelError, match=reason):
            ServedGraph(path, **LIMITS)
