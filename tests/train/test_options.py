"""Whole small trainings with each of the settings that change what a batch is, or what it weighs."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.data.plain import PLAIN
from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.producers import ProcessLoader
from yolocore.errors import PreemptedError
from yolocore.progress import Silent
from yolocore.train import capacity
from yolocore.train.loop import LAST, STATE, Trainer
from yolocore.train.start import choose_origin, start_from
from yolocore.train.state import read_state

pytestmark = pytest.mark.slow

TINY = TrainConfig(epochs=1, batch=4, imgsz=64, nbs=4, workers=1, amp=False, device="cpu")


class Heard(Silent):
    """Keeps what a training says, and asks the process to end after `updates` of them; 0: never."""

    def __init__(self, updates: int = 0) -> None:
        self.notes: list[str] = []
        self.losses: list[dict[str, float]] = []
        self.rows: list[Mapping[str, float]] = []
        self._updates = updates

    def advance(self, n: int = 1, **figures: float) -> None:
        if figures:
            self.losses.append({name: value for name, value in figures.items() if name.endswith("loss")})
            if len(self.losses) == self._updates:
                os.kill(os.getpid(), signal.SIGTERM)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)


def trainer(data: Path, work: Path, config: TrainConfig, heard: Heard) -> tuple[Trainer, list[tuple[int, ...]]]:
    """A training, and the shapes (b, h, w) of the batches that the network is to see in it."""
    work.mkdir(exist_ok=True)
    dataset, origin = open_dataset(data), choose_origin("yolo11n", config)
    model, meta = start_from(origin, dataset, config, heard)
    made = Trainer(model, meta, dataset.split("train"), dataset.split("val"), config, torch.device("cpu"), work, heard)
    shapes: list[tuple[int, ...]] = []

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        shapes.append((len(inputs[0]), *inputs[0].shape[2:]))

    made.state.model.model[0].register_forward_pre_hook(look)
    return made, shapes


def test_a_chosen_batch_is_kept_where_there_is_other_memory(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TINY.model_copy(update={"batch": -1, "nbs": 1, "epochs": 2})
    monkeypatch.setattr(capacity, "free_memory", lambda: 64 << 30)
    heard = Heard(updates=1)
    first, seen = trainer(shapes, tmp_path / "work", config, heard)
    assert "batch=16: what memory holds" in heard.notes  # the largest round number of 21 images
    with pytest.raises(PreemptedError):
        first.run()
    saved = read_state(tmp_path / "work" / STATE)
    assert saved is not None and saved["batch_size"] == 16

    monkeypatch.setattr(capacity, "free_memory", lambda: 0)
    tight = Heard()
    other, _ = trainer(shapes, tmp_path / "other", config, tight)
    assert other.state.batch_size == 1, "the choice does not depend on the memory, and this test shows nothing"
    tight = Heard()
    second, seen_then = trainer(shapes, tmp_path / "work", config, tight)
    assert not [note for note in tight.notes if "what memory holds" in note]
    second.run()
    assert second.state.batch_size == 16
    assert [batch for batch, *_ in seen + seen_then] == [11, 10] * 2  # two epochs, divided evenly


def dataset_of(folder: Path, sizes: list[tuple[int, int]], classes: list[int]) -> Path:
    """A YOLO folder: pictures of these (height, width), each with one object, for training and validation alike."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number, ((height, width), category) in enumerate(zip(sizes, classes, strict=True)):
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        (folder / "images" / f"{number:02}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        (folder / "labels" / f"{number:02}.txt").write_text(f"{category} 0.5 0.5 0.6 0.6\n")
    (folder / "dataset.yaml").write_text("train: images\nval: images\nnames: [often, seldom]\n")
    return folder


def test_rect_pads_to_the_rectangle_of_its_pictures(tmp_path: Path) -> None:
    """Eight wide pictures and eight tall ones never share a batch. A mosaic would be square."""
    data = dataset_of(tmp_path / "data", [(48, 96), (96, 48)] * 8, [0] * 16)
    square, seen_square = trainer(data, tmp_path / "square", TINY.model_copy(update={"imgsz": 96}), Heard())
    square.run()
    assert set(seen_square) == {(4, 96, 96)}
    heard = Heard()
    rect, seen = trainer(data, tmp_path / "rect", TINY.model_copy(update={"imgsz": 96, "rect": True}), heard)
    rect.run()
    assert sorted(seen) == [(4, 64, 96)] * 2 + [(4, 96, 64)] * 2
    assert all(np.isfinite(value) for value in heard.rows[0].values())


def test_multi_scale_changes_the_size_of_batches(shapes: Path, tmp_path: Path) -> None:
    config = TINY.model_copy(update={"batch": 2, "imgsz": 96, "multi_scale": 0.5})
    runs = []
    for name in ("one", "two"):
        made, seen = trainer(shapes, tmp_path / name, config, Heard())
        made.run()
        runs.append(seen)
    assert len(runs[0]) == 11  # 21 images
    assert {height for _, height, _ in runs[0]} == {64, 96, 128}  # 96 ± 48, in strides
    assert all(height == width for _, height, width in runs[0])
    assert runs[1] == runs[0]  # as the seed says


def first_losses(data: Path, work: Path, power: float) -> dict[str, float]:
    """Of the first update, which all 16 images make together, before weights can differ."""
    config = TINY.model_copy(update={**PLAIN, "batch": 16, "nbs": 16, "cls_pw": power})
    heard = Heard()
    made, _ = trainer(data, work, config, heard)
    made.run()
    return heard.losses[0]


def test_class_weights_weigh_the_class_term(tmp_path: Path) -> None:
    """That of 15 objects of a class and 1 of another is often · A + seldom · B, where A and B are the same whatever
    the weights: two trainings say what they are, and the third has to follow."""
    data = dataset_of(tmp_path / "data", [(64, 64)] * 16, [0] * 15 + [1])
    plain, root, full = (first_losses(data, tmp_path / f"{power}", power) for power in (0.0, 0.5, 1.0))
    for weighed in (root, full):
        assert weighed["box_loss"] == pytest.approx(plain["box_loss"], rel=1e-5)
        assert weighed["dfl_loss"] == pytest.approx(plain["dfl_loss"], rel=1e-5)
    # Shares of 1/√15 : 1 and 1/15 : 1, with a mean over the 16 objects of 1.
    weights = np.array([[1, 1], [16 / (15 + 15**0.5), 16 / (15**0.5 + 1)], [16 / 30, 8]])
    often, seldom = np.linalg.solve(weights[:2], [plain["cls_loss"], root["cls_loss"]])
    assert often > seldom > 0
    assert full["cls_loss"] == pytest.approx(weights[2] @ (often, seldom), rel=1e-3)


def test_class_weights_of_classes_alike_change_nothing(tmp_path: Path) -> None:
    data = dataset_of(tmp_path / "data", [(64, 64)] * 16, [0, 1] * 8)
    plain, full = (first_losses(data, tmp_path / f"{power}", power) for power in (0.0, 1.0))
    assert full == pytest.approx(plain, rel=1e-5)


def test_batches_from_other_processes_train_to_the_same_bits(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where the loader's threads would be in the network's way."""
    config = TINY.model_copy(update={"epochs": 3, "workers": 2})
    states = []
    for name in ("threads", "processes"):
        made, _ = trainer(shapes, tmp_path / name, config, Heard())
        if name == "processes":
            loader = ProcessLoader(made.images, config, "detect")
            monkeypatch.setattr(made, "_loader", lambda loader=loader: loader)
        made.run()
        states.append(torch.load(tmp_path / name / LAST, weights_only=True)["state"])
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
