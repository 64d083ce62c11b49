"""train, with a batch that memory chooses: the record says which it was, the identity what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.listeners import Notes
from yolocore.config import TrainConfig
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train
from yolocore.records import TrainRecord


@pytest.mark.timeout(900)
def test_the_record_says_the_batch_that_was_chosen(shapes: Path, tmp_path: Path) -> None:
    config, notes = TrainConfig(epochs=1, batch=-1, imgsz=64, workers=1, device="cpu"), Notes()
    record = train(config, TrainInputs(data=str(shapes), model="yolo11n"), tmp_path / "out", notes)
    assert record.batch is not None and record.batch > 0
    assert f"batch={record.batch}: what memory holds" in notes.texts
    assert record.config["batch"] == -1
    assert TrainRecord.load(tmp_path / "out") == record
    older = record.model_dump_json(exclude={"batch"})
    assert TrainRecord.model_validate_json(older).batch is None
