"""Lesson 03's explorer: each term of Proposition 3.1 for five algorithms, and an estimate of their sum."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.meta import product_terms
from gmrl_lab.oracles import Oracle
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, by_coordinate, error_bars, grid, line_style

_ZEROS = "torch.zeros({}, dtype=torch.float64)"
_MDP = "mdp = gl.random_mdp(5, 3, concentration=0.3, seed=0)"
TASKS = {
    "MAML": (_MDP, "task = gl.MAML(mdp)", f"phi = {_ZEROS.format('5, 3')}"),
    "LOLA": (f"task = gl.LOLA(gl.IPD(discount=0.9), {_ZEROS.format('5')})", f"phi = {_ZEROS.format('5')}"),
    "MGRL": (_MDP, f"task = gl.MGRL(mdp, {_ZEROS.format('5, 3')})", "phi = gl.MGRL.phi(0.6, 0.9)"),
    "LIRPG": (_MDP, f"task = gl.LIRPG(mdp, {_ZEROS.format('5, 3')})", f"phi = {_ZEROS.format('5, 3')}"),
    "LPG": (
        "mdp = gl.random_mdp(2, 2, concentration=1.0, seed=3)",
        f"task = gl.LPG(mdp, {_ZEROS.format('2, 2')})",
        "phi = task.initial_phi(torch.Generator().manual_seed(0))",
    ),
}
"""Row of Table 1 → the lines that make its task and its φ: they are shown, and they are run."""
HORIZONS = {"LOLA": 60}
"""Steps of a trajectory where not 20: γ is 0.9 in the game, and twenty rounds miss a tenth of its meta-gradient."""
ESTIMATORS = {"AD": "AD()", "LVC": "LVC()", "DiCE": "DiCE()", "Loaded DiCE": "LoadedDiCE()"}
FIRST_TRAJECTORIES = 4_000
"""Trajectories in the first picture; the other trials follow in pieces of this size."""

_PARTS = {"E": "exact", "S": "sampled", "B": "expected: bias only, no sampling noise"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    task: str = choice(*TASKS, default="LOLA", label="task", help="row of Table 1")
    n_inner_steps: int = slider(1, 6, default=3, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 10.0, default=1.0, label="α", help="inner step size")
    n_trajectories: int = powers_of_two(2, 256, default=32, label="|τ|", help="trajectories per estimate")
    n_trials: int = steps((10, 20, 50, 100), default=20, label="M", help="repeated estimates")
    estimator: str = choice(*ESTIMATORS, default="Loaded DiCE", label="estimator")
    inner: str = toggles(_PARTS, default="E", label="I", help="inner update")
    hessian: str = toggles(_PARTS, default="S", label="II", help="its derivatives D and H")
    outer: str = toggles(_PARTS, default="E", label="III", help="outer gradient")

    @property
    def parts(self) -> str:
        """The three letters, such as ESE."""
        return self.inner + self.hessian + self.outer


@dataclass(frozen=True, eq=False)
class Result:
    """The exact terms, and estimates of their sum so far `(M, *phi_shape)`."""

    settings: Settings
    terms: gl.ProductTerms
    estimates: Tensor

    @property
    def exact(self) -> Tensor:
        """The exact meta-gradient, of φ's shape."""
        return self.terms.total

    @property
    def contributions(self) -> dict[str, float]:
        """Each term along the direction of the sum: they add up to the norm of the meta-gradient."""
        direction = self.exact / torch.linalg.vector_norm(self.exact)
        named = {"direct": self.terms.direct, "start": self.terms.start}
        named |= {f"i = {i}": term for i, term in enumerate(self.terms.indirect)}
        return {name: (term * direction).sum().item() for name, term in named.items()}


