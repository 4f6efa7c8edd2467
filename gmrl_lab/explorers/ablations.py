"""Lesson 09's explorer: the biases of Figure 2, as published and debiased, for all MDPs or one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.explorers.controls import choice, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.paper import bias
from gmrl_lab.paper.drawing import BIAS_AXES, LABELS, READINGS, bias_axis, bias_curves, horizontal, resolved_line
from gmrl_lab.paper.shipped import shipped
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, side_by_side

PANELS = {"a": "inner steps K", "b": "inner step size α", "c": "sample size |τ|", "d": "injected Hessian error"}
N_MDPS = 10


@dataclass(frozen=True)
class Settings:
    """The controls."""

    panel: str = toggles(PANELS, default="c", label="panel", help="of Figure 2")
    reading: str = choice("both", "published", "debiased", default="both", label="reading", help="in (a) to (c)")
    mdp: str = choice("all", *map(str, range(N_MDPS)), default="all", label="MDPs", help="the median of all, or one")

    @property
    def x(self) -> str:
        """The column of the horizontal axis."""
        return BIAS_AXES[self.panel][0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the chosen reading."""
        names = {"both": tuple(READINGS), "published": ("published", "noise")}
        return tuple(READINGS[name][0] for name in names.get(self.reading, ("debiased",)))


@dataclass(frozen=True, eq=False)
class Result:
    """The panel's rows, one for each MDP and setting, and its lines by name."""

    settings: Settings
    rows: pd.DataFrame
    lines: dict[str, pd.DataFrame]


def bias_ablations(**start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 09; keyword arguments set controls by field name at the start.

    Taught in lesson 09.
    """
    title = "The bias, as published and debiased"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seeded=False, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """The lines of the shipped table; nothing is random here."""
    rows = _rows(settings.panel)
    lines = {}
    for part, column, name, _ in bias_curves(rows, settings.panel):
        if column in settings.columns or settings.panel == "d":
            lines[name] = _line(settings, part, column)
    yield 1.0, Result(settings, rows, lines)


def draw(result: Result) -> tuple[go.Figure, str]:
    """The lines with their intervals; bias² and variance as shares of the MSE, or bias per error; one line of text."""
    s = result.settings
    styles = {name: index for _, _, name, index in bias_curves(result.rows, s.panel)}
    lines = [trace for name, at in result.lines.items() for trace in resolved_line(at, name, styles[name], True)]
    who = "median of ten MDPs" if s.mdp == "all" else f"MDP {s.mdp}"
    if s.panel == "d":
        panels = [
            Panel(f"‖bias‖, {who}", lines, 1.6, horizontal(s.x), bias_axis("d")),
            Panel(
                "‖bias‖ / error: level if linear",
                _per_error(result, styles),
                1,
                horizontal(s.x),
                {"rangemode": "tozero"},
            ),
        ]
    else:
        bars = {"type": "category", "title": {"text": LABELS[s.x]}}
        panels = [
            Panel(f"‖bias‖², {who}", lines, 1.6, horizontal(s.x), bias_axis(s.panel)),
            Panel("Share of the MSE, debiased", _shares(result), 1, bars),
        ]
    return side_by_side(panels, gap=0.1, barmode="relative", bargap=0.3, hovermode="closest"), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s = settings
    lines = [
        "import gmrl_lab as gl",
        "from gmrl_lab.paper import bias",
        "",
        f"rows = bias.panel(gl.paper.shipped('2'), '{s.panel}')",
    ]
    if s.mdp != "all":
        lines.append(f"rows = rows[rows['mdp'] == {s.mdp}]")
    if s.panel == "d":
        found = f"{{rate: bias.medians(part, '{s.x}', 'bias') for rate, part in rows.groupby('inner_lr')}}"
    elif s.mdp == "all":
        found = f"{{y: bias.medians(rows, '{s.x}', y) for y in {s.columns!r}}}"
    else:
        columns = [s.x, *s.columns, "bias_squared_error"]
        found = f"rows[{columns!r}].sort_values('{s.x}')"
    return "\n".join([*lines, f"found = {found}", "print(found)"])


def table(result: Result) -> pd.DataFrame:
    """The panel's rows for each MDP."""
    names = ["bias", "bias_std"] if result.settings.panel == "d" else [*_PARTS, "bias_squared_error"]
    own = [result.settings.x, "inner_lr", "mdp", *names]
    own += [] if result.settings.panel == "d" else ["published_bias_squared", "published_variance"]
    return result.rows[list(dict.fromkeys(own))].reset_index(drop=True)


@lru_cache
def _rows(panel: str) -> pd.DataFrame:
    return bias.panel(shipped("2"), panel)


_PARTS = {"bias_squared": "bias²", "covariance_trace": "variance", "mse": "MSE"}


def _line(settings: Settings, part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Medians over MDPs; of one MDP its value, with 1.96 standard errors where it is the debiased one."""
    if settings.mdp == "all":
        return bias.medians(part, settings.x, column)
    own = part[part["mdp"] == int(settings.mdp)].sort_values(settings.x)
    half = 1.96 * own["bias_squared_error"] if column == "bias_squared" else 0.0 * own[column]
    at = pd.DataFrame({settings.x: own[settings.x], "median": own[column], "low": own[column] - half})
    return at.assign(high=own[column] + half, resolved=at["low"] > 0).reset_index(drop=True)


def _shares(result: Result) -> list[Trace]:
    """Bias² and variance over the MSE, which they add up to, at each point of the axis."""
    s = result.settings
    rows = result.rows if s.mdp == "all" else result.rows[result.rows["mdp"] == int(s.mdp)]
    sums = rows.assign(**{name: rows[name] / rows["mse"] for name in _PARTS}).groupby(s.x)[list(_PARTS)].mean()
    x = [f"{value:g}" for value in sums.index]
    markers = {
        "bias_squared": {"color": OKABE_ITO["vermillion"]},
        "covariance_trace": {"color": OKABE_ITO["sky blue"], "pattern": {"shape": "/"}},
    }
    return [
        {"type": "bar", "name": _PARTS[name], "x": x, "y": sums[name].tolist(), "marker": marker}
        for name, marker in markers.items()
    ]


def _per_error(result: Result, styles: dict[str, int | None]) -> list[Trace]:
    """Each line of panel (d) over the error that was put in."""
    found = []
    for name, at in result.lines.items():
        error = at["mean_error"]
        scaled = at.assign(**{end: at[end] / error for end in ("median", "low", "high")})
        found += resolved_line(scaled, name, styles[name], False)
    return found


def _summary(result: Result) -> str:
    s = result.settings
    who = "median over ten MDPs and the order statistics around it" if s.mdp == "all" else f"MDP {s.mdp}"
    symbol = "2c/100" if s.panel == "d" else LABELS[s.x]
    parts = []
    for name, at in result.lines.items():
        ends = [f"{row['median']:.2g} [{row['low']:.2g}, {row['high']:.2g}] at {row[s.x]:g}" for _, row in _ends(at)]
        lost = ", ".join(f"{x:g}" for x in at[~at["resolved"]][s.x])
        parts.append(f"{name} {' to '.join(ends)}" + (f", not resolved from 0 at {lost}" if lost else ""))
    norm = "‖bias‖" if s.panel == "d" else "‖bias‖²"
    return f"({s.panel}) {norm} against {symbol}, {who}: {'; '.join(parts)}."


def _ends(at: pd.DataFrame) -> Iterator[tuple[object, pd.Series]]:
    yield from at.iloc[[0, -1]].iterrows()
