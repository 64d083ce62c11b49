"""Tracking as a step: what it publishes, when it does nothing, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.networks import lively_network, meta_of
from tests.runtimes.bright import picture
from tests.serve.finder import INFO, META, write_network
from yolocore.config import TrackConfig
from yolocore.errors import DataError, ModelError, ServiceError, YoloError
from yolocore.media import VideoFile
from yolocore.model.checkpoint import save_weights
from yolocore.modes.inputs import TrackInputs
from yolocore.modes.track import track
from yolocore.records import TrackRecord
from yolocore.track.mot import read_mot

FRAMES = 20
CONFIG = TrackConfig()


@pytest.fixture
def finder(tmp_path: Path) -> Path:
    """An exported model that finds the bright rectangle."""
    return write_network(tmp_path / "finder.onnx")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A green rectangle that crosses the picture, with the truth beside it."""
    path = tmp_path / "film" / "film.mp4"
    path.parent.mkdir()
    lines = []
    with VideoFile(path, 25, (128, 96)) as file:
        for frame in range(1, FRAMES + 1):
            left = 4 * frame
            file.write(picture((96, 128), (left, 30, left + 24, 70), green=True))
            lines.append(f"{frame},1,{left},30,24,40,1,1,1\n")
    (path.parent / "gt.txt").write_text("".join(lines))
    return path


def inputs(model: Path | str, source: Path | str) -> TrackInputs:
    return TrackInputs(model=str(model), source=str(source))


def test_the_record_tells_what_was_tracked_and_how_well(finder: Path, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = track(CONFIG, inputs(finder, film), out)
    assert (record.frames, record.tracks) == (FRAMES, 1)
    assert record.metrics["mota"] == record.metrics["idf1"] == 1
    assert record.metrics["hota"] > 0.9
    assert set(record.inputs) == {"model", "source", "truth"}
    assert record.timings["fps"] > 0
    assert TrackRecord.load(out) == record
    assert sorted(path.name for path in out.iterdir()) == ["record.json", "tracked.mp4", "tracks.txt"]
    tracks = read_mot(out / record.artifacts["tracks"].path)
    assert META.names[tracks.classes[0]] == "green"


def test_the_same_again_does_nothing_and_any_change_does(finder: Path, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = track(CONFIG, inputs(finder, film), out)
    written = (out / "tracks.txt").stat().st_mtime_ns
    assert track(CONFIG, inputs(finder, film), out) == first
    assert (out / "tracks.txt").stat().st_mtime_ns == written

    (film.parent / "gt.txt").write_text("1,1,0,0,5,5,1,1,1\n")
    second = track(CONFIG, inputs(finder, film), out)
    assert second.key != first.key and second.metrics["mota"] < 0
    (film.parent / "gt.txt").unlink()
    third = track(CONFIG, inputs(finder, film), out)
    assert third.metrics == {} and third.artifacts == first.artifacts


def test_truth_of_frames_that_were_skipped_is_not_missed(finder: Path, film: Path, tmp_path: Path) -> None:
    record = track(TrackConfig(vid_stride=2, save=False), inputs(finder, film), tmp_path / "out")
    assert record.frames == FRAMES // 2 and record.metrics["mota"] == 1
    assert record.views == ()


def test_truth_is_also_found_where_motchallenge_has_it(finder: Path, film: Path, tmp_path: Path) -> None:
    (film.parent / "gt").mkdir()
    (film.parent / "gt.txt").rename(film.parent / "gt" / "gt.txt")
    assert track(CONFIG, inputs(finder, film), tmp_path / "out").metrics["mota"] == 1


def test_a_live_source_is_new_each_time(finder: Path, camera: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, second = (track(CONFIG, inputs(finder, camera), out) for _ in range(2))
    assert first.key != second.key and second.frames > 0 and second.metrics == {}


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_a_served_model_tracks_as_well(scheme: str, serving, film: Path, tmp_path: Path) -> None:
    port = serving.endpoint.port + (scheme == "triton+grpc")
    url = f"{scheme}://{serving.endpoint.host}:{port}/finder"
    record = track(TrackConfig(conf=INFO.conf, max_det=INFO.max_det), inputs(url, film), tmp_path / "out")
    assert record.tracks == 1 and record.metrics["mota"] == 1


REFUSALS = [
    pytest.param("finder.onnx", "absent.mp4", DataError, "absent.mp4", id="no video"),
    pytest.param("finder.onnx", "film", DataError, "no such video file", id="a folder"),
    pytest.param("finder.onnx", "finder.onnx", DataError, "is no video", id="another file"),
    pytest.param("finder.onnx", "bad/film.mp4", DataError, "gt.txt:1: has 2 columns", id="broken truth"),
    pytest.param("absent.pt", "film/film.mp4", ModelError, "absent.pt", id="no model"),
    pytest.param("broken.onnx", "film/film.mp4", ModelError, "broken.onnx", id="broken model"),
    pytest.param("classes.pt", "film/film.mp4", ModelError, "is for classify and finds nothing", id="a classifier"),
    pytest.param("finder.onnx", "rtsp://127.0.0.1:1/x", ServiceError, "no stream", id="no camera"),
    pytest.param("triton://127.0.0.1:1/finder", "film/film.mp4", ServiceError, "127.0.0.1:1", id="no server"),
]


@pytest.mark.parametrize(("model", "source", "error", "reason"), REFUSALS)
def test_refusals_leave_nothing_behind(
    model: str, source: str, error: type[YoloError], reason: str, finder: Path, film: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "film.mp4").write_bytes(film.read_bytes())
    (tmp_path / "bad" / "gt.txt").write_text("frame,id\n")
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    if model == "classes.pt":
        save_weights(tmp_path / model, lively_network("classify"), meta_of("classify"))
    model, source = (text if "://" in text else str(tmp_path / text) for text in (model, source))
    with pytest.raises(error, match=reason) as caught:
        track(CONFIG, inputs(model, source), tmp_path / "runs" / "out")
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.glob("runs/*") if not path.name.endswith(".lock")]


def test_an_exported_model_needs_no_torch(finder: Path, film: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from yolocore.config import TrackConfig;"
        "from yolocore.modes.inputs import TrackInputs; from yolocore.modes.track import track;"
        "track(TrackConfig(), TrackInputs(model=sys.argv[1], source=sys.argv[2]), Path(sys.argv[3]));"
        "assert not {'torch', 'mlflow', 'kfp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(finder), str(film), str(tmp_path / "out")], check=True)


@pytest.mark.slow
def test_people_in_a_street(shared: Path, tmp_path: Path) -> None:
    """A real network on a real video; its class 0 is people, who are what the truth counts."""
    model = shared / "data" / "weights" / "yolo11n.pt"
    source = shared / "data" / "mot" / "TUD-Campus" / "TUD-Campus.mp4"
    record = track(TrackConfig(classes=(0,)), inputs(model, source), tmp_path / "out")
    assert record.frames == 71
    assert record.metrics["mota"] > 0.42
    assert record.metrics["idf1"] > 0.58


def test_the_built_in_video_needs_no_file_and_is_measured(finder: Path, tmp_path: Path) -> None:
    record = track(CONFIG, inputs(finder, "demo"), tmp_path / "out")
    assert record.frames == 90
    assert "hota" in record.metrics
    assert set(record.inputs) == {"model", "source"}
