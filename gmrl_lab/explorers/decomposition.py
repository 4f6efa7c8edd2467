"""Lesson 02's explorer: the MAML meta-gradient with exact, sampled or expected parts, beside the truth."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.oracles import Oracle
from gmrl_lab.plots import Panel, Trace, by_coordinate, error_bars, scatter_around, side_by_side

ESTIMATORS = {"AD": "AD()", "LVC": "LVC()", "DiCE": "DiCE()", "Loaded DiCE": "LoadedDiCE()", "TayPO-2": "TayPO2()"}
"""Name in the list → constructor in `gmrl_lab`."""

FIRST_TRAJECTORIES = 6_000
"""Trajectories in the first picture: what fits into 150 ms. The other trials follow in pieces of this size."""

_SORTED = "coordinate (s, a), sorted by the exact value"
_KINDS = {"tickvals": [0, 1], "ticktext": ["Pearson", "cosine"], "range": [-0.6, 1.6]}
_PARTS = {"E": "exact", "S": "sampled", "B": "expected: bias only, no sampling noise"}


@dataclass(frozen=True)
class Settings:
    """The controls; defaults are the paper's Table 2."""

    n_inner_steps: int = slider(1, 10, default=1, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 30.0, default=10.0, label="α", help="inner step size")
    n_trajectories: int = powers_of_two(2, 256, default=32, label="|τ|", help="trajectories per estimate")
    value_noise: float = steps((0.0, 0.25, 1.0), default=1.0, label="noise", help="on the value baseline")
    n_trials: int = steps((10, 20, 50, 100, 200), default=20, label="M", help="repeated estimates")
    estimator: str = choice(*ESTIMATORS, default="LVC", label="estimator")
    inner: str = toggles(_PARTS, default="S", label="I", help="inner update")
    hessian: str = toggles(_PARTS, default="S", label="II", help="its Hessian")
    outer: str = toggles(_PARTS, default="S", label="III", help="outer gradient")
    mdp_seed: int = slider(0, 9, default=0, label="MDP", help="which of the ten")

    @property
    def parts(self) -> str:
        """The three letters of the paper's figures, such as SSE."""
        return self.inner + self.hessian + self.outer


@dataclass(frozen=True, eq=False)
class Result:
    """Estimates so far `(M, S, A)` and the exact meta-gradient `(S, A)`."""

    settings: Settings
    estimates: Tensor
    exact: Tensor


