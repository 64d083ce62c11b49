"""What is saved is what is loaded, and what is loaded decides the same next step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.amp import GradScaler

from yolocore.errors import StorageError
from yolocore.model.yolo11 import build
from yolocore.train.ema import Ema
from yolocore.train.optim import Rule, build_optimizer
from yolocore.train.state import TrainState, read_state


def fresh(name: str, seed: int) -> TrainState:
    torch.manual_seed(seed)
    model = build("n", 2).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, Rule(name, 0.01, 0.9, 0.0, 64), weight_decay=0.0005)
    return TrainState(model, Ema(model), optimizer, GradScaler("cpu", enabled=False), 16, [0.0] * 3)


def step(state: TrainState) -> None:
    """An update that depends on everything in the state."""
    images = torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    sum(m.square().mean() for m in state.model.raw(images)).backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.ema.update()


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSProp"])
def test_a_loaded_state_goes_on_as_the_saved_one(name: str, tmp_path: Path) -> None:
    one = fresh(name, seed=0)
    step(one)
    one.batch_size = 24
    one.epoch, one.batch, one.sums, one.best, one.best_epoch = 3, 2, [0.1, 0.2, 0.3], 0.5, 2
    one.rows = [{"epoch": 1, "map50_95": 0.5}]
    one.save(tmp_path / "state.pt")
    other = fresh(name, seed=1)
    saved = read_state(tmp_path / "state.pt")
    assert saved
    other.restore(saved)
    for attribute in TrainState._POSITION:
        assert getattr(other, attribute) == getattr(one, attribute), attribute
    for state in (other, one):
        torch.manual_seed(7)
        step(state)
    assert other.ema.updates == one.ema.updates == 2
    for mine, theirs in ((other.model, one.model), (other.ema.model, one.ema.model)):
        for key, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[key], value), key


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut in the middle"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"PK\x03\x04" + bytes(100), id="another archive"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(damage, tmp_path: Path) -> None:
    state = fresh("SGD", seed=0)
    path = tmp_path / "state.pt"
    state.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match=r"state\.pt: is damaged .*delete it"):
        read_state(path)


def test_where_there_is_no_state_training_begins(tmp_path: Path) -> None:
    assert read_state(tmp_path / "state.pt") is None
