"""Whether a training brought anything new, asked of a real registry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from yolocore.component.news import news
from yolocore.lineage import registry
from yolocore.records import Artifact, TrainRecord

BEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def checkpoint(tmp_path: Path) -> SimpleNamespace:
    common = {"key": "", "program": "", "config": {}, "inputs": {}, "views": (), "metrics": {}, "versions": {}}
    best = Artifact(path="best.pt", digest=BEST, bytes=1)
    record = TrainRecord(
        step="train", artifacts={"best": best}, timings={}, epochs=1, best_epoch=1, fitness=0, **common
    )
    (tmp_path / "record.json").write_text(record.to_json())
    return SimpleNamespace(path=str(tmp_path))


@pytest.fixture
def report(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(path=str(tmp_path / "report"), uri="s3://pipelines/run-1/news/report")


@pytest.mark.parametrize(
    ("champion", "found"),
    [
        pytest.param(None, "changed", id="nothing is in production"),
        pytest.param(OTHER, "changed", id="another checkpoint"),
        pytest.param(BEST, "same", id="the very one"),
    ],
)
def test_a_training_is_compared_with_what_is_in_production(champion, found, checkpoint, report, database, capsys):
    client = registry.registry()
    candidate = registry.register(client, "detector", "sha256:c", "triton:///c", {registry.CHECKPOINT: BEST})
    registry.nominate(client, "detector", candidate)
    if champion:
        version = registry.register(client, "detector", "sha256:d", "triton:///d", {registry.CHECKPOINT: champion})
        registry.promote(client, "detector", version)
    assert news(checkpoint=checkpoint, report=report, name="detector") == found
    said = capsys.readouterr().out
    assert BEST in said and said.strip() == Path(report.path).read_text().strip()


def test_a_name_that_nobody_deployed(checkpoint, report, database):
    assert news(checkpoint=checkpoint, report=report, name="nobody") == "changed"


def test_an_artifact_of_another_step_is_one_line(checkpoint, report, database, capsys):
    record = Path(checkpoint.path) / "record.json"
    record.write_text(record.read_text().replace('"fitness"', '"fatness"'))
    with pytest.raises(SystemExit) as caught:
        news(checkpoint=checkpoint, report=report, name="detector")
    assert caught.value.code == 3
    assert capsys.readouterr().err.startswith("news: error: ")


def test_what_no_retry_can_mend_is_tried_once(checkpoint, report, database, store, capsys):
    record = Path(checkpoint.path) / "record.json"
    right = record.read_text()
    record.write_text("{}")
    said = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            news(checkpoint=checkpoint, report=report, name="detector")
        assert ended.value.code == 3
        said.append(capsys.readouterr().err)
        record.write_text(right)  # the second attempt would read it
    assert said[0] == said[1] and said[0].startswith("news: error: ")
