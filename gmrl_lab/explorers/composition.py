"""Lesson 04's explorer: the bias of f(θ̂^K) and how far θ̂^K strays, listed exactly, measured, and bounded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.explorers import rooms
from gmrl_lab.explorers.controls import choice, log_slider, powers_of_two, slider, steps, switch, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.explorers.rooms import ESTIMATORS, FORMS, HORIZON, Point
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, error_bars, line_style, side_by_side

AXES = {"|τ|": "against the sample size", "K": "against the inner steps", "α": "against the step size"}
FIELDS = {"|τ|": "n_trajectories", "K": "n_inner_steps", "α": "inner_lr"}
VALUES = {"|τ|": (1, 2, 4, 8, 16, 32), "K": (1, 2, 3, 4, 5), "α": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)}
SAMPLES = {"fresh": "each step draws its own", "reused": "each step also uses those of the steps before it"}
PIECE, QUICK, PUBLISHED_TRIALS = 200, 1000, 10
_BLACK = OKABE_ITO["black"]


@dataclass(frozen=True)
class Settings:
    """The controls. What is chosen as the axis runs through its own values; the rest stands where it is."""

    axis: str = toggles(AXES, default="|τ|", label="axis", help="what runs")
    n_inner_steps: int = slider(1, 5, default=1, label="K", help="inner steps")
    inner_lr: float = log_slider(0.1, 10.0, default=2.0, label="α", help="inner step size")
    n_trajectories: int = powers_of_two(1, 32, default=8, label="|τ|", help="trajectories per inner step")
    estimator: str = choice(*ESTIMATORS, default="Loaded DiCE", label="estimator")
    samples: str = toggles(SAMPLES, default="fresh", label="samples", help="of each inner step")
    bound: str = choice("all", *FORMS.values(), default="all", label="bound", help="which forms are drawn")
    n_trials: int = steps((200, 1000, 4000), default=1000, label="M", help="repeated estimates")
    debias: bool = switch(default=True, label="debias", help="subtract variance")

    @property
    def point(self) -> Point:
        """Where the controls stand."""
        return Point(**{field.name: getattr(self, field.name) for field in fields(Point)})

    @property
    def points(self) -> tuple[Point, ...]:
        """The same at each value of the axis."""
        return tuple(replace(self.point, **{FIELDS[self.axis]: value}) for value in VALUES[self.axis])  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Result:
    """The ends θ̂^K so far, `(M, 2, 2)`, at each point of the axis and, last, at the controls; and the truth there."""

    settings: Settings
    ends: tuple[Tensor, ...]
    truths: tuple[float | None, ...]


def compositional(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 04; keyword arguments set controls by field name at the start.

    Taught in lesson 04.
    """
    title = "Unbiased steps, biased gradient"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """Ends of sampled inner loops, first few, then what is true, then more; each point has its own generator."""
    points = (*settings.points, settings.point)
    generators = [torch.Generator().manual_seed(seed) for _ in points]
    ends = [torch.empty(0, 2, 2, dtype=torch.float64) for _ in points]
    truths: list[float | None] = [None for _ in points]
    n_pieces = settings.n_trials // PIECE
    for piece in range(1, n_pieces + 1):
        for i, (point, generator) in enumerate(zip(points, generators, strict=True)):
            ends[i] = torch.cat([ends[i], rooms.ends(point, PIECE, generator)])
        if piece == 1:
            for i, point in enumerate(points):
                if point.n_sequences > QUICK:
                    yield (i + 1) / (len(points) + 1) / n_pieces, Result(settings, tuple(ends), tuple(truths))
                truths[i] = rooms.true_bias(point)
        if piece % 5 == 0 or n_pieces == 1:
            yield piece / n_pieces, Result(settings, tuple(ends), tuple(truths))


def measured(point: Point, ends: Tensor, debias: bool = True) -> tuple[float, float]:
    """‖E f(θ̂^K) − f(θ^K)‖² from samples and its standard error: debiased, or from ten trials, as published."""
    found, exact = rooms.outer_gradient(ends), rooms.outer_gradient(rooms.target(point))
    if debias:
        squared, error = gl.bias(found, exact)
        return squared.item(), error.item()
    plain = (found.unflatten(0, (-1, PUBLISHED_TRIALS)).mean(1) - exact).square().sum((-1, -2))
    return plain.mean().item(), (plain.std() / len(plain) ** 0.5).item()


