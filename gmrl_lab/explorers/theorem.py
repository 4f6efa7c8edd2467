"""Lesson 06's explorer: bias and variance of a meta-gradient, measured, beside Theorem 4.5's bounds on them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.bounds import Constants, TheoremBound, global_constants, local_constants, theorem
from gmrl_lab.estimators import Estimator
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.oracles import Oracle
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, by_coordinate, error_bars, grid, line_style

TASKS = {"MAML": "gl.MAML(mdp)", "LIRPG": "gl.LIRPG(mdp, phi)"}
ESTIMATORS: dict[str, Estimator] = {"AD": gl.AD(), "LVC": gl.LVC(), "DiCE": gl.DiCE(), "Loaded DiCE": gl.LoadedDiCE()}
FORMS = {"rms": "errors of steps add in squares", "published": "they add up, as in the paper"}
KINDS = {"local": "measured along the path", "global": "worst case of any policy"}
N_POINTS = 4
"""Sampled paths on which the constants are measured."""
FIRST_TRAJECTORIES = 2_000
"""Trajectories in the first picture; the other trials follow in pieces of this size."""
ERRORS = ("delta_h", "delta_j", "sigma_h", "sigma_j", "sigma_1", "sigma_2")
"""Constants of the estimator: no worst case is known for them, so they are measured in either case."""

_PARTS = {"E": "exact", "S": "sampled"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    task: str = toggles({"MAML": "the start is φ", "LIRPG": "φ is a reward"}, default="MAML", label="task")
    n_inner_steps: int = slider(1, 5, default=2, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 10.0, default=1.0, label="α", help="inner step size")
    n_trajectories: int = powers_of_two(4, 256, default=32, label="|τ|", help="trajectories per estimate")
    n_trials: int = steps((20, 50, 100, 400), default=50, label="M", help="repeated estimates")
    estimator: str = choice(*ESTIMATORS, default="LVC", label="estimator")
    inner: str = toggles(_PARTS, default="S", label="I", help="inner update")
    hessian: str = toggles(_PARTS, default="S", label="II", help="its derivatives D and H")
    outer: str = toggles(_PARTS, default="S", label="III", help="outer gradient")
    form: str = toggles(FORMS, default="rms", label="path", help="error of the inner path")
    kind: str = toggles(KINDS, default="local", label="constants")

    @property
    def parts(self) -> str:
        """The three letters, such as SSS."""
        return self.inner + self.hessian + self.outer


@dataclass(frozen=True, eq=False)
class Result:
    """Estimates so far `(M, 5, 3)`, the exact meta-gradient `(5, 3)`, and the bound with its constants."""

    settings: Settings
    estimates: Tensor
    exact: Tensor
    constants: Constants
    bound: TheoremBound

    @property
    def variance(self) -> tuple[float, float]:
        """tr Σ̂ and its standard error."""
        squares = (self.estimates - self.estimates.mean(0)).flatten(1).square().sum(1)
        m = len(squares)
        return squares.sum().item() / (m - 1), (squares.std() / m**0.5).item()


def bias_variance_theorem(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 06; keyword arguments set controls by field name at the start.

    Taught in lesson 06.
    """
    title = "Both sides of Theorem 4.5"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Truth and bound at once; estimates in growing number, trial i from generator i of the seed."""
    s = settings
    task, phi = _task(s.task)
    exact = _exact(s.task, s.n_inner_steps, s.inner_lr, s.estimator)
    constants = _constants(replace(s, n_trials=20, form="rms"), seed)
    step = (s.n_inner_steps, s.inner_lr)
    bound = theorem(constants, *step, s.n_trajectories, start_is_phi=s.task == "MAML", form=s.form)
    inner, hessian, outer = (_oracle(s, part) for part in s.parts)
    generators = gl.generators(seed, s.n_trials)
    done: list[Tensor] = []
    for first in range(0, s.n_trials, piece := _piece(s)):
        trials = generators[first : first + piece]
        found = gl.meta_gradient(task, phi, *step, inner, hessian, outer, n_trials=len(trials), generator=trials)
        done.append(found)
        yield (first + len(trials)) / s.n_trials, Result(s, torch.cat(done), exact, constants, bound)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Both sides on a log axis, the bound's parts, the estimate and its error; and one line of text."""
    log = {"type": "log", "tickformat": ".1~g", "title": {"text": "length"}}
    log |= {"dtick": "D2"} if result.bound.bias < 10 else {}  # 1, 2, 5 where there are few decades
    share = {"title": {"text": "share of the bound"}, "range": [0, 1.05]}
    order = {"title": {"text": "coordinate of φ, sorted by the exact value"}}
    panels = [
        Panel("Measured and bounded", _sides(result), 3, y=log),
        Panel("Parts of the bound", _parts(result), 3, y=share),
        Panel("Meta-gradient by coordinate", by_coordinate(result.estimates, result.exact), 3, order),
        Panel("Error, relative to ‖∇J<sup>K</sup>‖²", error_bars(result.estimates, result.exact), 3),
    ]
    figure = grid(panels, 2, row_height=330, barmode="relative", bargap=0.35, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s, horizon = settings, "20, bootstrap=False" if settings.estimator == "DiCE" else "20"
    names = {"E": "target", "S": "sampled"}
    sides = {role: names[getattr(s, role)] for role in ("inner", "hessian", "outer")}
    used = ", ".join(f"{role}={name}" for role, name in sides.items() if role == "inner" or name == "sampled")
    lines = [
        "from dataclasses import replace",
        "import torch",
        "import gmrl_lab as gl",
        "",
        "mdp, phi = gl.random_mdp(5, 3, concentration=0.3, seed=0), torch.zeros(5, 3, dtype=torch.float64)",
        f"task = {TASKS[s.task]}",
        f"step = dict(n_inner_steps={s.n_inner_steps}, inner_lr={s.inner_lr!r})",
        f"target = gl.Exact({horizon})",
        f"sampled = gl.Sampled(gl.{ESTIMATORS[s.estimator]!r}, {s.n_trajectories}, baseline=gl.Baseline(noise=0.0))",
        "exact = gl.meta_gradient(task, phi, **step, inner=target, hessian=target, outer=target)",
        "estimates = gl.meta_gradient(",
        f"    task, phi, **step, {', '.join(f'{role}={name}' for role, name in sides.items())},",
        f"    n_trials={s.n_trials}, generator=gl.generators({seed}, {s.n_trials}),",
        ")",
        "constants = gl.bounds.local_constants(",
        f"    task, phi, **step, {used.replace('inner=target', 'inner=sampled')}, target=target,",
        f"    n_points={N_POINTS}, generator=torch.Generator().manual_seed({seed}),",
        ")",
    ]
    if s.kind == "global":
        lines += [f"errors = {{name: getattr(constants, name) for name in {ERRORS}}}"]
        lines += ["constants = replace(gl.bounds.global_constants(discount=0.8), **errors)"]
    if s.inner == "E":
        lines += ["constants = replace(constants, sigma_in=0.0)"]
    lines += [f"bound = gl.bounds.theorem(constants, **step, n_trajectories={s.n_trajectories},"]
    lines += [f"                          start_is_phi={s.task == 'MAML'}, form={s.form!r})"]
    return "\n".join([*lines, "print(bound, gl.bias(estimates, exact), gl.covariance_trace(estimates))"])


def table(result: Result) -> pd.DataFrame:
    """One row: the settings, both sides of both bounds in numbers, and the constants."""
    squared, error = gl.bias(result.estimates, result.exact)
    variance, spread = result.variance
    row = {**vars(result.settings), "exact_norm": result.exact.norm().item()}
    row |= {"bias_squared": squared.item(), "bias_squared_error": error.item()}
    row |= {"variance": variance, "variance_error": spread, **vars(result.bound)}
    row |= {"bias_bound": result.bound.bias, "variance_bound": result.bound.variance}
    return pd.DataFrame([row | {name: value for name, value in vars(result.constants).items() if name != "kind"}])


@lru_cache
def _task(name: str) -> tuple[gl.Task, Tensor]:
    mdp, phi = gl.random_mdp(5, 3, concentration=0.3, seed=0), torch.zeros(5, 3, dtype=torch.float64)
    return (gl.MAML(mdp) if name == "MAML" else gl.LIRPG(mdp, phi)), phi


def _target(estimator: str) -> gl.Exact:
    """What the estimator is after in 20 steps: DiCE adds nothing behind the last one."""
    return gl.Exact(20, bootstrap=estimator != "DiCE")


@lru_cache(maxsize=256)
def _exact(name: str, n_inner_steps: int, inner_lr: float, estimator: str) -> Tensor:
    target = _target(estimator)
    return gl.meta_gradient(*_task(name), n_inner_steps, inner_lr, target, target, target)


@lru_cache(maxsize=256)
def _constants(settings: Settings, seed: int) -> Constants:
    s, sampled = settings, _sampled(settings)
    found = local_constants(
        *_task(s.task),
        s.n_inner_steps,
        s.inner_lr,
        inner=sampled,
        hessian=sampled if s.hessian == "S" else None,
        outer=sampled if s.outer == "S" else None,
        target=_target(s.estimator),
        n_points=N_POINTS,
        generator=torch.Generator().manual_seed(seed),
    )
    if s.kind == "global":
        found = replace(global_constants(discount=0.8), **{name: getattr(found, name) for name in ERRORS})
    return replace(found, sigma_in=0.0) if s.inner == "E" else found


def _sampled(settings: Settings) -> gl.Sampled:
    quiet = gl.Baseline(noise=0.0)
    return gl.Sampled(ESTIMATORS[settings.estimator], settings.n_trajectories, baseline=quiet)


def _oracle(settings: Settings, part: str) -> Oracle:
    return _sampled(settings) if part == "S" else _target(settings.estimator)


def _piece(settings: Settings) -> int:
    """Trials that are computed before the next redraw."""
    calls = [settings.n_inner_steps, settings.n_inner_steps, 1]
    sampled = sum(n for n, part in zip(calls, settings.parts, strict=True) if part == "S")
    return max(3, min(settings.n_trials, FIRST_TRAJECTORIES // (sampled * settings.n_trajectories + 20)))


def _sides(result: Result) -> list[Trace]:
    """Lengths of bias and spread with 95% intervals, an arrow down where only an upper end is known; and the bounds."""
    squared, error = (x.item() for x in gl.bias(result.estimates, result.exact))
    variance, spread = result.variance
    names = ["bias", "standard deviation"]
    bars: Trace = {"type": "bar", "name": "bound", "x": names, "y": [result.bound.bias, result.bound.variance**0.5]}
    bars |= {"marker": {"color": OKABE_ITO["sky blue"], "line": {"color": "#444444", "width": 1}}, "width": 0.45}
    found: Trace = {"type": "scatter", "mode": "markers", "name": "measured ± 95%, or below ▽"}
    rows = [_interval(squared, error), _interval(variance, spread)]
    found |= {"x": names, "y": [row[0] for row in rows]}
    found["marker"] = {"color": OKABE_ITO["vermillion"], "size": 12, "symbol": [row[3] for row in rows]}
    ends = {"array": [row[2] - row[0] for row in rows], "arrayminus": [row[0] - row[1] for row in rows]}
    found["error_y"] = {"type": "data", "symmetric": False, "thickness": 2, "width": 8, **ends}
    size: Trace = {"type": "scatter", "mode": "lines", "name": "‖∇J<sup>K</sup>‖, exact", "x": names}
    size |= {"y": [result.exact.norm().item()] * 2, "line": {"color": OKABE_ITO["black"], "width": 2}}
    return [bars, size, found]


def _interval(square: float, error: float) -> tuple[float, float, float, str]:
    """A length, the ends of its interval, and a marker, from a square; the upper end alone if it is not resolved."""
    high = max(square + 1.96 * error, 1e-30) ** 0.5
    if square > 2 * error and square > 1e-20:
        return square**0.5, max(square - 1.96 * error, 0.0) ** 0.5, high, "circle"
    return high, high, high, "triangle-down-open"


def _parts(result: Result) -> list[Trace]:
    """Each bound as a stack of its parts, which add up to 1; and where the measured value stands in it."""
    b = result.bound
    names, rows = ["bias", "variance"], []
    total, variance = b.bias or 1.0, b.variance or 1.0
    shares = {
        "compositional": (b.compositional / total, None),
        "Hessian": (b.hessian / total, None),
        "Jacobian": (b.jacobian / total, None),
        "square of the bias bound": (None, b.bias**2 / variance),
        "spread": (None, b.spread**2 / variance),
    }
    for index, (name, height) in enumerate(shares.items()):
        style = {"color": line_style(index)["marker"]["color"], "line": {"color": "#444444", "width": 1}}
        style |= {"pattern": {"shape": ("", "/", "x", "\\", ".")[index]}}
        rows.append({"type": "bar", "name": name, "x": names, "y": list(height), "marker": style})
    squared, error = (x.item() for x in gl.bias(result.estimates, result.exact))
    tops = [_interval(squared, error), _interval(*result.variance)]
    y = [tops[0][0] / total, tops[1][0] ** 2 / variance]
    mark = {"color": OKABE_ITO["black"], "size": 12, "symbol": [top[3] for top in tops]}
    return [*rows, {"type": "scatter", "mode": "markers", "name": "measured", "x": names, "y": y, "marker": mark}]


def _summary(result: Result) -> str:
    s, bound, size = result.settings, result.bound, result.exact.norm().item()
    squared, error = (x.item() for x in gl.bias(result.estimates, result.exact))
    variance, spread = result.variance
    length, low, high, marker = _interval(squared, error)
    bias = f"{length:.3g} ({low:.2g} to {high:.2g})" if marker == "circle" else f"not resolved, below {high:.2g}"
    bias = "0 to rounding" if abs(squared) < 1e-20 else bias
    split = gl.mse_split(result.estimates, result.exact)
    return (
        f"{s.task}, {s.estimator}, {s.parts}, K = {s.n_inner_steps}, α = {s.inner_lr:g}, |τ| = {s.n_trajectories}: "
        f"‖∇J^K‖ = {size:.3g}. Bias {bias}, bound {bound.bias:.3g} = {bound.compositional:.2g} compositional + "
        f"{bound.hessian:.2g} Hessian + {bound.jacobian:.2g} Jacobian ({s.kind} constants, {s.form}). "
        f"Variance {variance:.3g} ± {1.96 * spread:.2g}, bound {bound.variance:.3g}; "
        f"bias² + variance = MSE: {split.bias_squared.item():.2g} + {split.variance.item():.3g} = "
        f"{split.mse.item():.3g}. {len(result.estimates)} of {s.n_trials} trials, intervals are 95%."
    )
