"""Lesson 05's explorer: the Hessian of a chosen estimator beside the true one, whose parts can be switched."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.exact import HessianParts
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, switch, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.oracles import Oracle
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, error_bars, side_by_side

ESTIMATORS = {"AD": "AD()", "LVC": "LVC()", "DiCE": "DiCE()", "Loaded DiCE": "LoadedDiCE({})", "TayPO-2": "TayPO2()"}
"""Name in the list → constructor in `gmrl_lab`; the braces take λ."""

FIRST_TRAJECTORIES, EXPECTED_COST = 640, 60
"""Trajectories in the first picture, which fit into 150 ms, and how many of them an expectation costs."""

HORIZON, SHOWN_STATES, FIXED_SEED = 20, 8, 0
PARTS = {"h1": "H₁", "h2": "H₂", "h12": "H₁₂ + H₁₂ᵀ"}
_SOURCES = {"B": "expected: bias only, no sampling noise", "S": "sampled"}
_NOISES = {"redrawn": "a new ε at each call", "fixed": "one ε for all calls"}
_SCALE = [[0.0, OKABE_ITO["blue"]], [0.5, "#ffffff"], [1.0, OKABE_ITO["vermillion"]]]


@dataclass(frozen=True)
class Settings:
    """The controls; defaults are the paper's Table 2."""

    estimator: str = choice(*ESTIMATORS, default="LVC", label="estimator")
    lambda_: float = steps((0.0, 0.25, 0.5, 0.75, 1.0), default=1.0, label="λ", help="of Loaded DiCE")
    source: str = toggles(_SOURCES, default="S", label="II", help="the Hessian is")
    n_trajectories: int = powers_of_two(2, 256, default=32, label="|τ|", help="trajectories per estimate")
    value_noise: float = steps((0.0, 0.25, 1.0), default=1.0, label="noise", help="on the value baseline")
    epsilon: str = toggles(_NOISES, default="redrawn", label="ε", help="the noise is")
    n_trials: int = steps((10, 20, 50, 100, 200), default=20, label="M", help="repeated estimates")
    n_inner_steps: int = slider(1, 10, default=1, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 30.0, default=10.0, label="α", help="inner step size")
    h1: bool = switch(default=True, label="H₁", help="in the left picture")
    h2: bool = switch(default=True, label="H₂", help="in the left picture")
    h12: bool = switch(default=True, label="H₁₂ + H₁₂ᵀ", help="in the left picture")
    mdp_seed: int = slider(0, 9, default=0, label="MDP", help="which of the ten")

    @property
    def constructor(self) -> str:
        """The estimator as it is written after `gl.`."""
        return ESTIMATORS[self.estimator].format(self.lambda_)

    @property
    def ticked(self) -> list[str]:
        """The names of the parts in the left picture."""
        return [name for field, name in PARTS.items() if getattr(self, field)]


@dataclass(frozen=True, eq=False)
class Result:
    """Estimates so far, `(M, d, d)` and `(M, S, A)`, their exact targets, and the sum of the ticked parts."""

    settings: Settings
    hessians: Tensor
    hessian: Tensor
    parts: Tensor
    metas: Tensor
    meta: Tensor


