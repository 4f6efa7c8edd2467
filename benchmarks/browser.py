"""The lessons as their readers meet them: how long they run, what memory they take, how soon a figure is redrawn."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Row


def lessons() -> list[Row]:
    """Run each lesson in a kernel: wall time and peak memory of that kernel."""
    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.lesson", str(path)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        wall, peak, slowest = map(float, run.stdout.split())
        measured = f"{wall:.0f} s, slowest cell {slowest:.1f} s, peak {peak:.2f} GB"
        rows.append(Row(f"lesson {path.stem}", measured, "under 1.5 GB, no cell over 5 s", peak < 1.5 and slowest <= 5))
    return rows


EXPLORERS = {
    "01_policy_gradients": ("One policy gradient, many estimates", ("|τ|,",)),
    "02_maml_decomposition": ("The MAML meta-gradient, taken apart", ("|τ|,", "α,", "K,")),
    "03_unified_framework": ("Proposition 3.1, term by term", ("K,", "α,")),
    "04_compositional_bias": ("Unbiased steps, biased gradient", ("|τ|,", "α,", "K,")),
    "05_hessian_bias": ("The Hessian that an estimator sees", ("|τ|,", "α,")),
    "06_bias_variance_theorem": ("Both sides of Theorem 4.5", ("|τ|,", "α,", "K,")),
    "07_assumptions_and_limits": ("One estimate, two targets", ("α,",)),
    "08_maml_experiments": ("Figures 5, 6, 7, line by line", ()),
    "10_lirpg_experiments": ("LIRPG: which Hessian, how many steps", ("K,", "|τ|,")),
    "11_lola": ("Two learners, one dilemma", ("K,", "α,")),
    "12_lola_bias": ("Which part must be exact?", ("|τ|,",)),
    "13_mgrl": ("One meta-gradient through K updates", ("K,", "α,")),
    "14_mgrl_atari": ("Short games end first", ("p,",)),
}
"""Lesson → the title of its explorer, and the sliders that are timed. Lesson 09's has neither a seed nor a slider."""

PRESSES = 16
"""Of each control; the first is not counted."""


def redraw() -> list[Row]:
    """Key press to redrawn figure of each explorer in a real browser, at its defaults.

    *New seed* always computes anew; a slider that goes to and fro finds its own results in the explorer's cache.
    """
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    from lab import Browser, JupyterLab, NotebookPage

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root, work = Path(folder, "notebooks"), Path(folder, "jupyter")
        root.mkdir()
        work.mkdir()
        for name in EXPLORERS:
            (root / f"{name}.ipynb").write_bytes((ROOT / "notebooks" / f"{name}.ipynb").read_bytes())
        with JupyterLab(root, work) as lab, Browser() as browser:
            for name, (title, sliders) in EXPLORERS.items():
                page = NotebookPage(browser, lab, f"{name}.ipynb", height=12000)
                page.run_all()
                explorer = page.explorer(title)
                page.page.set_viewport_size({"width": 1400, "height": 1000})  # a reader's window, and what it costs
                explorer.root.scroll_into_view_if_needed()
                page.page.wait_for_timeout(1500)
                lesson = f"lesson {name[:2]}"
                rows.append(_redrawn(f"{lesson}, new seed", explorer, explorer.button("New seed"), ["Enter"] * PRESSES))
                for label in sliders:
                    keys = [f"Arrow{'Right' if i % 2 == 0 else 'Left'}" for i in range(PRESSES)]
                    what = f"{lesson}, slider {label.strip(',')} to and fro"
                    rows.append(_redrawn(what, explorer, explorer.slider(label), keys))
                page.close()
    return rows


def _redrawn(what: str, explorer: Any, control: Any, keys: list[str]) -> Row:
    from lab import median_and_p95, redraw_latencies

    goal = "under 200 ms, 95th percentile under 500 ms"
    try:
        median, p95 = median_and_p95(redraw_latencies(explorer, control, keys))
    except AssertionError:  # where a figure stays as it is, nothing is sent
        return Row(f"redrawn figure, {what}", "not redrawn within 10 s", goal, None)
    measured = f"median {median:.0f} ms, 95th percentile {p95:.0f} ms"
    return Row(f"redrawn figure, {what}", measured, goal, median < 200 and p95 < 500)