def maml_decomposition(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 02; keyword arguments set controls by field name at the start.

    Taught in lesson 02.
    """
    title = "The MAML meta-gradient, taken apart"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Estimates in growing number; trial i uses generator i of the seed, however the trials are cut into pieces."""
    exact = _exact(settings.mdp_seed, settings.n_inner_steps, settings.inner_lr)
    generators = gl.generators(seed, settings.n_trials)
    oracles = {part: _oracle(settings, part) for part in "ESB"}
    done: list[Tensor] = []
    for first in range(0, settings.n_trials, piece := _piece(settings)):
        trials = generators[first : first + piece]
        done.append(
            gl.meta_gradient(
                _task(settings.mdp_seed),
                torch.zeros_like(exact),
                settings.n_inner_steps,
                settings.inner_lr,
                inner=oracles[settings.inner],
                hessian=oracles[settings.hessian],
                outer=oracles[settings.outer],
                n_trials=len(trials),
                generator=trials,
            )
        )
        yield (first + len(trials)) / settings.n_trials, Result(settings, torch.cat(done), exact)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Truth and estimate by coordinate; bias² + variance = MSE; accuracy of each trial; and one line of text."""
    panels = [
        Panel(
            "Meta-gradient by coordinate",
            by_coordinate(result.estimates, result.exact),
            5,
            {"title": {"text": _SORTED}, "range": [-1, 100]},
        ),
        Panel("Error, relative to ‖∇‖²", error_bars(result.estimates, result.exact), 2),
        Panel("Accuracy of each trial", _accuracies(result), 2.6, _KINDS, {"range": [-1.05, 1.05]}),
    ]
    figure = side_by_side(panels, barmode="relative", bargap=0.35)
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    lines = [
        "import torch",
        "import gmrl_lab as gl",
        "",
        f"mdp = gl.random_mdp(seed={settings.mdp_seed})",
        "task, theta_0 = gl.MAML(mdp), torch.zeros(20, 5, dtype=torch.float64)",
        f"step = dict(n_inner_steps={settings.n_inner_steps}, inner_lr={settings.inner_lr!r})",
        "exact = gl.meta_gradient(task, theta_0, **step)",
        "",
    ]
    values = f"baseline=gl.Baseline(noise={settings.value_noise})"
    makers = {
        "E": ("exactly", "gl.Exact()"),
        "S": ("sampled", f"gl.Sampled(gl.{ESTIMATORS[settings.estimator]}, {settings.n_trajectories}, {values})"),
        "B": ("expected", f"gl.Expected(gl.{ESTIMATORS[settings.estimator]}, {values})"),
    }
    lines += [f"{makers[part][0]} = {makers[part][1]}" for part in sorted(set(settings.parts))]
    roles = ", ".join(
        f"{role}={makers[part][0]}" for role, part in zip(("inner", "hessian", "outer"), settings.parts, strict=True)
    )
    return "\n".join(
        [
            *lines,
            "estimates = gl.meta_gradient(",
            f"    task, theta_0, **step, {roles},",
            f"    n_trials={settings.n_trials}, generator=gl.generators({seed}, {settings.n_trials}),",
            ")",
            "print(gl.accuracy(estimates, exact).mean(), gl.mse_split(estimates, exact))",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per coordinate: exact value, mean and standard deviation of the estimates."""
    n_states, n_actions = result.exact.shape
    index = pd.MultiIndex.from_product([range(n_states), range(n_actions)], names=["state", "action"])
    columns = {
        "exact": result.exact.flatten(),
        "estimate_mean": result.estimates.mean(0).flatten(),
        "estimate_std": result.estimates.std(0).flatten(),
    }
    frame = pd.DataFrame({name: values.numpy() for name, values in columns.items()}, index=index)
    return frame.assign(n_trials=len(result.estimates)).reset_index()


@lru_cache
def _task(mdp_seed: int) -> gl.MAML:
    return gl.MAML(gl.random_mdp(seed=mdp_seed))


@lru_cache(maxsize=256)
def _exact(mdp_seed: int, n_inner_steps: int, inner_lr: float) -> Tensor:
    task = _task(mdp_seed)
    return gl.meta_gradient(task, torch.zeros_like(task.mdp.rewards), n_inner_steps, inner_lr)


def _oracle(settings: Settings, part: str) -> Oracle:
    if part == "E":
        return gl.Exact()
    estimator = getattr(gl, ESTIMATORS[settings.estimator].removesuffix("()"))()
    baseline = gl.Baseline(noise=settings.value_noise)
    if part == "B":
        return gl.Expected(estimator, baseline=baseline)
    return gl.Sampled(estimator, settings.n_trajectories, baseline=baseline)


def _piece(settings: Settings) -> int:
    """Trials that are computed before the next redraw."""
    calls = [settings.n_inner_steps, settings.n_inner_steps, 1]
    sampled = sum(n for n, part in zip(calls, settings.parts, strict=True) if part == "S")
    return max(2, min(settings.n_trials, FIRST_TRAJECTORIES // (sampled * settings.n_trajectories + 20)))


def _accuracies(result: Result) -> list[Trace]:
    pearson, cosine = (gl.accuracy(result.estimates, result.exact, kind=kind) for kind in ("pearson", "cosine"))
    return scatter_around("Pearson", pearson.tolist(), 0) + scatter_around("cosine", cosine.tolist(), 1)


def _summary(result: Result) -> str:
    s, m = result.settings, len(result.estimates)
    accuracy = gl.accuracy(result.estimates, result.exact)
    half = (1.96 * accuracy.std() / m**0.5).item()
    agreement = "undefined" if accuracy.isnan().any() else f"{accuracy.mean().item():.3f} ± {half:.3f}"
    scale = result.exact.square().sum()
    split = gl.mse_split(result.estimates, result.exact)
    return (
        f"{s.estimator}, {s.parts}, K = {s.n_inner_steps}, α = {s.inner_lr:g}, |τ| = {s.n_trajectories}, "
        f"noise {s.value_noise:g}: correlation with the exact meta-gradient {agreement}; relative to "
        f"‖∇‖² = {scale.item():.3g}, bias² {_bias_text(result)}, variance {(split.variance / scale).item():.3g}, "
        f"MSE {(split.mse / scale).item():.3g}. {m} of {s.n_trials} trials, ± is a 95% interval."
    )


def _bias_text(result: Result) -> str:
    scale = result.exact.square().sum()
    squared, error = ((part / scale).item() for part in gl.bias(result.estimates, result.exact))
    if abs(squared) < 1e-20:
        return "0 to rounding"
    interval = f" ± {1.96 * error:.2g}" if error == error else ", no interval from two trials"
    return f"{squared:.3g}{interval}" + ("" if squared > 2 * error else " (not resolved from 0)")
