"""The core: meta-gradients, the sampler, the import, and the constants of Theorem 4.5."""

import statistics
import subprocess
import sys

import torch
from torch import Tensor

import gmrl_lab as gl
from benchmarks.measure import Row, seconds


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
