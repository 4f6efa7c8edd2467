"""The benchmarks themselves: each returns rows of (what, measured, goal, whether it was met)."""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.paper.cells import maml

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


def meta_gradients() -> list[Row]:
    """One full SSS meta-gradient for each estimator; and the same work one trajectory at a time."""
    task, phi = gl.MAML(gl.random_mdp()), torch.zeros(20, 5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for estimator in (gl.AD(), gl.LVC(), gl.DiCE(), gl.LoadedDiCE(), gl.TayPO2()):
        oracle = gl.Sampled(estimator, 32)

        def work(oracle: gl.Sampled = oracle, trials: int = 20) -> Tensor:
            roles = {"inner": oracle, "hessian": oracle, "outer": oracle}
            return gl.meta_gradient(task, phi, **roles, n_trials=trials, generator=generator)

        median, best = seconds(work)
        what = f"SSS meta-gradient, {type(estimator).__name__}, K = 1, n = 32, 20 trials"
        rows.append(Row(what, f"{1e3 * median:.1f} ms (best {1e3 * best:.1f})", "under 20 ms", median < 0.02))
    single, _ = seconds(lambda: work(trials=1), repeats=10)
    rows.append(
        Row("the same, 20 trials one after another instead of in a batch", f"{20 * single / median:.1f} times longer")
    )
    rows.append(
        Row("a rollout of 32 trajectories in a Python loop instead of a batch", f"{_loop_ratio():.0f} times longer")
    )
    return rows


def sampler() -> list[Row]:
    """Environment steps per second, and the ratio to torch.multinomial."""
    mdp = gl.random_mdp()
    theta = torch.randn(20, 20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    median, best = seconds(lambda: gl.sample(mdp, theta, 256, 20, generator=generator), repeats=100, warm_up=10)
    plain, _ = seconds(lambda: _multinomial(mdp, theta, 256, 20, generator), repeats=10)
    steps = 20 * 256 * 20
    rate = f"{steps / median / 1e6:.1f} M steps/s (best {steps / best / 1e6:.1f})"
    return [
        Row("sampling, 20 states, 5 actions, T = 20, 5,120 trajectories", rate, "20 M steps/s", steps / median > 20e6),
        Row("the same with torch.multinomial", f"{plain / median:.1f} times longer"),
    ]


def imports() -> list[Row]:
    """What `import gmrl_lab` costs beside `import torch`, in fresh processes, in turn."""
    code = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"
    times: dict[str, list[float]] = {"torch": [], "gmrl_lab": []}
    for _ in range(7):
        for name in times:
            run = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
            times[name].append(float(run.stdout))
    extra = statistics.median(times["gmrl_lab"]) - statistics.median(times["torch"])
    measured = f"{extra:.2f} s beside {statistics.median(times['torch']):.2f} s"
    return [Row("import gmrl_lab beside import torch", measured, "at most 0.6 s", extra <= 0.6)]


def constants() -> list[Row]:
    """The constants of Theorem 4.5 along a path of three steps, on the paper's MDP, for two tasks."""
    mdp, zeros = gl.random_mdp(), torch.zeros(20, 5, dtype=torch.float64)
    sampled = gl.Sampled(gl.LVC(), 32, baseline=gl.Baseline(noise=0.0))
    roles = {"inner": sampled, "hessian": sampled, "outer": sampled, "target": gl.Exact(20)}
    rows = []
    for task in (gl.MAML(mdp), gl.LIRPG(mdp, zeros)):

        def work(task: gl.Task = task) -> object:
            generator = torch.Generator().manual_seed(0)
            return gl.bounds.local_constants(task, zeros, 3, 1.0, **roles, generator=generator)

        median, best = seconds(work, repeats=7, warm_up=1)
        what = f"local constants, {type(task).__name__}, K = 3, 20 states and 5 actions"
        rows.append(Row(what, f"{median:.2f} s (best {best:.2f})", "under 2 s", median < 2))
    return rows


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
}
"""Lesson → the title of its explorer, and the sliders that are timed."""


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
                lesson = f"lesson {name[:2]}"
                rows.append(_redrawn(f"{lesson}, new seed", explorer, explorer.button("New seed"), ["Enter"] * 31))
                for label in sliders:
                    keys = [f"Arrow{'Right' if i % 2 == 0 else 'Left'}" for i in range(31)]
                    what = f"{lesson}, slider {label.strip(',')} to and fro"
                    rows.append(_redrawn(what, explorer, explorer.slider(label), keys))
                page.close()
    return rows


def _redrawn(what: str, explorer: Any, control: Any, keys: list[str]) -> Row:
    from lab import median_and_p95, redraw_latencies

    median, p95 = median_and_p95(redraw_latencies(explorer, control, keys))
    measured = f"median {median:.0f} ms, 95th percentile {p95:.0f} ms"
    return Row(
        f"redrawn figure, {what}", measured, "under 200 ms, 95th percentile under 500 ms", median < 200 and p95 < 500
    )


def figures() -> list[Row]:
    """The paper's tabular figures by the command line, in fresh processes; and how a cell's cost grows."""
    rows = []
    for number, scale, goal in (("5", "paper", 10), ("all", "ci", 15), ("all", "paper", 120)):
        wall, cpu, peak = _command("figure", number, "--scale", scale, "--cache", "None")
        measured = f"{wall:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GB"
        what = f"gmrl-lab figure {number} --scale {scale}, all processes together"
        rows.append(Row(what, measured, f"under {goal} s, under 2 GB", wall < goal and peak < 2))
    small = {"estimator": "LVC", "n_trajectories": 32, "parts": "SEE ESE SSS", "seed": 0}
    for axis, value in {"n_trajectories": 32, "horizon": 20, "n_inner_steps": 1, "n_trials": 20}.items():
        one, eight = (_cpu_seconds(partial(maml, **{**small, axis: x})) for x in (value, 8 * value))
        exponent = math.log(eight / one) / math.log(8)
        measured = f"{one:.2f} s to {eight:.2f} s of CPU, exponent {exponent:.2f}"
        what = f"a cell of Figure 5, {axis} from {value} to {8 * value}"
        rows.append(Row(what, measured, "exponent at most 1.1", exponent <= 1.1))
    return [*rows, _largest_mdp()]


def _command(*arguments: str) -> tuple[float, float, float]:
    """Wall time and CPU time in s of a command with its workers, and the most memory they had together in GB."""
    begin, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "gmrl_lab.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(_resident(stat, run.pid) for stat in Path("/proc").glob("[0-9]*/stat")))
            time.sleep(0.05)
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {run.returncode}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, peak / 1e9


def _resident(stat: Path, session: int) -> int:
    """Bytes in memory of a process of this session, what it shares with others counted in each; 0 for another."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if int(fields[3]) == session else 0


def _cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU time of a call on one thread, the best of some."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    torch.set_num_threads(threads)
    return min(times)


def _largest_mdp() -> Row:
    """Doubling the states of lesson 02's MDP, five actions: where do its estimates take more than 200 ms?"""
    oracle = gl.Sampled(gl.LVC(), 32)
    found = "none"
    for n_states in (20, 40, 80, 160, 320, 640):
        task, phi = gl.MAML(gl.random_mdp(n_states)), torch.zeros(n_states, 5, dtype=torch.float64)

        def work(task: gl.Task = task, phi: Tensor = phi) -> None:
            gl.meta_gradient(task, phi)
            gl.meta_gradient(task, phi, 1, 10.0, oracle, oracle, oracle, n_trials=20, generator=gl.generators(0, 20))

        taken = _cpu_seconds(work, repeats=5)
        if taken > 0.2:
            break
        found = f"{n_states} states ({1e3 * taken:.0f} ms of CPU)"
    return Row("largest MDP whose estimates, exact one included, take under 200 ms in lesson 02's explorer", found)


def own_module(name: str) -> list[Row]:
    """The rows of a case in a module of its own, which takes `Row` from here."""
    return import_module(f"benchmarks.{name}").rows()


ALL: dict[str, Callable[[], list[Row]]] = {
    "meta_gradients": meta_gradients,
    "sampler": sampler,
    "imports": imports,
    "constants": constants,
    "lola": partial(own_module, "lola"),
    "figures": figures,
    "lessons": lessons,
    "redraw": redraw,
    "atari": partial(own_module, "atari"),
}


def _multinomial(mdp: gl.TabularMDP, theta: Tensor, n: int, horizon: int, generator: torch.Generator) -> Tensor:
    """The plain way to roll out: two calls of torch.multinomial per step."""
    policy = theta.softmax(-1)
    trial = torch.arange(len(theta)).repeat_interleave(n)
    state = torch.zeros_like(trial)
    for _ in range(horizon):
        action = torch.multinomial(policy[trial, state], 1, generator=generator).squeeze(-1)
        state = torch.multinomial(mdp.transitions[state, action], 1, generator=generator).squeeze(-1)
    return state


def _loop_ratio() -> float:
    """32 trajectories one at a time against one batch of 32."""
    mdp, generator = gl.random_mdp(), torch.Generator().manual_seed(0)
    theta = torch.zeros(1, 20, 5, dtype=torch.float64)

    def loop() -> None:
        for _ in range(32):
            _multinomial(mdp, theta, 1, 20, generator)

    slow, _ = seconds(loop, repeats=5, warm_up=1)
    fast, _ = seconds(lambda: gl.sample(mdp, theta, 32, 20, generator=generator))
    return slow / fast
