"""Lesson 12's explorer: LOLA-DiCE live, each part of its meta-gradient exact, from fresh plays or from stored ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from gmrl_lab.explorers.controls import choice, powers_of_two, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.learners import LOLASettings, history, learn
from gmrl_lab.learners.settings import BASELINES, ESTIMATORS, SOURCES
from gmrl_lab.meta import ROLES
from gmrl_lab.paper.statistics import interval, share
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, side_by_side

HORIZON = 50
STORED = 4
"""The buffer holds so many times the trajectories of a part, and that many more join it in each update."""
COOPERATION = -1.5
N_REDRAWS = 10
MEASURES = {"cosine": "whole meta-gradient", "cosine_exact_outer": "the same, outer exact"}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    inner: str = choice(*SOURCES, default="on", label="inner", help="opponent's step")
    hessian: str = choice(*SOURCES, default="on", label="mixed derivative", help="∇φ∇θ V²")
    outer: str = toggles(
        {"on": "fresh plays", "exact": "true value"}, default="on", label="outer", help="last gradient"
    )
    n_inner: int = powers_of_two(16, 256, default=64, label="|τ|", help="plays, look-ahead")
    n_outer: int = powers_of_two(16, 256, default=64, label="|τ| outer", help="plays, outer")
    estimator: str = choice(*ESTIMATORS, default="DiCE", label="estimator")
    baseline: str = choice(*BASELINES, default="reward", label="V̂", help="what the baseline is fitted to")
    n_seeds: int = steps((1, 4, 10), default=4, label="runs")
    n_updates: int = steps((20, 60, 100, 200), default=60, label="N", help="updates")

    @property
    def learning(self) -> LOLASettings:
        """Table 3 with shorter plays and the controls."""
        return LOLASettings(
            n_updates=self.n_updates,
            inner=self.inner,
            hessian=self.hessian,
            outer=self.outer,
            n_inner=self.n_inner,
            n_outer=self.n_outer,
            n_hessian=self.n_inner,
            n_fresh=self.n_inner,
            buffer_size=STORED * self.n_inner,
            horizon=HORIZON,
            estimator=self.estimator,
            baseline=self.baseline,
        )

    @property
    def exact(self) -> LOLASettings:
        """The same learner with nothing sampled."""
        return LOLASettings(n_updates=self.n_updates, inner="exact", hessian="exact", outer="exact")


@dataclass(frozen=True, eq=False)
class Result:
    """Scores per round after each update so far, and what was measured in it: `exact` `(t,)`, the rest `(t, runs)`."""

    settings: Settings
    seed: int
    exact: Tensor
    score: Tensor
    cosine: Tensor
    cosine_exact_outer: Tensor
    effective: Tensor
    """Share of the plays that count, for inner and mixed derivative, `(t, runs, 2)`; NaN for an exact part."""


def lola_bias(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 12; keyword arguments set controls by field name at the start.

    Taught in lesson 12.
    """
    title = "Which part must be exact?"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """One update after the other, shown every few; run i has seed `seed` + i."""
    every = settings.n_updates // N_REDRAWS
    sampled = learn(settings.learning, range(seed, seed + settings.n_seeds))
    seen, truth = [], []
    for update, exact in zip(sampled, learn(settings.exact, [0]), strict=True):
        seen.append(update)
        truth.append(exact.score.mean())
        if update.number % every == 0 or update.number == 1:
            yield update.number / settings.n_updates, _result(settings, seed, history(seen), torch.stack(truth))


