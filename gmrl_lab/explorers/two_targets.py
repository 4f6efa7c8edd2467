"""Lesson 07's explorer: one estimate against two targets, both known exactly, with the score term's coefficient."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.controls import choice, log_slider, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, error_bars, line_style, side_by_side
from gmrl_lab.targets import every_estimate, k_sample_gradient, k_sample_objective

TASKS = {"MAML": "gl.MAML(mdp), zero", "LIRPG": "gl.LIRPG(mdp, zero), zero", "LOLA": "gl.LOLA(gl.IPD(0.9), zero), zero"}
"""Name in the list → task and φ."""

ESTIMATORS: dict[str, gl.Estimator] = {"AD": gl.AD(), "LVC": gl.LVC(), "DiCE": gl.DiCE()}
HORIZON, PIECE = 2, 250
COEFFICIENTS = tuple(i / 10 for i in range(13))
_REFERENCES = {"none": "b = 0", "start": "b = J at the start", "end": "b = J where the expected path ends"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    task: str = choice(*TASKS, default="MAML", label="task")
    n_inner_steps: int = slider(1, 2, default=1, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 10.0, default=2.0, label="α", help="inner step size")
    n_trajectories: int = slider(1, 4, default=2, label="|τ|", help="trajectories per inner step")
    estimator: str = choice(*ESTIMATORS, default="AD", label="path", help="of the inner update")
    score: float = steps(COEFFICIENTS, default=1.0, label="c", help="coefficient of the score term")
    control: str = toggles(_REFERENCES, default="end", label="b", help="reference of the score")
    n_trials: int = steps((20, 100, 500, 2000), default=500, label="M", help="repeated estimates")
    mdp_seed: int = slider(0, 9, default=3, label="MDP", help="which of the ten")


@dataclass(frozen=True, eq=False)
class Truth:
    """Both targets `(d,)`, and exact mean `(C, d)` and variance `(C,)` of the estimate at each of C coefficients."""

    k_sample: Tensor
    expected: Tensor
    means: Tensor
    variances: Tensor

    def squared_bias(self, target: Tensor) -> Tensor:
        """`(C,)`, relative to the K-sample gradient."""
        return (self.means - target).square().sum(-1) / self.scale

    @property
    def scale(self) -> Tensor:
        """What all errors are relative to."""
        return self.k_sample.square().sum()


@dataclass(frozen=True, eq=False)
class Result:
    """Estimates so far, `(M, d)`, and what is true."""

    settings: Settings
    estimates: Tensor
    truth: Truth


def two_targets(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 07; keyword arguments set controls by field name at the start.

    Taught in lesson 07.
    """
    title = "One estimate, two targets"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Estimates in growing number; trial i uses generator i of the seed, however the trials are cut into pieces."""
    s = settings
    truth = _truth(s.task, s.mdp_seed, s.n_inner_steps, s.inner_lr, s.n_trajectories, s.estimator, s.control)
    task, phi = _task(s.task, s.mdp_seed)
    inner = gl.Sampled(ESTIMATORS[s.estimator], s.n_trajectories, HORIZON, baseline=None)
    generators = gl.generators(seed, s.n_trials)
    done: list[Tensor] = []
    for first in range(0, s.n_trials, PIECE):
        trials = generators[first : first + PIECE]
        options = {"inner": inner, "score": s.score, "control": s.control, "n_trials": len(trials)}
        found = k_sample_gradient(task, phi, s.n_inner_steps, s.inner_lr, **options, generator=trials)  # type: ignore[arg-type]
        done.append(found.flatten(1))
        yield (first + len(trials)) / s.n_trials, Result(s, torch.cat(done), truth)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Both targets and the estimate; its error against either as bars; every coefficient, exactly; one line of text."""
    truth, x = result.truth, result.settings.score
    relative = result.estimates / truth.scale.sqrt(), truth.k_sample / truth.scale.sqrt()
    expected = truth.expected / truth.scale.sqrt()
    bars = [_bars(relative[0], relative[1]), _bars(relative[0], expected, legend=False)]
    exactly = {"title": {"text": "c, coefficient of the score term"}, "range": [-0.03, 1.23]}
    panels = [
        Panel("Meta-gradient", _coordinates(result), 2.2, {"title": {"text": "coordinate of φ"}, "dtick": 1}),
        Panel("Error²: K-sample", bars[0], 1.6),
        Panel("Error²: EPG", bars[1], 1.6),
        Panel(
            "Every c, exactly", _curves(result), 3.2, exactly, {"type": "log", "dtick": 1, "range": [-3.2, _top(truth)]}
        ),
    ]
    here = {"type": "line", "xref": "x4", "yref": "y4 domain", "x0": x, "x1": x, "y0": 0, "y1": 1}
    shapes = [{**here, "line": {"color": "#888888", "width": 1, "dash": "dot"}}]
    figure = side_by_side(panels, gap=0.065, barmode="relative", bargap=0.3, shapes=shapes, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s = settings
    shape = "5" if s.task == "LOLA" else "2, 2"
    return "\n".join(
        [
            "import torch",
            "import gmrl_lab as gl",
            "",
            f"mdp = gl.random_mdp(2, 2, concentration=1.0, seed={s.mdp_seed})",
            f"zero = torch.zeros({shape}, dtype=torch.float64)",
            f"task, phi = {TASKS[s.task]}",
            f"step = dict(n_inner_steps={s.n_inner_steps}, inner_lr={s.inner_lr!r})",
            "",
            f"plain = gl.Sampled(gl.AD(), {s.n_trajectories}, horizon={HORIZON}, baseline=None)",
            "leaf = phi.clone().requires_grad_()",
            "(k_sample,) = torch.autograd.grad(gl.targets.k_sample_objective(task, leaf, **step, inner=plain), leaf)",
            f"truth = gl.Exact({HORIZON}, bootstrap=False)",
            "expected = gl.meta_gradient(task, phi, **step, inner=truth, hessian=truth)",
            "",
            f"inner = gl.Sampled(gl.{s.estimator}(), {s.n_trajectories}, horizon={HORIZON}, baseline=None)",
            f"roles = dict(inner=inner, score={s.score}, control={s.control!r})",
            f"trials = dict(n_trials={s.n_trials}, generator=gl.generators({seed}, {s.n_trials}))",
            "estimates = gl.targets.k_sample_gradient(task, phi, **step, **roles, **trials)",
            "print(gl.mse_split(estimates, k_sample), gl.mse_split(estimates, expected))",
            "",
            "every, probability = gl.targets.every_estimate(task, phi, **step, **roles)",
            "mean = torch.einsum('m,m...->...', probability, every)",
            "variance = probability @ (every - mean).flatten(1).square().sum(1)",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per coordinate: both targets, the estimate's exact mean, and mean and deviation of what was drawn."""
    columns = {
        "k_sample": result.truth.k_sample,
        "expected": result.truth.expected,
        "exact_mean": result.truth.means[COEFFICIENTS.index(result.settings.score)],
        "estimate_mean": result.estimates.mean(0),
        "estimate_std": result.estimates.std(0),
    }
    frame = pd.DataFrame({name: values.numpy() for name, values in columns.items()})
    return frame.assign(n_trials=len(result.estimates)).reset_index(names="coordinate")


@lru_cache
def _task(name: str, mdp_seed: int) -> tuple[gl.Task, Tensor]:
    zero = torch.zeros(2, 2, dtype=torch.float64)
    if name == "LOLA":
        return gl.LOLA(gl.IPD(0.9), zero[0].new_zeros(5)), zero.new_zeros(5)
    mdp = gl.random_mdp(2, 2, concentration=1.0, seed=mdp_seed)
    return (gl.MAML(mdp) if name == "MAML" else gl.LIRPG(mdp, zero)), zero


@lru_cache(maxsize=256)
def _truth(
    name: str, mdp_seed: int, n_inner_steps: int, inner_lr: float, n_trajectories: int, estimator: str, control: str
) -> Truth:
    task, phi = _task(name, mdp_seed)
    step = {"n_inner_steps": n_inner_steps, "inner_lr": inner_lr}
    plain, inner = (gl.Sampled(one, n_trajectories, HORIZON, baseline=None) for one in (gl.AD(), ESTIMATORS[estimator]))
    leaf = phi.clone().requires_grad_()
    (k_sample,) = torch.autograd.grad(k_sample_objective(task, leaf, n_inner_steps, inner_lr, inner=plain), leaf)
    exactly = gl.Exact(HORIZON, bootstrap=False)
    expected = gl.meta_gradient(task, phi, n_inner_steps, inner_lr, inner=exactly, hessian=exactly)
    path, _ = every_estimate(task, phi, **step, inner=inner, score=0.0)  # type: ignore[arg-type]
    both, probability = every_estimate(task, phi, **step, inner=inner, control=control)  # type: ignore[arg-type]
    means, variances = [], []
    for c in COEFFICIENTS:
        estimates = torch.lerp(path, both, c).flatten(1)
        means.append(probability @ estimates)
        variances.append(probability @ (estimates - means[-1]).square().sum(-1))
    return Truth(k_sample.flatten(), expected.flatten(), torch.stack(means), torch.stack(variances))


def _coordinates(result: Result) -> list[Trace]:
    truth, mean, std = result.truth, result.estimates.mean(0), result.estimates.std(0)
    x = list(range(len(mean)))
    black = {"color": OKABE_ITO["black"], "size": 11}
    common: Trace = {"type": "scatter", "mode": "markers"}
    spread = {"type": "data", "array": std.tolist(), "thickness": 1.5, "width": 6}
    hollow = {**black, "symbol": "diamond-open", "line": {"width": 2}}
    return [
        {**common, "x": x, "y": truth.k_sample.tolist(), "name": "K-sample, exact", "marker": black},
        {**common, "x": x, "y": truth.expected.tolist(), "name": "EPG, exact", "marker": hollow},
        {
            **common,
            "x": [i + 0.2 for i in x],
            "y": mean.tolist(),
            "name": "mean estimate ± 1 s.d.",
            "marker": line_style(0)["marker"],
            "error_y": spread,
        },
    ]


def _bars(estimates: Tensor, target: Tensor, legend: bool = True) -> list[Trace]:
    scale = target.square().sum()  # error_bars divides by it; both panels are relative to the K-sample gradient
    short = {"bias² + variance": "sum", "MSE": "MSE"}
    bars = []
    for bar in error_bars(estimates, target):
        bar |= {"x": [short[bar["x"][0]]], "y": [bar["y"][0] * scale.item()]}
        if "error_y" in bar:
            bar["error_y"] |= {"array": [bar["error_y"]["array"][0] * scale.item()]}
        bars.append(bar | {"showlegend": legend, "legendgroup": bar["name"]})
    return bars


def _curves(result: Result) -> list[Trace]:
    truth, c = result.truth, list(COEFFICIENTS)
    variance = truth.variances / truth.scale
    biases = truth.squared_bias(truth.k_sample), truth.squared_bias(truth.expected)
    lines = {
        "bias², K-sample": (biases[0], OKABE_ITO["vermillion"], "solid"),
        "bias², EPG": (biases[1], OKABE_ITO["vermillion"], "dash"),
        "variance, exact": (variance, OKABE_ITO["blue"], "dot"),
        "MSE, K-sample": (biases[0] + variance, OKABE_ITO["black"], "solid"),
        "MSE, EPG": (biases[1] + variance, OKABE_ITO["black"], "dash"),
    }
    common: Trace = {"type": "scatter", "mode": "lines", "x": c}
    return [
        {**common, "y": y.tolist(), "name": name, "line": {"color": colour, "dash": dash, "width": 2}}
        for name, (y, colour, dash) in lines.items()
    ]


def _top(truth: Truth) -> float:
    errors = (truth.squared_bias(truth.k_sample), truth.squared_bias(truth.expected))
    return (torch.maximum(*errors) + truth.variances / truth.scale).max().log10().item() + 0.2


def _summary(result: Result) -> str:
    s, truth = result.settings, result.truth
    at = COEFFICIENTS.index(s.score)
    gap = (truth.expected - truth.k_sample).norm() / truth.scale.sqrt()
    k_sample, expected = (
        f"{_bias_text(result, target)} (exactly {_number(truth.squared_bias(target)[at])})"
        for target in (truth.k_sample, truth.expected)
    )
    variance, exactly = gl.covariance_trace(result.estimates) / truth.scale, truth.variances[at] / truth.scale
    return (
        f"{s.task}, K = {s.n_inner_steps}, α = {s.inner_lr:g}, |τ| = {s.n_trajectories}, {s.estimator}, "
        f"c = {s.score:g}, b {s.control}: the two targets lie {gap.item():.3g} apart, relative to the K-sample "
        f"gradient. bias² against K-sample {k_sample}, against EPG {expected}; variance {variance.item():.3g} (exactly "
        f"{_number(exactly)}). {len(result.estimates)} of {s.n_trials} trials, ± is a 95% interval."
    )


def _bias_text(result: Result, target: Tensor) -> str:
    squared, error = ((part / result.truth.scale).item() for part in gl.bias(result.estimates, target))
    return f"{squared:.3g} ± {1.96 * error:.2g}" + ("" if squared > 2 * error else ", not resolved from 0")


def _number(value: Tensor) -> str:
    return "0" if value.item() < 1e-20 else f"{value.item():.3g}"
