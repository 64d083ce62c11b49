"""On a GPU: the same losses as on the CPU, trainings of every task, and the same bits after a restart."""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path

import pytest
import torch

from yolocore.config import IngestConfig, TrainConfig, ValConfig
from yolocore.data import open_dataset
from yolocore.data.loader import TrainLoader
from yolocore.errors import PreemptedError
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs, TrainInputs, ValInputs
from yolocore.modes.train import train
from yolocore.modes.val import val
from yolocore.progress import Silent
from yolocore.train.objective import Objective
from yolocore.train.recorded import RecordedNetwork
from yolocore.train.start import choose_origin, start_from

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

CONFIG = TrainConfig(epochs=3, batch=8, imgsz=96, nbs=8, close_mosaic=1, warmup_epochs=0.5, device="cuda")
SOURCES = {
    "yolo11n": "demo",
    "yolo11n-seg": "demo",
    "yolo11n-pose": "demo",
    "yolo11n-obb": "demo",
    "yolo11n-cls": "demo-classify",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in datasets by source."""
    folder = tmp_path_factory.mktemp("data")
    for source in set(SOURCES.values()):
        ingest(IngestConfig(demo_images=80, demo_imgsz=96), IngestInputs(source=source), folder / source)
    return {source: folder / source for source in SOURCES.values()}


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 as the CPU has it, in place of the tensor cores' shorter one."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


class Ended(Silent):
    """Asks its own process to end within the second epoch."""

    updates = 0

    def advance(self, n: int = 1, **figures: float) -> None:
        self.updates += bool(figures)
        if self.updates == 11:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", SOURCES)
def test_losses_and_gradients_are_those_of_the_cpu(name: str, data: dict[str, Path], full_precision: None) -> None:
    dataset = open_dataset(data[SOURCES[name]])
    model, meta = start_from(choose_origin(name, CONFIG), dataset, CONFIG, Silent())
    with TrainLoader(dataset.split("train"), CONFIG, meta.task, dataset.flip_idx) as loader:
        batch = next(iter(loader.epoch(0)))
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        model = model.to(device, memory_format=torch.channels_last).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.eval()  # its random numbers are the device's own
        model.zero_grad()
        loss, parts = Objective(meta, CONFIG, device, None)(model.raw, batch)
        loss.backward()
        gradients = [p.grad.flatten().double().cpu() for p in model.parameters() if p.grad is not None]
        found.append((parts.cpu(), torch.cat(gradients)))
    (parts, gradient), (parts_there, gradient_there) = found
    torch.testing.assert_close(parts_there, parts, rtol=1e-3, atol=1e-4)
    assert _difference(gradient_there, gradient) < 0.02


@pytest.mark.parametrize("name", SOURCES)
def test_a_restart_ends_in_the_same_bits(name: str, data: dict[str, Path], tmp_path: Path) -> None:
    inputs = TrainInputs(data=str(data[SOURCES[name]]), model=name)
    alone = train(CONFIG, inputs, tmp_path / "alone")
    with pytest.raises(PreemptedError):
        train(CONFIG, inputs, tmp_path / "again", Ended())
    again = train(CONFIG, inputs, tmp_path / "again")
    for file in ("best.pt", "last.pt"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes(), file
    assert again.metrics == alone.metrics

    best, metrics = str(tmp_path / "alone" / "best.pt"), []
    for device in ("cpu", "cuda"):
        settings = ValConfig(device=device, imgsz=96)
        metrics.append(val(settings, ValInputs(model=best, data=inputs.data), tmp_path / device).metrics)
    assert metrics[1]["images"] == metrics[0]["images"] > 0
    assert all(metrics[1][key] == pytest.approx(value, abs=0.05) for key, value in metrics[0].items() if "map" in key)


def test_recorded_passes_are_the_network(data: dict[str, Path], full_precision: None) -> None:
    """Outputs, gradients summed over batches of two shapes, and statistics."""
    dataset = open_dataset(data["demo"])
    network, _ = start_from(choose_origin("yolo11n", CONFIG), dataset, CONFIG, Silent())
    network = network.to("cuda", memory_format=torch.channels_last).train()
    recorded = copy.deepcopy(network)
    replay = RecordedNetwork(recorded)
    generator = torch.Generator("cuda").manual_seed(0)
    for shape in ((4, 3, 96, 96), (3, 3, 64, 96), (4, 3, 96, 96), (3, 3, 64, 96)):
        images = torch.rand(shape, device="cuda", generator=generator)
        outputs = [raw(images) for raw in (network.raw, replay)]
        for expected, found in zip(*outputs, strict=True):
            assert _difference(found, expected) < 1e-3
        for raw in outputs:  # one backward pass for a forward pass: a recording keeps its memory for no second one
            torch.stack([output.square().mean() + output.mean() for output in raw]).sum().backward()
    pairs = [(p.grad, r.grad) for p, r in zip(network.parameters(), recorded.parameters(), strict=True)]
    expected, found = (torch.cat([each[side].flatten() for each in pairs if each[0] is not None]) for side in (0, 1))
    assert _difference(found, expected) < 0.02
    for expected, found in zip(network.buffers(), recorded.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """As a share of what is expected: other kernels add in another order."""
    return float(torch.norm(found - expected) / torch.norm(expected))


def test_a_restart_of_recorded_passes(data: dict[str, Path], tmp_path: Path) -> None:
    """A trained model's normalisations are settled, so that all of its batches are recorded ones."""
    start = train(CONFIG, TrainInputs(data=str(data["demo"]), model="yolo11n"), tmp_path / "start")
    assert start.epochs == CONFIG.epochs
    inputs = TrainInputs(data=str(data["demo"]), model=str(tmp_path / "start" / "best.pt"))
    train(CONFIG, inputs, tmp_path / "alone")
    with pytest.raises(PreemptedError):
        train(CONFIG, inputs, tmp_path / "again", Ended())
    train(CONFIG, inputs, tmp_path / "again")
    for file in ("best.pt", "last.pt"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes(), file


def test_a_batch_that_the_gpu_holds(data: dict[str, Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"batch": -1, "epochs": 1})
    record = train(config, TrainInputs(data=str(data["demo"]), model="yolo11n"), tmp_path / "out")
    assert record.batch == 64  # all that there are
