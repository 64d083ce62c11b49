"""The command that runs the pipeline without a cluster: what it refuses before it starts."""

import pytest

from pipelines.run_local import main


@pytest.mark.parametrize(
    ("word", "line"),
    [
        pytest.param("train_epoch=3", "did you mean 'train_epochs'?", id="misspelt parameter"),
        pytest.param("predict_conf=0.5", "unknown parameter 'predict_conf'", id="mode outside the pipeline"),
        pytest.param("train_epochs=many", "epochs='many'", id="text for a number"),
        pytest.param("deploy_port=99999", "port='99999'", id="out of range"),
        pytest.param("runner=dokcer", "did you mean 'docker'?", id="no such runner"),
        pytest.param("pipeline=train", "did you mean 'training'?", id="no such pipeline"),
        pytest.param("pipeline=evaluation", "evaluation_model= is missing: URI of", id="nothing to measure"),
        pytest.param("params=none.yaml", "none.yaml: cannot be read", id="no such file"),
        pytest.param("train_epochs", "is not of the form key=value", id="no value"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_runs(word, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([word]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_docker_that_does_not_answer_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert main(["runner=docker"]) == 5
    error = capsys.readouterr().err
    assert "runner=docker: does not answer" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
