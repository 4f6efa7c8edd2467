"""Lesson 01's explorer: one policy gradient on an MDP of two states, sampled many times, beside the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.controls import powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, error_bars, line_style, side_by_side

STATES, ACTIONS = ("bare", "full"), ("wait", "take")
COORDINATES = tuple(f"{state}, {action}" for state in STATES for action in ACTIONS)

FIRST_STEPS = 100_000
"""Environment steps in the first picture: what fits into 150 ms. The other trials follow in pieces of this size."""

_BASELINES = {"none": "rewards as they come", "exact": "the true values", "noisy": "the true values plus noise"}
_LOGITS = tuple(i / 2 for i in range(-6, 7))


@dataclass(frozen=True)
class Settings:
    """The controls. The policy has one free logit in each state; the other logit is zero."""

    n_trajectories: int = powers_of_two(1, 1024, default=16, label="|τ|", help="trajectories per estimate")
    baseline: str = toggles(_BASELINES, default="none", label="V̂", help="value baseline")
    horizon: int = slider(1, 20, default=20, label="T", help="steps per trajectory")
    gae_lambda: float = steps((0.0, 0.5, 0.9, 1.0), default=1.0, label="λ", help="of the advantage (GAE)")
    wait_if_bare: float = steps(_LOGITS, default=0.0, label="θ wait", help="logit when bare")
    take_if_full: float = steps(_LOGITS, default=0.0, label="θ take", help="logit when full")
    n_trials: int = steps((20, 50, 100, 200), default=100, label="M", help="repeated estimates")

    @property
    def theta(self) -> list[list[float]]:
        """Policy logits, states × actions."""
        return [[self.wait_if_bare, 0.0], [0.0, self.take_if_full]]


@dataclass(frozen=True, eq=False)
class Result:
    """Estimates so far `(M, S, A)`, the exact gradient and the estimator's expectation `(S, A)`."""

    settings: Settings
    estimates: Tensor
    exact: Tensor
    expected: Tensor