def hessian_bias(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 05; keyword arguments set controls by field name at the start.

    Taught in lesson 05.
    """
    title = "The Hessian that an estimator sees"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Estimates in growing number; trial i uses generator i of the seed, however the trials are cut into pieces."""
    task, theta = _task(settings.mdp_seed)
    hessian, meta = _hessian(settings.mdp_seed), _meta(settings.mdp_seed, settings.n_inner_steps, settings.inner_lr)
    parts, oracle = _sum_of_parts(settings), _oracle(settings)
    cost = settings.n_trajectories if settings.source == "S" else EXPECTED_COST
    piece = max(3, FIRST_TRAJECTORIES // cost) if oracle.is_random else settings.n_trials
    hessians: list[Tensor] = []
    metas: list[Tensor] = []
    for first in range(0, settings.n_trials, piece):
        n = min(piece, settings.n_trials - first)
        once = n if oracle.is_random else 1  # all trials are the same
        again = [gl.generators(seed, settings.n_trials)[first : first + once] for _ in range(2)]
        step = {"n_inner_steps": settings.n_inner_steps, "inner_lr": settings.inner_lr}
        found = gl.meta_gradient(task, theta, **step, hessian=oracle, n_trials=once, generator=again[0])  # type: ignore[arg-type]
        metas.append(found.expand(n, -1, -1))
        hessians.append(_estimates(settings, oracle, again[1]).expand(n, -1, -1))
        so_far = Result(settings, torch.cat(hessians), hessian, parts, torch.cat(metas), meta)
        yield len(so_far.metas) / settings.n_trials, so_far


def draw(result: Result) -> tuple[go.Figure, str]:
    """Ticked parts and mean estimate as heat maps; the meta-gradient; both errors as bars; and one line of text."""
    shown, names = _shown_rows(result.hessian)
    limit = result.hessian.abs().max().item() / 3  # one entry towers above the rest
    centre = [5 * i + 2 for i in range(SHOWN_STATES)]
    ticks = {"tickvals": centre, "ticktext": names, "showgrid": False, "automargin": False}
    down = {**ticks, "autorange": "reversed"}
    ticked = " + ".join(result.settings.ticked) or "nothing"
    coordinates = {"title": {"text": "coordinate, sorted by the exact value"}, "range": [-1, 100]}
    panels = [
        Panel(f"True: {ticked}", [_heat(result.parts, shown, limit)], 3, ticks, down),
        Panel("Estimate, mean", [_heat(result.hessians.mean(0), shown, limit) | {"showscale": False}], 3, ticks, down),
        Panel("Meta-gradient", _coordinates(result), 3, coordinates),
        Panel("Error² of Ĥ / ‖H‖²", _bars(result.hessians, result.hessian), 1.5),
        Panel("of ∇ / ‖∇‖²", _bars(result.metas, result.meta, legend=False), 1.5),
    ]
    legend = {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0.42}
    figure = side_by_side(panels, gap=0.055, barmode="relative", bargap=0.3, legend=legend, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    noise = f"noise={settings.value_noise}" + (f", seed={FIXED_SEED}" if settings.epsilon == "fixed" else "")
    n = f" {settings.n_trajectories}," if settings.source == "S" else ""
    kind = "Sampled" if settings.source == "S" else "Expected"
    return "\n".join(
        [
            "import torch",
            "import gmrl_lab as gl",
            "",
            f"mdp, theta = gl.random_mdp(seed={settings.mdp_seed}), torch.zeros(20, 5, dtype=torch.float64)",
            f"oracle = gl.{kind}(gl.{settings.constructor},{n} baseline=gl.Baseline({noise}))",
            f"trials = dict(n_trials={settings.n_trials}, generator=gl.generators({seed}, {settings.n_trials}))",
            f"truth = gl.Exact(horizon={HORIZON})",
            "",
            "exact = gl.estimated_hessian(mdp, theta, truth)",
            "estimates = gl.estimated_hessian(mdp, theta, oracle, **trials)",
            "print(gl.mse_split(estimates, exact))",
            "",
            f"task, step = gl.MAML(mdp), dict(n_inner_steps={settings.n_inner_steps}, inner_lr={settings.inner_lr!r})",
            "exact_meta = gl.meta_gradient(task, theta, **step, hessian=truth)",
            f"trials['generator'] = gl.generators({seed}, {settings.n_trials})",
            "metas = gl.meta_gradient(task, theta, **step, hessian=oracle, **trials)",
            "print(gl.mse_split(metas, exact_meta), gl.accuracy(metas, exact_meta).mean())",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per entry of the Hessian: true value, ticked parts, mean and standard deviation of the estimates."""
    n_states, n_actions = result.meta.shape
    names = ["state", "action", "other_state", "other_action"]
    index = pd.MultiIndex.from_product([range(n_states), range(n_actions)] * 2, names=names)
    columns = {
        "exact": result.hessian,
        "ticked_parts": result.parts,
        "estimate_mean": result.hessians.mean(0),
        "estimate_std": result.hessians.std(0),
    }
    frame = pd.DataFrame({name: values.flatten().numpy() for name, values in columns.items()}, index=index)
    return frame.assign(n_trials=len(result.hessians)).reset_index()


@lru_cache
def _task(mdp_seed: int) -> tuple[gl.MAML, Tensor]:
    task = gl.MAML(gl.random_mdp(seed=mdp_seed))
    return task, torch.zeros_like(task.mdp.rewards)


@lru_cache
def _hessian(mdp_seed: int) -> Tensor:
    task, theta = _task(mdp_seed)
    return gl.estimated_hessian(task.mdp, theta, gl.Exact(horizon=HORIZON))


@lru_cache(maxsize=256)
def _meta(mdp_seed: int, n_inner_steps: int, inner_lr: float) -> Tensor:
    task, theta = _task(mdp_seed)
    return gl.meta_gradient(task, theta, n_inner_steps, inner_lr, hessian=gl.Exact(horizon=HORIZON))


def _baseline(settings: Settings) -> gl.Baseline:
    return gl.Baseline(noise=settings.value_noise, seed=FIXED_SEED if settings.epsilon == "fixed" else None)


def _oracle(settings: Settings) -> Oracle:
    name = settings.constructor.partition("(")[0]
    estimator = gl.LoadedDiCE(settings.lambda_) if name == "LoadedDiCE" else getattr(gl, name)()
    if settings.source == "B":
        return gl.Expected(estimator, baseline=_baseline(settings))
    return gl.Sampled(estimator, settings.n_trajectories, baseline=_baseline(settings))


def _estimates(settings: Settings, oracle: Oracle, trials: list[torch.Generator]) -> Tensor:
    """One Hessian for each generator; the expected ones from their closed form, which is far quicker."""
    task, theta = _task(settings.mdp_seed)
    if settings.source == "S":
        return gl.estimated_hessian(task.mdp, theta, oracle, len(trials), trials)
    values = _baseline(settings).values(gl.Problem(task.mdp, theta.expand(len(trials), -1, -1)), trials).squeeze(-2)
    values = torch.zeros_like(values) if settings.estimator == "DiCE" else values
    faded = settings.lambda_ if settings.estimator == "Loaded DiCE" else 1.0
    parts = gl.exact.hessian_parts(task.mdp, theta, HORIZON, values, values, faded)
    kept = {"AD": parts.curvature, "LVC": parts.score + parts.curvature}
    return kept.get(settings.estimator, parts.total)


def _sum_of_parts(settings: Settings) -> Tensor:
    """The ticked parts; a redrawn ε stands there with its mean, zero."""
    baseline = _baseline(settings) if settings.epsilon == "fixed" else gl.Baseline(noise=0.0)
    parts = _parts(settings.mdp_seed, settings.estimator == "DiCE", baseline)
    across = parts.across + parts.across.mT
    return settings.h1 * parts.score + settings.h2 * parts.curvature + settings.h12 * across


@lru_cache
def _parts(mdp_seed: int, without_values: bool, baseline: gl.Baseline) -> HessianParts:
    """The true parts for one value table as baseline and bootstrap; DiCE has none."""
    task, theta = _task(mdp_seed)
    values = baseline.values(gl.Problem(task.mdp, theta), None).squeeze(-2)
    values = torch.zeros_like(values) if without_values else values
    return gl.exact.hessian_parts(task.mdp, theta, HORIZON, values, values)


def _shown_rows(hessian: Tensor) -> tuple[Tensor, list[str]]:
    """The rows of the states that weigh most in the Hessian, and the numbers of these states."""
    states = hessian.unflatten(0, (-1, 5)).square().sum((1, 2)).topk(SHOWN_STATES).indices.sort().values
    return (5 * states.unsqueeze(-1) + torch.arange(5)).flatten(), [str(state) for state in states.tolist()]


def _heat(matrix: Tensor, rows: Tensor, limit: float) -> Trace:
    place = {"orientation": "h", "x": 0.0, "xanchor": "left", "len": 0.38, "y": -0.12, "yanchor": "top"}
    title = {"text": "entries by state and action; the largest are cut off", "side": "bottom", "font": {"size": 12}}
    bar = {**place, "thickness": 10, "title": title}
    z = matrix[rows][:, rows].numpy()
    limits = {"zmin": -limit, "zmax": limit, "colorscale": _SCALE, "colorbar": bar}
    return {"type": "heatmap", "z": z, **limits, "hovertemplate": "%{z:.2g}<extra></extra>"}


def _coordinates(result: Result) -> list[Trace]:
    order = result.meta.flatten().argsort()
    truth = result.meta.flatten()[order]
    mean, std = result.metas.mean(0).flatten()[order], result.metas.std(0).flatten()[order]
    x = list(range(len(order)))
    line: Trace = {"type": "scatter", "mode": "lines", "x": x, "y": truth.tolist(), "name": "exact ∇"}
    middle, spread = band(x, mean.tolist(), (mean - std).tolist(), (mean + std).tolist(), "mean estimate ± 1 s.d.")
    return [spread, {**line, "line": {"color": OKABE_ITO["black"], "width": 2}}, middle]


def _bars(estimates: Tensor, exact: Tensor, legend: bool = True) -> list[Trace]:
    short = {"bias² + variance": "sum", "MSE": "MSE"}
    bars = error_bars(estimates, exact)
    return [{**bar, "x": [short[bar["x"][0]]], "showlegend": legend, "legendgroup": bar["name"]} for bar in bars]


def _summary(result: Result) -> str:
    s, m = result.settings, len(result.metas)
    mean, size = result.hessians.mean(0), result.hessian.norm()
    source = f"sampled, |τ| = {s.n_trajectories}" if s.source == "S" else "expected"
    name = f"Loaded DiCE({s.lambda_:g})" if s.estimator == "Loaded DiCE" else s.estimator
    ticked = " + ".join(s.ticked) or "nothing"
    accuracy = gl.accuracy(result.metas, result.meta).mean().item()
    return (
        f"{name}, {source}, noise {s.value_noise:g} {s.epsilon}, K = {s.n_inner_steps}, α = {s.inner_lr:g}: the mean "
        f"Hessian is {_number((mean - result.hessian).norm() / size)} ‖H‖ from the truth and "
        f"{_number((mean - result.parts).norm() / size)} ‖H‖ from {ticked}. "
        f"Hessian, relative to ‖H‖²: {_split_text(result.hessians, result.hessian)}. "
        f"Meta-gradient, relative to ‖∇‖²: {_split_text(result.metas, result.meta)}, correlation {accuracy:.3f}. "
        f"{m} of {s.n_trials} trials, ± is a 95% interval."
    )


def _split_text(estimates: Tensor, exact: Tensor) -> str:
    scale = exact.square().sum()
    split, bias = gl.mse_split(estimates, exact), gl.bias(estimates, exact)
    squared, half, variance, mse = (
        _number(part / scale) for part in (bias.squared_norm, 1.96 * bias.standard_error, split.variance, split.mse)
    )
    return f"bias² {squared} ± {half}, variance {variance}, MSE {mse}"


def _number(value: Tensor) -> str:
    return "0" if abs(value.item()) < 1e-10 else f"{value.item():.2g}"
