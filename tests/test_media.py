"""Videos that were written read back frame by frame; everything that is no video is refused in one line."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from yolocore.errors import DataError, ServiceError, StorageError
from yolocore.media import Video, VideoFile

FRAMES = 12


def grey(number: int) -> np.ndarray:
    """A frame that tells its number by its brightness."""
    return np.full((48, 64, 3), 20 * number, np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    with VideoFile(path, 12.5, (64, 48)) as file:
        for number in range(1, FRAMES + 1):
            file.write(grey(number))
    return path


@pytest.mark.parametrize("stride", [1, 2, 5, 100])
def test_a_written_video_reads_back(clip: Path, stride: int) -> None:
    with Video(str(clip)) as video:
        assert (video.fps, video.size, video.length) == (12.5, (64, 48), FRAMES)
        frames = list(video.frames(stride))
    assert [number for number, _ in frames] == list(range(1, FRAMES + 1, stride))
    for number, image in frames:
        assert image.dtype == np.uint8 and image.shape == (48, 64, 3)
        assert abs(float(image.mean()) - 20 * number) < 4


def test_the_same_frames_give_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    with VideoFile(tmp_path / "again.mp4", 12.5, (64, 48)) as file:
        for number in range(1, FRAMES + 1):
            file.write(grey(number))
    assert (tmp_path / "again.mp4").read_bytes() == clip.read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("source", "error", "reason"),
    [
        ("{tmp}/absent.mp4", DataError, "no such video file"),
        ("{tmp}", DataError, "no such video file"),
        ("{tmp}/text.mp4", DataError, "is no video"),
        ("{tmp}/torn.mp4", DataError, "is no video"),
        ("97", DataError, "no webcam"),
        ("rtsp://127.0.0.1:{port}/camera", ServiceError, "no stream could be opened"),
        ("http://127.0.0.1:{port}/video.mp4", ServiceError, "no stream could be opened"),
    ],
)
def test_what_is_no_video_is_refused_quietly(
    source: str, error: type[Exception], reason: str, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("frames")
    (tmp_path / "torn.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    source = source.format(tmp=tmp_path, port=free_port())
    with pytest.raises(error, match=reason) as caught:
        Video(source)
    assert str(caught.value).startswith(f"source={source}: ")
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        VideoFile(tmp_path / "absent" / "clip.mp4", 10, (64, 48))


FULL_DISK = """
import resource, signal, sys, numpy as np
from pathlib import Path
from yolocore.errors import StorageError
from yolocore.media import VideoFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0)
try:
    with VideoFile(Path(sys.argv[1]), 10, (64, 48)) as file:
        for _ in range(50):
            file.write(noise.integers(0, 255, (48, 64, 3), np.uint8))
except StorageError as error:
    print(error)
"""


def test_a_full_disk_is_noticed(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "clip.mp4")], capture_output=True, text=True, check=True
    )
    assert "of 50 frames were written" in run.stdout
    assert run.stderr == ""


def test_a_slow_reader_of_a_live_source_sees_the_newest_frames(camera: str) -> None:
    numbers = []
    with Video(camera) as video:
        assert video.length is None
        for number, image in video.frames():
            numbers.append(number)
            assert abs(float(image.mean()) - 4 * (number - 1)) < 6, "the number is the frame's own"
            time.sleep(0.05)
    assert numbers == sorted(set(numbers))
    assert len(numbers) < numbers[-1] <= 60, "frames were dropped, and none was queued"


def test_a_live_source_can_be_left_early(camera: str) -> None:
    with Video(camera) as video:
        assert next(video.frames())[0] >= 1
