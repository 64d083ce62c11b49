"""Tables say what was measured, to the digit; the picture is drawn for any number of formats."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from yolocore.benchmark.views import accuracy_figures, csv_table, draw, markdown_table, terminal_table

FIGURES = {
    "megabytes": 10.54,
    "map50_95": 0.52805,
    "map50": 0.7,
    "p50_ms": 27.04,
    "p95_ms": 31.0,
    "p99_ms": 34.0,
    "preprocess_ms": 1.25,
    "inference_ms": 25.5,
    "postprocess_ms": 0.7,
    "images_per_second": 36.1,
    "memory_mb": 92.4,
    "load_seconds": 0.1,
}
FORMATS = {"torch": FIGURES | {"p50_ms": 133.3, "memory_mb": 251.0}, "onnx": FIGURES}


def test_markdown() -> None:
    assert markdown_table(FORMATS).splitlines() == [
        "| format | size MB | mAP50-95 | mAP50 | p50 ms | p95 ms | p99 ms | pre ms | inference ms | post ms "
        "| images/s | memory MB |",
        "| --- |" + " ---: |" * 11,
        "| torch | 10.5 | 0.5281 | 0.7000 | 133.3 | 31.0 | 34.0 | 1.2 | 25.5 | 0.7 | 36.1 | 251 |",
        "| onnx | 10.5 | 0.5281 | 0.7000 | 27.0 | 31.0 | 34.0 | 1.2 | 25.5 | 0.7 | 36.1 | 92 |",
    ]


@pytest.mark.parametrize(
    ("summary", "heading"),
    [
        pytest.param({"map50_95": 0.4, "map50": 0.6, "mask_map50_95": 0.3}, "mAP50 | mask mAP50-95", id="masks"),
        pytest.param({"top1": 0.8, "top5": 0.9, "f1": 0.7}, "size MB | top-1 | top-5 | p50 ms", id="classes"),
    ],
)
def test_the_figures_of_other_tasks(summary: dict[str, float], heading: str, tmp_path: Path) -> None:
    speed = {name: value for name, value in FIGURES.items() if "map" not in name}
    formats = {"onnx": speed | accuracy_figures(summary)}
    assert heading in markdown_table(formats)
    draw(formats, "title", tmp_path / "b.png")


def test_csv_keeps_all_digits() -> None:
    header, _, onnx = csv_table(FORMATS).splitlines()
    assert header.startswith("format,megabytes,map50_95,map50,p50_ms,")
    assert onnx == "onnx,10.54,0.52805,0.7,27.04,31.0,34.0,1.25,25.5,0.7,36.1,92.4"


def test_terminal() -> None:
    """Plain text, columns aligned to the right, no wider than a wide terminal."""
    lines = terminal_table(FORMATS).splitlines()
    assert len(lines) == 3
    assert all(line.isascii() and len(line) <= 120 for line in lines)
    assert [line.index("133.3") + 5 for line in lines if "133.3" in line] == [lines[0].index("p50 ms") + 6]


@pytest.mark.parametrize("names", [["onnx"], ["torch", "onnx"], list("abcdefgh")], ids=["one", "two", "many"])
def test_picture(tmp_path: Path, names: list[str]) -> None:
    draw(dict.fromkeys(names, FIGURES), "title", tmp_path / "b.png")
    picture = cv2.imread(str(tmp_path / "b.png"))
    assert picture.shape == (360, 1300, 3)
    assert picture.std() > 10
