"""The chain's results, read from the records of its steps: a text for the terminal and one HTML page.

The page is a single file: pictures are embedded, so that it can be mailed, kept as a build artifact, or
shown by Kubeflow.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolocore.config import MODES
from yolocore.errors import DataError
from yolocore.records import FILE_NAME, Record, load_record
from yolocore.store import write_atomic

if TYPE_CHECKING:
    from rich.table import Table

PAGE = "report.html"
PICTURES = {".png": "image/png", ".jpg": "image/jpeg"}
LARGEST_PICTURE = 1 << 20  # bytes; Kubeflow and mail choke on pages of tens of megabytes
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .15em 1em .15em 0; text-align: left; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums } code { font-size: 90% }
h2 { border-top: 1px solid #ddd; padding-top: .7em } img { max-width: 32em; margin: .3em; vertical-align: top }
"""

Step = tuple[Path, Record]  # folder and record of a finished step


def finished_steps(folder: Path) -> list[Step]:
    """The steps whose results lie in the folder, in the order of the chain. Raises DataError if there are none.

    They lie directly below it, or one or two levels down, as Kubeflow puts them.
    """
    levels = (sorted(folder.glob(f"{below}/{FILE_NAME}")) for below in ("*", "*/*", "*/*/*"))
    paths = next(filter(None, levels), [])
    if not paths:
        raise DataError(f"{folder}: holds no results; run `dvc repro` or one of the modes first")
    steps = [(path.parent, load_record(path.parent)) for path in paths]
    return sorted(steps, key=lambda step: MODES.index(step[1].step))


def show(folder: Path) -> None:
    """Write the page of all steps in the folder, and print their figures and where everything is."""
    from rich.console import Console

    steps = finished_steps(folder)
    write_atomic(folder / PAGE, page(f"Results in {folder}", steps, places(folder)))
    console = Console(highlight=False)
    console.print(table(steps))
    for name, path in places(folder):
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)  # a path is to be copied


def figures(record: Record) -> Iterator[tuple[str, str]]:
    """Name and text of what the step measured, the result before the clock."""
    for name, value in {**record.metrics, **record.timings}.items():
        yield name, f"{value:.4g}"


def summary(folder: Path, record: Record) -> list[str]:
    """A finished step in a few lines: its figures, what it made, and where."""
    lines = [f"{record.step}: " + "  ".join(f"{name} {text}" for name, text in figures(record))]
    lines += [f"  {name}: {folder / artifact.path}" for name, artifact in record.artifacts.items()]
    if record.views:
        lines.append(f"  {len(record.views)} pictures and tables: {folder}")
    return lines


def table(steps: Sequence[Step]) -> Table:
    from rich.table import Table

    rows = Table("step", "figures", "results", box=None, pad_edge=False)
    for folder, record in steps:
        # A name and its figure stay on one line (no-break space).
        rows.add_row(record.step, "  ".join(f"{name}\u00a0{text}" for name, text in figures(record)), str(folder))
    return rows


def places(folder: Path) -> list[tuple[str, Path]]:
    """Where a person finds what the chain left beside its results."""
    candidates = [
        ("report", folder / PAGE),
        ("MLflow database", Path("mlflow.db")),
        ("served models", Path("serving")),
    ]
    return [(name, path) for name, path in candidates if path.exists()]


def page(title: str, steps: Sequence[Step], others: Sequence[tuple[str, Path | str]] = ()) -> str:
    """A self-contained HTML page about one or several steps. others: names and paths of what lies elsewhere."""
    where = "".join(f"<p>{html.escape(name)}: <code>{html.escape(str(path))}</code></p>" for name, path in others)
    body = where + "".join(_section(folder, record) for folder, record in steps)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    )


def _section(folder: Path, record: Record) -> str:
    numbers = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="number">{text}</td></tr>' for name, text in figures(record)
    )
    made = "".join(
        f"<tr><td>{html.escape(name)}</td><td><code>{html.escape(str(folder / artifact.path))}</code></td>"
        f"<td>{artifact.bytes:,} bytes</td><td><code>{artifact.digest[:19]}</code></td></tr>"
        for name, artifact in record.artifacts.items()
    )
    pictures = "".join(_picture(folder / view) for view in record.views)
    return f"<h2>{record.step}</h2><table>{numbers}</table><table>{made}</table>{pictures}"


def _picture(path: Path) -> str:
    """The picture itself when it is one of modest size, else its path."""
    name = html.escape(path.name)
    if path.suffix in PICTURES and path.stat().st_size <= LARGEST_PICTURE:
        content = base64.b64encode(path.read_bytes()).decode()
        return f'<img alt="{name}" title="{name}" src="data:{PICTURES[path.suffix]};base64,{content}">'
    return f"<p><code>{html.escape(str(path))}</code></p>"
