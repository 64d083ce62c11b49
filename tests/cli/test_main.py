"""The command line: help generated from the tree, one line for a mistake, results where they were asked for."""

import subprocess
import sys

import pytest

import yolocore
from yolocore.cli import main
from yolocore.config import MODES, section_class
from yolocore.errors import error_classes
from yolocore.modes.request import INPUTS


def test_help_names_every_mode_and_every_exit_code(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for mode in MODES:
        assert f"\n  {mode} " in text
    for error in error_classes():
        assert f"\n  {error.exit_code} " in text
    assert main([]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("mode", MODES)
def test_help_of_a_mode_shows_every_key_with_its_meaning(mode, capsys):
    assert main([mode, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, field in {**INPUTS[mode].model_fields, **section_class(mode).model_fields}.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert field.description in line


@pytest.mark.parametrize(
    ("mode", "key", "words"),
    [
        pytest.param("train", "epochs", ["int", "100", "≥ 1"], id="bounded integer"),
        pytest.param("train", "lrf", ["float", "0.01", "> 0, ≤ 1"], id="bounds on both sides"),
        pytest.param("train", "optimizer", ["auto | SGD | Adam | AdamW"], id="choice"),
        pytest.param("train", "imgsz", ["640", "≥ 32, ≤ 4096, multiple of 32"], id="multiple"),
        pytest.param("val", "imgsz", ["≥ 32, ≤ 4096, multiple of 32"], id="bounds of what may be empty"),
        pytest.param("predict", "classes", ["list of int", "≥ 0"], id="list"),
        pytest.param("train", "data", ["required"], id="required input"),
    ],
)
def test_help_shows_type_default_and_range(mode, key, words, capsys):
    main([mode, "--help"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == [key]]
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        pytest.param(["trian"], 2, "yolo trian: error: unknown mode 'trian'; did you mean 'train'?", id="mode"),
        pytest.param(["reprot"], 2, "did you mean 'report'?", id="command"),
        pytest.param(["train", "dta=x"], 2, "yolo train: error: unknown key 'dta'; did you mean 'data'?", id="key"),
        pytest.param(["train", "data=x", "epochs=0"], 2, "epochs='0'", id="value"),
        pytest.param(["ingest", "source=nowhere"], 3, "nowhere", id="missing folder"),
        pytest.param(["train", "data=x", "seed=1e3"], 2, "an integer; give int ≥ 0", id="a number of another kind"),
        pytest.param(["train", "data=x", "imgsz=100"], 2, "; give int ≥ 32, ≤ 4096, multiple of 32", id="a size"),
        pytest.param(["train", "data=x", "lr0=inf"], 2, "lr0='inf': ", id="no number"),
        pytest.param(["train", "data=x", "project=y"], 2, "'project'; the folder of the result is out=", id="out="),
        pytest.param(["train", "data=x", "cache=ram"], 2, "'cache'; images are read where", id="no need of it"),
        pytest.param(["train", "data=x", "zebra=1"], 2, "'zebra'; there are data, model", id="nothing like it"),
        pytest.param(["ingest", "source=demo", "out=file/x"], 6, "cannot be a folder", id="a folder in a file"),
        pytest.param(["ingest", "source=demo", "out=/proc/x/y"], 6, "/proc/x: cannot be", id="no place for one"),
        pytest.param(["report", "nowhere"], 3, "nowhere: holds no results", id="report of nothing"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(words, code, line, tmp_path, database, capsys):
    (tmp_path / "file").touch()
    assert main(words) == code
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(tmp_path.glob("runs/*"))


def test_an_unreachable_tracker_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["ingest", "source=demo"]) == 5
    assert "MLflow at http://127.0.0.1:9: cannot be used" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_version(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{yolocore.__version__}\n"


def test_a_reader_that_leaves_early_is_no_error():
    command = (
        f"{sys.executable} -c 'from yolocore.cli import main; import sys; sys.exit(main())' train --help | head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: yolo train")
    assert done.stderr == ""


def test_results_go_to_standard_output_and_progress_does_not(tmp_path, database, capsys):
    words = ["ingest", "source=demo", "demo_images=24", "demo_imgsz=64", "out=here"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("ingest: images 24  ")
    assert "  dataset: here/manifest.json" in captured.out
    assert "check images" in captured.err
    assert main(words) == 0  # found finished: says the same again
    assert capsys.readouterr().out == captured.out
    assert main(["report", "."]) == 0
    assert "ingest" in capsys.readouterr().out
    assert "<h2>ingest</h2>" in (tmp_path / "report.html").read_text()


def test_a_checkpoint_is_converted_into_the_public_layout(tmp_path):
    import torch

    from yolocore.meta import ModelMeta
    from yolocore.model.checkpoint import load_weights, save_weights
    from yolocore.model.yolo11 import build

    model, meta = build("n", 1, "pose", (3, 2)), ModelMeta(task="pose", names=("shape",), keypoints=(3, 2))
    save_weights(tmp_path / "ours.pt", model, meta)
    public = tmp_path / "new" / "public.pt"
    assert main(["convert", f"model={tmp_path / 'ours.pt'}", f"out={public}"]) == 0
    assert main(["convert", f"model={tmp_path / 'ours.pt'}", f"out={public / 'x.pt'}"]) == 6
    converted, said = load_weights(public)
    assert said == meta
    assert all(torch.equal(value, converted.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["out=x.pt"], "model= is missing", id="no model"),
        pytest.param(["model=x.pt"], "out= is missing", id="no file to write"),
        pytest.param(["model=x.pt", "out="], "out='': string should have at least 1 character", id="a nameless file"),
        pytest.param(["model=x.pt", "ot=y"], "unknown key 'ot'; did you mean 'out'?", id="a slip"),
    ],
)
def test_a_conversion_that_is_not_asked_for_properly_is_one_line(words, line, capsys):
    assert main(["convert", *words]) == 2
    assert line in capsys.readouterr().err