def policy_gradient(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 01; keyword arguments set controls by field name at the start.

    Taught in lesson 01.
    """
    title = "One policy gradient, many estimates"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


@lru_cache
def beehive() -> gl.TabularMDP:
    """Lesson 01's MDP: a hive is bare or full, a keeper waits or takes; γ = ½, so that all is easy by hand."""
    to_full, to_bare = [0.0, 1.0], [1.0, 0.0]
    return gl.TabularMDP([[to_full, to_bare], [to_full, to_bare]], [[0.0, 0.0], [2.0, 6.0]], 0.5)  # type: ignore[arg-type]


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Estimates in growing number; trial i uses generator i of the seed, however the trials are cut into pieces."""
    hive = beehive()
    theta = torch.tensor(settings.theta, dtype=torch.float64)
    exact = gl.exact.gradient(hive, theta)
    # Every surrogate is affine in V̂, so that the mean over its noise is the noiseless one.
    mean_values = None if settings.baseline == "none" else gl.Baseline(noise=0.0)
    options = {"horizon": settings.horizon, "gae_lambda": settings.gae_lambda}
    expected = _gradients(gl.Expected(gl.AD(), baseline=mean_values, **options), theta, None)[0]  # type: ignore[arg-type]
    values = gl.Baseline(noise=1.0) if settings.baseline == "noisy" else mean_values
    oracle = gl.Sampled(gl.AD(), settings.n_trajectories, baseline=values, **options)  # type: ignore[arg-type]
    generators = gl.generators(seed, settings.n_trials)
    piece = max(2, FIRST_STEPS // (settings.n_trajectories * settings.horizon + 200))
    done: list[Tensor] = []
    for first in range(0, settings.n_trials, piece):
        done.append(_gradients(oracle, theta, generators[first : first + piece]))
        estimates = torch.cat(done)
        yield len(estimates) / settings.n_trials, Result(settings, estimates, exact, expected)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Estimates and truth by coordinate; bias² + variance = MSE; and one line of text."""
    ticks = {"tickvals": list(range(len(COORDINATES))), "ticktext": COORDINATES, "range": [-0.6, 3.6]}
    panels = [
        Panel("∂J/∂θ, coordinate by coordinate", _coordinates(result), 5, ticks),
        Panel("Error, relative to ‖∇J‖²", error_bars(result.estimates, result.exact), 2),
    ]
    return side_by_side(panels, barmode="relative", bargap=0.35, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    baseline = {"none": "None", "exact": "gl.Baseline(noise=0.0)", "noisy": "gl.Baseline(noise=1.0)"}[settings.baseline]
    return "\n".join(
        [
            "import torch",
            "import gmrl_lab as gl",
            "",
            "to_full, to_bare = [0.0, 1.0], [1.0, 0.0]",
            "hive = gl.TabularMDP([[to_full, to_bare], [to_full, to_bare]], [[0.0, 0.0], [2.0, 6.0]], 0.5)",
            f"theta = torch.tensor({settings.theta}, dtype=torch.float64)",
            "exact = gl.exact.gradient(hive, theta)",
            "",
            "oracle = gl.Sampled(",
            f"    gl.AD(), {settings.n_trajectories}, horizon={settings.horizon}, gae_lambda={settings.gae_lambda},",
            f"    baseline={baseline},",
            ")",
            f"copies = theta.expand({settings.n_trials}, 2, 2).clone().requires_grad_()",
            f"generators = gl.generators({seed}, {settings.n_trials})",
            "surrogate = oracle.surrogate(gl.Problem(hive, copies), generators)",
            "(estimates,) = torch.autograd.grad(surrogate.sum(), copies)",
            "print(exact, estimates.mean(0), gl.mse_split(estimates, exact), sep='\\n')",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per coordinate: exact value, expectation, mean and standard deviation of the estimates."""
    columns = {
        "exact": result.exact,
        "expectation": result.expected,
        "estimate_mean": result.estimates.mean(0),
        "estimate_std": result.estimates.std(0),
    }
    names = {"state": [s for s in STATES for _ in ACTIONS], "action": [a for _ in STATES for a in ACTIONS]}
    values = {name: tensor.flatten().numpy() for name, tensor in columns.items()}
    return pd.DataFrame({**names, **values, "n_trials": len(result.estimates)})


def _gradients(oracle: gl.Sampled | gl.Expected, theta: Tensor, generators: list[torch.Generator] | None) -> Tensor:
    copies = theta.expand(len(generators) if generators else 1, 2, 2).clone().requires_grad_()
    surrogate = oracle.surrogate(gl.Problem(beehive(), copies), generators)
    return torch.autograd.grad(surrogate.sum(), copies)[0]


def _coordinates(result: Result) -> list[Trace]:
    trials = result.estimates.flatten(1)
    m, n = trials.shape
    aside = [0.24 * (2 * i / (m - 1) - 1) for i in range(m)]
    mean, half = trials.mean(0).tolist(), (1.96 * trials.std(0) / m**0.5).tolist()
    black = OKABE_ITO["black"]
    error = {"type": "data", "array": half, "thickness": 2, "width": 7}
    infinite = {"color": OKABE_ITO["bluish green"], "symbol": "diamond", "size": 10}
    bar = {"color": black, "symbol": "line-ew", "size": 74, "line": {"color": black, "width": 2.5}}
    places = list(range(n))
    return [
        _marks(
            "one estimate",
            [place + a for place in places for a in aside],
            trials.mT.flatten().tolist(),
            {**line_style(0)["marker"], "opacity": 0.35, "size": 5},
        ),
        _marks(f"mean of {m} ± 95%", places, mean, {**line_style(1)["marker"], "size": 8}) | {"error_y": error},
        _marks("mean of infinitely many", [p + 0.36 for p in places], result.expected.flatten().tolist(), infinite),
        _marks("exact ∇J", places, result.exact.flatten().tolist(), bar),
    ]


def _marks(name: str, x: Sequence[float], y: Sequence[float], marker: dict[str, object]) -> Trace:
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker, "hoverinfo": "y"}


def _summary(result: Result) -> str:
    s, scale, m = result.settings, result.exact.square().sum(), len(result.estimates)
    split, bias = gl.mse_split(result.estimates, result.exact), gl.bias(result.estimates, result.exact)
    resolved = "" if bias.resolved else " (not resolved from 0)"
    known = (result.expected - result.exact).square().sum() / scale
    exactly = "below 1e-9" if known < 1e-9 else f"{known.item():.2g}"
    half = 1.96 * bias.standard_error / scale
    baseline = {"none": "no baseline", "exact": "exact values as baseline", "noisy": "noisy values as baseline"}
    return (
        f"|τ| = {s.n_trajectories}, {baseline[s.baseline]}, T = {s.horizon}, λ = {s.gae_lambda:g}: the typical error "
        f"of one estimate is {(split.mse / scale).sqrt().item():.3g} ‖∇J‖, where ‖∇J‖ = {scale.sqrt().item():.3g}. "
        f"Relative to ‖∇J‖², variance {(split.variance / scale).item():.3g}, bias² {exactly} exactly, and "
        f"{(bias.squared_norm / scale).item():.2g} ± {half.item():.2g} as measured{resolved}. "
        f"{m} estimates, ± is a 95% interval."
    )
