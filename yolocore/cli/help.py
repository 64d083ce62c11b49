"""Help, generated from the config tree: what a mode takes, of which type, with which default and range."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from yolocore.config import MODES, Section, section_class
from yolocore.config.describe import range_text, type_text
from yolocore.errors import EXIT_BUG, error_classes
from yolocore.modes.request import INPUTS, REQUEST_KEYS

EXAMPLES = """\
  yolo ingest source=demo
  yolo train data=runs/ingest model=yolo11n epochs=40
  yolo predict model=runs/train/best.pt source=picture.jpg"""


def general(commands: dict[str, str]) -> None:
    """Print what `yolo` can do. commands: name and description of those that are no mode."""
    console = _console()
    console.print("usage: yolo MODE key=value …\n       yolo MODE --help\n", markup=False)
    modes = _table()
    for mode in MODES:
        modes.add_row(f"  {mode}", section_class(mode).__doc__)
    for name, description in commands.items():
        modes.add_row(f"  {name}", description)
    console.print(modes)
    console.print(f"\nexamples:\n{EXAMPLES}\n\nexit codes:", markup=False)
    codes = _table()
    for code, meaning in sorted(_exit_codes()):
        codes.add_row(f"  {code}", meaning)
    console.print(codes)


def mode(name: str) -> None:
    """Print one mode's inputs and settings."""
    console = _console()
    config, inputs = section_class(name), INPUTS[name]
    required = " ".join(f"{key}=…" for key, field in inputs.model_fields.items() if field.is_required())
    console.print(f"usage: yolo {name} {required} key=value …\n\n{config.__doc__}\n\ninputs:", markup=False)
    console.print(_keys(inputs))
    console.print(f"\nsettings (section {name!r} of params.yaml):", markup=False)
    console.print(_keys(config))
    console.print("\nof every mode:", markup=False)
    rest = _table()
    for key, description in REQUEST_KEYS.items():
        rest.add_row(f"  {key}", description.replace("MODE", name))
    console.print(rest)


def default_text(field: FieldInfo) -> str:
    """The default as it would be written on the command line."""
    if field.is_required():
        return "required"
    if isinstance(field.default, tuple):
        return ",".join(str(value) for value in field.default)
    return "" if field.default is None else str(field.default)


def _keys(section: type[Section]) -> Table:
    table = _table("  key", "type", "default", "range", "meaning")
    for key, field in section.model_fields.items():
        table.add_row(
            f"  {key}", type_text(field.annotation), default_text(field), range_text(field), field.description
        )
    return table


def _exit_codes() -> Iterator[tuple[int, str]]:
    yield 0, "done, or already done."
    for error in error_classes():
        yield error.exit_code, (error.__doc__ or "").strip()
    yield EXIT_BUG, "A bug of ours; the traceback is in the file that is named."
    yield 130, "Interrupted with Ctrl-C."


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, pad_edge=False, show_header=bool(headers), header_style="dim")


def _console() -> Console:
    """Wide enough in a pipe that no line of a table is folded."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=400)
