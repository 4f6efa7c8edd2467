"""What every benchmark uses: a row of the report, and the time of a call by the clock and by the processor."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """Yes, no, or nothing where there is no goal."""
        return {True: "yes", False: "**no**", None: ""}[self.met]


def seconds(work: Callable[[], object], repeats: int = 30, warm_up: int = 3) -> tuple[float, float]:
    """Median and best wall time of a call."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), min(times)


def cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU time of a call on one thread, the best of some."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    torch.set_num_threads(threads)
    return min(times)