def draw(result: Result) -> tuple[go.Figure, str]:
    """Scores beside the exact learner's, agreement with the exact meta-gradient, what the plays are worth; one line."""
    x = {"title": {"text": "update"}, "range": [0, result.settings.n_updates]}
    panels = [
        Panel("Score per round", _scores(result), 1.5, x, {"range": [-2.1, -0.9]}),
        Panel("Mean cosine with the exact one so far", _agreement(result), 1.2, x, {"range": [-0.55, 1.05]}),
        Panel("Share of plays that count", _effective(result), 1.0, x, {"range": [0, 1.05]}),
    ]
    return side_by_side(panels, gap=0.07, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    names = ("inner", "hessian", "outer", "n_inner", "n_hessian", "n_outer", "n_fresh", "buffer_size", "horizon")
    learning = settings.learning
    lines = [
        "from gmrl_lab.learners import LOLASettings, history, learn",
        "",
        "settings = LOLASettings(",
        *(f"    {name}={getattr(learning, name)!r}," for name in (*names, "estimator", "baseline", "n_updates")),
        ")",
        f"run = history(list(learn(settings, range({seed}, {seed + settings.n_seeds}))))",
        'print(run["score"][-1], run["cosine"].nanmean(), run["effective_sample_size"][-1])',
    ]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """A row per update and run."""
    n_updates, n_runs = result.score.shape
    runs = range(result.seed, result.seed + n_runs)
    frame = pd.MultiIndex.from_product([range(1, n_updates + 1), runs], names=["update", "seed"]).to_frame(index=False)
    frame["exact_learner"] = result.exact.repeat_interleave(n_runs).numpy()
    for name in ("score", *MEASURES):
        frame[name] = getattr(result, name).flatten().numpy()
    for part, values in zip(ROLES, result.effective.unbind(-1), strict=False):
        frame[f"effective_share_{part}"] = values.flatten().numpy()
    return frame


def _result(settings: Settings, seed: int, past: dict[str, Tensor], exact: Tensor) -> Result:
    """Means over both players."""
    score, whole, exact_outer = (past[name].nanmean(-1) for name in ("score", *MEASURES))
    effective = past["effective_sample_size"][..., :2].mean(2) / settings.n_inner
    return Result(settings, seed, exact, score, whole, exact_outer, effective)


def _curve(values: Tensor, name: str, style: int) -> list[Trace]:
    """Mean over runs with its band; nothing where nothing is defined."""
    kept = [(i, *interval(row)) for i, row in enumerate(values.tolist(), start=1) if any(v == v for v in row)]
    if not kept:
        return []
    x, mean, half = (list(column) for column in zip(*kept, strict=True))
    low, high = ([m + sign * h for m, h in zip(mean, half, strict=True)] for sign in (-1, 1))
    middle, spread = band(x, mean, low, high, name, style)
    return [spread, middle] if half[0] == half[0] else [middle]


def _scores(result: Result) -> list[Trace]:
    x = list(range(1, len(result.exact) + 1))
    common: Trace = {"type": "scatter", "mode": "lines", "x": x}
    black = {"color": OKABE_ITO["black"], "width": 2}
    thin = {"color": OKABE_ITO["sky blue"], "width": 1}
    runs = [{**common, "y": y, "line": thin, "showlegend": False, "name": "run"} for y in result.score.T.tolist()]
    exact = {**common, "y": result.exact.tolist(), "name": "exact learner", "line": black}
    return [*runs, *_curve(result.score, "mean of runs ± 95%", 0), exact]


def _agreement(result: Result) -> list[Trace]:
    so_far = {name: _so_far(getattr(result, column)) for column, name in MEASURES.items()}
    curves = [_curve(values, name, 1 + i) for i, (name, values) in enumerate(so_far.items())]
    return [trace for curve in curves for trace in curve]


def _so_far(values: Tensor) -> Tensor:
    """Mean over the updates up to each one, without what is undefined."""
    return values.nan_to_num().cumsum(0) / (~values.isnan()).cumsum(0)


def _effective(result: Result) -> list[Trace]:
    names = ("inner", "mixed derivative")
    curves = [_curve(part, name, 3 + i) for i, (part, name) in enumerate(zip(result.effective.unbind(-1), names))]
    return [trace for curve in curves for trace in curve]


def _summary(result: Result) -> str:
    s, ends = result.settings, result.score[-1].tolist()
    mean, half = interval(ends)
    over = " ± ".join(f"{x:.2f}" for x in (mean, half) if x == x)
    _, low, high = share([score > COOPERATION for score in ends])
    found = f"{sum(score > COOPERATION for score in ends)} of {s.n_seeds} nearer to cooperation [{low:.0%}, {high:.0%}]"
    cosines = ", ".join(f"{words} {getattr(result, name).nanmean():.2f}" for name, words in MEASURES.items())
    parts = zip((s.inner, s.hessian), ("inner", "mixed derivative"), result.effective[-1].mean(0).tolist())
    worth = "; ".join(f"of {s.n_inner} stored plays for {n} {x:.0%} count" for source, n, x in parts if source == "off")
    return (
        f"inner {s.inner}, mixed derivative {s.hessian}, outer {s.outer}, |τ| = {s.n_inner} and {s.n_outer}, "
        f"{s.estimator}, V̂ from {s.baseline}: after {len(result.exact)} of {s.n_updates} updates {over} per round, "
        f"exact learner {result.exact[-1]:.2f}; {found}. Mean cosine: {cosines}"
        + (f". At the end, {worth}." if worth else ".")
    )
