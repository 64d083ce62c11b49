"""The report: read from records, whole in one file, in the order of the chain."""

import base64

import pytest

from yolocore.config import PredictConfig, ValConfig
from yolocore.errors import DataError
from yolocore.modes.step import Step
from yolocore.records import PredictRecord, ValRecord
from yolocore.views.report import LARGEST_PICTURE, finished_steps, page, places, summary

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def runs(tmp_path):
    """Results of a val and a predict step, the later mode first on the disk."""
    with Step(PredictRecord, PredictConfig(), {"model": "m", "source": "s"}, tmp_path / "a") as step:
        (step.work / "labels").mkdir()
        step.publish(metrics={}, artifacts={"labels": "labels"}, frames=1, objects={"cat": 2})
    with Step(ValRecord, ValConfig(), {"model": "m", "data": "d"}, tmp_path / "b") as step:
        (step.work / "small.png").write_bytes(PNG)
        (step.work / "large.png").write_bytes(b"x" * (LARGEST_PICTURE + 1))
        (step.work / "p<r>.csv").write_text("1,2")
        views = ["small.png", "large.png", "p<r>.csv"]
        step.publish(metrics={"map50_95": 0.61234}, artifacts={}, views=views, per_class={})
    return tmp_path


def test_steps_come_in_the_order_of_the_chain(runs):
    assert [record.step for _, record in finished_steps(runs)] == ["val", "predict"]


def test_results_may_lie_deeper_as_kubeflow_puts_them(runs, tmp_path):
    deeper = tmp_path / "run" / "training-1" / "val"
    deeper.mkdir(parents=True)
    (runs / "b").rename(deeper / "evaluation")
    assert [record.step for _, record in finished_steps(tmp_path / "run")] == ["val"]


def test_a_folder_without_results_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="holds no results; run `dvc repro`"):
        finished_steps(tmp_path)


def test_the_page_stands_alone(runs):
    text = page("Results of <x>", finished_steps(runs))
    assert base64.b64encode(PNG).decode() in text
    assert "0.6123" in text
    assert "Results of &lt;x&gt;" in text
    assert "p&lt;r&gt;.csv" in text
    assert "large.png" in text  # by its path: a page of megabytes does not open in a pipeline's viewer
    assert len(text) < 10_000
    assert 'src="/' not in text and "href" not in text


def test_the_summary_names_figures_and_files(runs):
    (folder, record), (predicted, _) = finished_steps(runs)
    lines = summary(folder, record)
    assert lines[0].startswith("val: map50_95 0.6123")
    assert f"3 pictures and tables: {folder}" in lines[-1]
    assert f"  labels: {predicted / 'labels'}" in summary(predicted, finished_steps(runs)[1][1])


def test_only_places_that_exist_are_named(runs, monkeypatch):
    monkeypatch.chdir(runs)
    assert places(runs) == []
    (runs / "serving").mkdir()
    assert [name for name, _ in places(runs)] == ["served models"]
