"""Cells of the sweeps that the tests run, at the top of a module so that other processes find them."""

import os
import time
from pathlib import Path

import torch

Row = dict[str, object]


def draws(*, n: int, kind: str = "normal", seed: int) -> list[Row]:
    """Two rows of random numbers: their sum in single precision depends on the number of threads."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 1000, generator=generator)
    return [{"row": i, "kind_seen": kind, "total": values[i % n].sum().item(), "seed": seed} for i in range(2)]


def logged(*, n: int, log: str, seed: int) -> list[Row]:
    """`draws`, and a file for each call in the folder `log`."""
    Path(log, f"{n}-{time.monotonic_ns()}").touch()
    return draws(n=n, seed=seed)


def slow(*, n: int, log: str, pause: float, seed: int) -> list[Row]:
    """`logged`, which takes a while and says which process worked on it."""
    Path(log, f"{n}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(pause)
    return draws(n=n, seed=seed)


def worker(*, n: int, seed: int) -> list[Row]:
    """The process that works."""
    time.sleep(0.05 * n)
    return [{"process": os.getpid()}]


def slow_or_failing(*, n: int, log: str, pause: float, seed: int) -> list[Row]:
    """`slow`, but fails at n = 0."""
    rows = slow(n=max(n, 1), log=log, pause=pause, seed=seed)
    if n == 0:
        raise RuntimeError("cell 0 fails")
    return rows


def failing(*, n: int, seed: int) -> list[Row]:
    """Fails at n = 3."""
    if n == 3:
        raise RuntimeError("cell 3 fails")
    return draws(n=n, seed=seed)


def empty(*, n: int, seed: int) -> list[Row]:
    """No rows for an even n."""
    return draws(n=n, seed=seed) if n % 2 else []
