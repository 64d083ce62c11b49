"""Timing in turns, so that a busy moment of the machine hits every contestant alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

# Threads of the contestant before look for work a while before they sleep, and would take the next one's cores.
PAUSE = 0.05


def compare(title: str, contestants: Mapping[str, Callable[[], object]], rounds: int = 15) -> None:
    """Print the median milliseconds of each contestant and its ratio to the first, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            if turn:
                times[name].append((time.perf_counter() - start) * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(medians.values()))
    table = _table(title, "", "median ms", "fastest ms", "of the first")
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{min(times[name]):.2f}", f"{median / first:.2f}×")
    Console().print(table)


def compare_rates(title: str, contestants: Mapping[str, Callable[[int], Mapping[str, float]]], rounds: int) -> None:
    """Print the median of every rate that the contestants measure themselves, and its ratio to the first's.

    A contestant gets the number of the turn, and returns its rates (more is better) by name, always the same.
    """
    turns: dict[str, list[Mapping[str, float]]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, run in contestants.items():
            turns[name].append(run(turn))
    medians = {
        name: {rate: statistics.median(turn[rate] for turn in found) for rate in found[0]}
        for name, found in turns.items()
    }
    first = next(iter(medians.values()))
    table = _table(title, "", *(column for rate in first for column in (rate, "of the first")))
    for name, rates in medians.items():
        table.add_row(name, *(cell for rate, v in rates.items() for cell in (f"{v:.1f}", f"{v / first[rate]:.2f}×")))
    Console().print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    return table