def unified_framework(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 03; keyword arguments set controls by field name at the start.

    Taught in lesson 03.
    """
    title = "Proposition 3.1, term by term"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """The exact terms at once; estimates in growing number, trial i from generator i of the seed."""
    task, phi = _task(settings.task)
    terms = _terms(settings.task, settings.n_inner_steps, settings.inner_lr)
    inner, hessian, outer = (_oracle(settings, role) for role in ("inner", "hessian", "outer"))
    generators = gl.generators(seed, settings.n_trials)
    done: list[Tensor] = []
    for first in range(0, settings.n_trials, piece := _piece(settings)):
        trials = generators[first : first + piece]
        step = (settings.n_inner_steps, settings.inner_lr)
        found = gl.meta_gradient(task, phi, *step, inner, hessian, outer, n_trials=len(trials), generator=trials)
        done.append(found)
        yield (first + len(trials)) / settings.n_trials, Result(settings, terms, torch.cat(done))


def draw(result: Result) -> tuple[go.Figure, str]:
    """Terms and factors above, the estimate and its error below; and one line of text."""
    order = {"title": {"text": "coordinate of φ, sorted by the exact value"}}
    panels = [
        Panel(
            "Terms, along the meta-gradient",
            _terms_drawn(result),
            3,
            y={"title": {"text": "length along ∇J<sup>K</sup>"}},
        ),
        Panel("Singular values of I + αH<sub>j</sub>", _factors_drawn(result), 2, _steps_axis(result)),
        Panel("Meta-gradient by coordinate", by_coordinate(result.estimates, result.exact), 3, order),
        Panel("Error, relative to ‖∇J<sup>K</sup>‖²", error_bars(result.estimates, result.exact), 2),
    ]
    figure = grid(panels, 2, row_height=320, barmode="relative", bargap=0.35, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    step = f"step = dict(n_inner_steps={settings.n_inner_steps}, inner_lr={settings.inner_lr!r})"
    lines = ["import torch", "import gmrl_lab as gl", "", *TASKS[settings.task], step]
    lines += ["terms = gl.meta_gradient_by_product(task, phi, **step, terms=True)", ""]
    lines += [f"{role} = {_oracle_code(settings, role)}" for role in ("inner", "hessian", "outer")]
    return "\n".join(
        [
            *lines,
            "estimates = gl.meta_gradient(",
            "    task, phi, **step, inner=inner, hessian=hessian, outer=outer,",
            f"    n_trials={settings.n_trials}, generator=gl.generators({seed}, {settings.n_trials}),",
            ")",
            "print(terms.total, gl.mse_split(estimates, terms.total))",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per coordinate of φ: each exact term, their sum, mean and standard deviation of the estimates."""
    columns = {"direct": result.terms.direct, "start": result.terms.start}
    columns |= {f"indirect_{i}": term for i, term in enumerate(result.terms.indirect)}
    columns |= {
        "exact": result.exact,
        "estimate_mean": result.estimates.mean(0),
        "estimate_std": result.estimates.std(0),
    }
    return pd.DataFrame({name: values.flatten().numpy() for name, values in columns.items()}).assign(
        n_trials=len(result.estimates)
    )


@lru_cache
def _task(name: str) -> tuple[gl.Task, Tensor]:
    made: dict[str, Any] = {"gl": gl, "torch": torch}
    exec("\n".join(TASKS[name]), made)
    return made["task"], made["phi"]


@lru_cache(maxsize=256)
def _terms(name: str, n_inner_steps: int, inner_lr: float) -> gl.ProductTerms:
    return product_terms(*_task(name), n_inner_steps, inner_lr)


def _estimator(settings: Settings, role: str) -> str:
    """LPG's update has no advantage: there an estimator is AD, or else DiCE."""
    learned = settings.task == "LPG" and role != "outer"
    return "DiCE" if learned and settings.estimator != "AD" else settings.estimator


def _oracle_code(settings: Settings, role: str) -> str:
    part = getattr(settings, role)
    if part == "E":
        return "gl.Exact()"
    kind, size = ("Sampled", f", {settings.n_trajectories}") if part == "S" else ("Expected", "")
    horizon = 3 if settings.task == "LPG" and role != "outer" else HORIZONS.get(settings.task, 20)
    estimator = ESTIMATORS[_estimator(settings, role)]
    return f"gl.{kind}(gl.{estimator}{size}, horizon={horizon}, baseline=gl.Baseline(noise=0.0))"


@lru_cache(maxsize=256)
def _oracle(settings: Settings, role: str) -> Oracle:
    oracle: Oracle = eval(_oracle_code(settings, role), {"gl": gl})
    return oracle


def _piece(settings: Settings) -> int:
    """Trials that are computed before the next redraw."""
    calls = [settings.n_inner_steps, settings.n_inner_steps, 1]
    sampled = sum(n for n, part in zip(calls, settings.parts, strict=True) if part == "S")
    return max(2, min(settings.n_trials, FIRST_TRAJECTORIES // (sampled * settings.n_trajectories + 20)))


def _terms_drawn(result: Result) -> list[Trace]:
    shares = result.contributions
    size = torch.linalg.vector_norm(result.exact).item()
    style = {"color": OKABE_ITO["bluish green"], "line": {"color": "#444444", "width": 1}}
    bars: Trace = {"type": "bar", "name": "term, along the sum", "x": list(shares), "y": list(shares.values())}
    total: Trace = {"type": "bar", "name": "sum", "x": ["sum"], "y": [size]}
    black = {"color": OKABE_ITO["black"], "pattern": {"shape": "x"}}
    return [bars | {"marker": style}, total | {"marker": black}]


def _factors_drawn(result: Result) -> list[Trace]:
    """All singular values of each factor, side by side."""
    values = torch.stack([torch.linalg.svdvals(factor) for factor in result.terms.factors])
    n_steps, n = values.shape
    aside = [0.5 * (i / max(n - 1, 1) - 0.5) for i in range(n)]
    dots: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "singular values of I + αH",
        "x": [j + a for j in range(n_steps) for a in aside],
        "y": values.flatten().tolist(),
        "marker": {**line_style(0)["marker"], "opacity": 0.6},
    }
    one: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "1: no curvature",
        "x": [-0.5, n_steps - 0.5],
        "y": [1, 1],
    }
    thin = {"color": OKABE_ITO["black"], "width": 1, "dash": "dot"}
    return [dots, one | {"line": thin}]


def _steps_axis(result: Result) -> dict[str, object]:
    k = result.settings.n_inner_steps
    return {"title": {"text": "inner step j"}, "tickvals": list(range(k)), "range": [-0.6, k - 0.4]}


def _summary(result: Result) -> str:
    s, size = result.settings, torch.linalg.vector_norm(result.exact).item()
    shares = ", ".join(
        f"{name} {value / size:.3g}" if value else f"{name} 0" for name, value in result.contributions.items()
    )
    names = " and ".join(dict.fromkeys(_estimator(s, role) for role in ("hessian", "outer")))
    growth = [torch.linalg.matrix_norm(factor, 2).item() for factor in result.terms.factors]
    split = gl.mse_split(result.estimates, result.exact)
    squared, error = gl.bias(result.estimates, result.exact)
    scale = size**2
    bias = (
        "0 to rounding"
        if abs(squared.item()) < 1e-20
        else f"{squared.item() / scale:.2g} ± {1.96 * error.item() / scale:.2g}"
    )
    return (
        f"{s.task}, K = {s.n_inner_steps}, α = {s.inner_lr:g}: ‖∇J^K‖ = {size:.3g}; shares of the terms: {shares}; "
        f"largest singular value of a factor {max(growth):.3g}. {names}, {s.parts}, |τ| = {s.n_trajectories}: "
        f"relative to ‖∇J^K‖², bias² {bias}, variance {split.variance.item() / scale:.3g}, MSE "
        f"{split.mse.item() / scale:.3g}. {len(result.estimates)} of {s.n_trials} trials, ± is a 95% interval."
    )
