"""Timing in turns, so that a busy moment of the machine hits every contestant alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table


def compare(title: str, contestants: Mapping[str, Callable[[], object]], rounds: int = 15) -> None:
    """Print the median milliseconds of each contestant and its ratio to the first, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append((time.perf_counter() - start) * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(medians.values()))
    table = Table("", "median ms", "fastest ms", "of the first", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{min(times[name]):.2f}", f"{median / first:.2f}×")
    Console().print(table)