def draw(result: Result) -> tuple[go.Figure, str]:
    """Bias and its bounds; how far paths stray, and its bounds; and bias² + variance = MSE of f(θ̂^K)."""
    s = result.settings
    values = VALUES[s.axis]
    x: dict[str, object] = {"title": {"text": s.axis}, "tickvals": values, "ticktext": [f"{v:g}" for v in values]}
    x |= {} if s.axis == "K" else {"type": "log"}
    y = {"type": "log", "exponentformat": "power"}
    bars = error_bars(rooms.outer_gradient(result.ends[-1]), rooms.outer_gradient(rooms.target(s.point)))
    panels = [
        Panel("‖bias of f(θ̂<sup>K</sup>)‖", _bias_traces(result), 4, x, y),
        Panel("E‖θ̂<sup>K</sup> − θ<sup>K</sup>‖, how far paths stray", _path_traces(result), 3.4, x, y),
        Panel("Error of f, relative to ‖f‖²", bars, 2),
    ]
    return side_by_side(panels, barmode="relative", bargap=0.35, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the numbers at these settings; the figure repeats them along the axis."""
    s = settings
    inner = f"gl.Sampled(gl.{ESTIMATORS[s.estimator]}, {s.n_trajectories}, {HORIZON}, baseline=gl.Baseline(noise=0.0))"
    bootstrap = ", bootstrap=False" if s.estimator == "DiCE" else ""
    return "\n".join(
        [
            "import torch",
            "import gmrl_lab as gl",
            "",
            rooms.ROOMS,
            f"inner = {f'gl.Reused({inner})' if s.samples == 'reused' else inner}",
            "path = dict(task=gl.MAML(mdp), phi=torch.zeros(2, 2, dtype=torch.float64))",
            f"path |= dict(n_inner_steps={s.n_inner_steps}, inner_lr={s.inner_lr!r})",
            f"draw = dict(inner=inner, n_trials={PIECE}, generator=torch.Generator().manual_seed({seed}))",
            f"ends = torch.cat([gl.inner_path(**path, **draw)[-1] for _ in range({s.n_trials // PIECE})])",
            f"target = gl.inner_path(**path, inner=gl.Exact({HORIZON}{bootstrap}))[-1]",
            "f, exact = gl.exact.gradient(mdp, ends), gl.exact.gradient(mdp, target)",
            "print(gl.bias(f, exact), (ends - target).flatten(1).norm(dim=1).mean())",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """One row per point of the axis: bias measured and true, straying, bounds, the horizon's part."""
    rows = []
    for point, ends, known in zip(result.settings.points, result.ends, result.truths, strict=False):
        squared, error = measured(point, ends)
        row: dict[str, object] = {"K": point.n_inner_steps, "alpha": point.inner_lr, "n": point.n_trajectories}
        row |= {"bias_squared": squared, "bias_squared_error": error, "ten_trials": measured(point, ends, False)[0]}
        row |= {"bias_true": known, "strays": rooms.strayed(point, ends).mean().item()}
        row |= {f"bound_{form}": rooms.bias_bound(point, form) if point.bounded else None for form in FORMS}
        rows.append(row | {"horizon_part": rooms.horizon_part(point), "n_trials": len(ends)})
    return pd.DataFrame(rows)


def _bias_traces(result: Result) -> list[Trace]:
    """Measured with 95% intervals, hollow where not resolved from 0; exact where listed; bounds; the horizon's part."""
    s = result.settings
    found = [measured(point, ends, s.debias) for point, ends in zip(s.points, result.ends, strict=False)]
    low, middle, high = ([max(b + side * e, 0.0) ** 0.5 for b, e in found] for side in (-1.96, 0, 1.96))
    style, x = line_style(0), VALUES[s.axis]
    symbols = ["circle" if b > 2 * e else "circle-open" for b, e in found]
    interval = {"array": [h - m for m, h in zip(middle, high, strict=True)], "symmetric": False, "thickness": 1.5}
    interval["arrayminus"] = [m - b for m, b in zip(middle, low, strict=True)]
    estimate = _line(x, [m or None for m in middle], "measured ± 95%", style["line"]) | {"mode": "lines+markers"}
    estimate |= {"marker": {**style["marker"], "symbol": symbols, "size": 9}, "error_y": {"type": "data", **interval}}
    estimate["name"] = "measured ± 95%" if s.debias else "mean of ten trials, as published"
    exact = _line(x, list(result.truths[:-1]), "exact: every sample listed", {"color": _BLACK, "width": 2})
    exact |= {"mode": "lines+markers", "marker": {"color": _BLACK, "symbol": "diamond-open", "size": 13}}
    horizon = [rooms.horizon_part(point) for point in s.points]
    part = _line(x, horizon, "horizon part: T = 2 instead of ∞", {"color": "#777777", "dash": "dot", "width": 2})
    return [exact, estimate, *_bounds(s, rooms.bias_bound, tuple(FORMS)), part]


def _path_traces(result: Result) -> list[Trace]:
    s = result.settings
    distances = [rooms.strayed(point, ends) for point, ends in zip(s.points, result.ends, strict=False)]
    style = line_style(4)
    mean = _line(VALUES[s.axis], [d.mean().item() for d in distances], "mean distance ± 95%", style["line"])
    half = [1.96 * (d.std() / len(d) ** 0.5).item() for d in distances]
    mean |= {"mode": "lines+markers", "marker": style["marker"], "error_y": {"type": "data", "array": half}}
    return [mean, *({**line, "showlegend": False} for line in _bounds(s, rooms.path_bound, ("published", "rms")))]


def _bounds(s: Settings, bound: Callable[[Point, str], float], forms: tuple[str, ...]) -> list[Trace]:
    """A line for each form that is asked for; none for reused samples."""
    styles = {form: line_style(i)["line"] for i, form in enumerate(FORMS, 1)}
    shown = [form for form in forms if s.bound in ("all", FORMS[form]) and s.point.bounded]
    return [_line(VALUES[s.axis], [bound(p, form) for p in s.points], FORMS[form], styles[form]) for form in shown]


def _line(x: tuple[float, ...], y: list[float | None] | list[float], name: str, line: dict[str, object]) -> Trace:
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": line}


def _summary(result: Result) -> str:
    s, point, ends = result.settings, result.settings.point, result.ends[-1]
    squared, error = measured(point, ends, s.debias)
    how = "debiased" if s.debias else "mean of ten trials, not debiased"
    resolved = "" if squared > 2 * error else ", not resolved from 0"
    known = result.truths[-1]
    exactly = "not listed" if known is None else f"exactly {known:.3g}"
    forms = ", ".join(f"{text} {rooms.bias_bound(point, form):.3g}" for form, text in FORMS.items())
    return (
        f"K = {s.n_inner_steps}, α = {s.inner_lr:g}, |τ| = {s.n_trajectories}, {s.estimator}, {s.samples} samples: "
        f"‖bias‖ = {max(squared, 0.0) ** 0.5:.3g}, {exactly} (‖bias‖² = {squared:.2g} ± {1.96 * error:.1g}, {how}"
        f"{resolved}). Bounds on ‖bias‖: {forms if point.bounded else 'none for reused samples'}. Paths stray by "
        f"{rooms.strayed(point, ends).mean().item():.3g}. Horizon part {rooms.horizon_part(point):.3g}. "
        f"{_slopes(result)}{len(ends)} of {s.n_trials} trials, ± is a 95% interval."
    )


def _slopes(result: Result) -> str:
    """Log-log slope of the measured bias between the ends of the axis of |τ|."""
    s = result.settings
    if s.axis != "|τ|":
        return ""
    first, last = (measured(s.points[i], result.ends[i], s.debias)[0] for i in (0, len(s.points) - 1))
    if min(first, last) <= 0:
        return ""
    x = torch.tensor(VALUES[s.axis], dtype=torch.float64).log()
    slope = 0.5 * (torch.tensor(last / first, dtype=torch.float64).log() / (x[-1] - x[0])).item()
    return f"From |τ| = 1 to 32 the measured slope is {slope:.2f}. "
