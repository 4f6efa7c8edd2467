"""Lesson 14's second explorer: the score of a policy that never changes rises, because short games end first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from gmrl_lab.explorers.controls import steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

Values = NDArray[np.float64]
LAST, WINDOW = 600, 64
"""Steps shown; games whose mean is the score, as in the paper."""


@dataclass(frozen=True)
class Settings:
    """The controls."""

    short: int = steps((5, 10, 20, 50), default=10, label="short", help="steps")
    long: int = steps((50, 100, 200), default=100, label="long", help="steps")
    chance: float = steps((0.1, 0.3, 0.5, 0.7, 0.9), default=0.5, label="p", help="chance of a short game")
    pays: str = toggles(
        {"a point a step": "a long game pays more", "alike": "each game pays one point"},
        default="a point a step",
        label="a game pays",
    )
    n_envs: int = steps((8, 64, 512), default=64, label="N", help="environments")

    @property
    def lengths(self) -> tuple[int, int]:
        """Of the two kinds of games."""
        return self.short, self.long

    @property
    def chances(self) -> tuple[float, float]:
        """Of the two kinds of games."""
        return self.chance, round(1 - self.chance, 2)

    @property
    def returns(self) -> tuple[float, float]:
        """What each kind pays."""
        return (1.0, 1.0) if self.pays == "alike" else (float(self.short), float(self.long))


@dataclass(frozen=True, eq=False)
class Result:
    """The policy's mean return; the mean of finished games, exactly; and a sample: its score, its first games."""

    settings: Settings
    mean: float
    exact: Values
    score: Values
    first: float


def finished_games(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The second explorer of lesson 14; keyword arguments set controls by field name at the start.

    Taught in lesson 14.
    """
    title = "Short games end first"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def mean_of_finished(
    lengths: tuple[int, ...], chances: tuple[float, ...], returns: tuple[float, ...], last: int
) -> Values:
    """Mean return of all games finished by step t = 0 … `last`, in many environments that play game after game.

        u_t = Σ_i p_i u_{t−L_i},  u_0 = 1        chance that a game ends at t, and the next begins
        mean_t = Σ_i R_i F_i(t) / Σ_i F_i(t),    F_i(t) = p_i Σ_{s ≤ t−L_i} u_s

    Feller (1968), "An introduction to probability theory and its applications", vol. 1, Sec. XIII.3 (renewal theory).

    Args:
        lengths, chances, returns: L_i ≥ 1, p_i and R_i of each kind of game.
        last: the last step.

    Returns:
        `(last + 1,)`; NaN before any game can have ended.

    Taught in lesson 14.
    """
    ends = np.zeros(last + 1)
    ends[0] = 1.0
    for t in range(1, last + 1):
        ends[t] = sum(p * ends[t - length] for length, p in zip(lengths, chances, strict=True) if length <= t)
    begun = ends.cumsum()
    finished = np.zeros((len(lengths), last + 1))
    for i, (length, p) in enumerate(zip(lengths, chances, strict=True)):
        finished[i, length:] = p * begun[: max(last + 1 - length, 0)]
    total = finished.sum(0)
    return _ratio(np.array(returns) @ finished, total)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """All at once."""
    s, rng = settings, np.random.default_rng(seed)
    kind = (rng.random((s.n_envs, LAST // s.short + 1)) >= s.chance).astype(int)
    ended, paid = np.array(s.lengths)[kind].cumsum(1), np.array(s.returns)[kind]
    exact = mean_of_finished(s.lengths, s.chances, s.returns, LAST)
    mean = math.fsum(p * r for p, r in zip(s.chances, s.returns, strict=True))
    yield 1.0, Result(s, mean, exact, _last_games(ended.ravel(), paid.ravel()), paid[:, 0].mean().item())


def draw(result: Result) -> tuple[go.Figure, str]:
    """The mean of finished games, a sample's score, and the policy's mean; one line of text."""
    x = list(range(LAST + 1))
    common: Trace = {"type": "scatter", "mode": "lines", "x": x}
    black = {"color": OKABE_ITO["black"], "width": 2}
    traces: list[Trace] = [
        {**common, "y": result.score, "name": f"a sample: score, last {WINDOW} games", "line": line_style(0)["line"]},
        {**common, "y": result.exact, "name": "all finished games, exact", "line": line_style(1)["line"]},
        {**common, "x": [0, LAST], "y": [result.mean] * 2, "name": "the policy's mean", "line": black},
    ]
    title = f"Mean return of games that have ended; {result.settings.n_envs} environments, nothing learns"
    axis = {"title": {"text": "steps in each environment"}}
    return side_by_side([Panel(title, traces, 1.0, axis, {"rangemode": "tozero"})]), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the exact curve."""
    s = settings
    return "\n".join(
        [
            "from gmrl_lab.explorers.atari_finished import mean_of_finished",
            "",
            f"exact = mean_of_finished({s.lengths}, {s.chances}, {s.returns}, last={LAST})",
            f"print(exact[{s.short}], exact[{s.long}], exact[-1])",
        ]
    )


def table(result: Result) -> pd.DataFrame:
    """A row per step."""
    return pd.DataFrame({"step": np.arange(LAST + 1), "finished_exact": result.exact, "score_sample": result.score})


def _last_games(ended: Values, paid: Values) -> Values:
    """At each step the mean of the last games that had ended by then; NaN before the first."""
    order = ended.argsort(kind="stable")
    total = np.concatenate([[0.0], paid[order].cumsum()])
    n = np.searchsorted(ended[order], np.arange(LAST + 1), side="right")
    first = np.maximum(n - WINDOW, 0)
    return _ratio(total[n] - total[first], (n - first).astype(np.float64))


def _ratio(above: Values, below: Values) -> Values:
    """NaN where nothing is below."""
    found: Values = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return found


def _summary(result: Result) -> str:
    s = result.settings
    at = {t: f"{result.exact[t]:.3g} after {t} steps" for t in sorted({s.short, s.long, LAST})}
    return (
        f"Games of {s.short} (p = {s.chance:g}) or {s.long} steps, paying {s.returns[0]:g} or {s.returns[1]:g}: the "
        f"policy's mean return is {result.mean:.3g}, always. The mean of finished games is {', '.join(at.values())}. "
        f"In the sample the first game of each of {s.n_envs} environments has mean {result.first:.3g}, unbiased."
    )
