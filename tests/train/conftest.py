"""A small set of the built-in data, to learn from."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolocore.config import IngestConfig
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures for training and 5 for validation."""
    out = tmp_path_factory.mktemp("shapes") / "data"
    config = IngestConfig(demo_images=25, demo_imgsz=64, train_fraction=0.8, val_fraction=0.2)
    ingest(config, IngestInputs(source="demo"), out)
    return out
