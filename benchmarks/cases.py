"""The benchmarks by name: each returns rows of (what, measured, goal, whether it was met)."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

from benchmarks.measure import Row


def case(module: str, function: str = "rows") -> list[Row]:
    """The rows of a case; its module, and what that needs, loads only when it runs."""
    found: list[Row] = getattr(import_module(f"benchmarks.{module}"), function)()
    return found


ALL: dict[str, Callable[[], list[Row]]] = {
    "meta_gradients": partial(case, "core", "meta_gradients"),
    "sampler": partial(case, "core", "sampler"),
    "imports": partial(case, "core", "imports"),
    "constants": partial(case, "core", "constants"),
    "lola": partial(case, "lola"),
    "figures": partial(case, "figures"),
    "lessons": partial(case, "browser", "lessons"),
    "redraw": partial(case, "browser", "redraw"),
    "atari": partial(case, "atari"),
}
