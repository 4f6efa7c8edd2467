"""Tables of the paper's figures → pictures, each with 95% intervals over MDPs."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from gmrl_lab._validate import check_choice
from gmrl_lab.paper import lola_drawing
from gmrl_lab.paper.bias import medians, panel
from gmrl_lab.paper.statistics import interval
from gmrl_lab.permutations import SAMPLED_PARTS
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, grid, line_style

LABELS = {
    "n_trajectories": "|τ|",
    "n_inner_steps": "K",
    "inner_lr": "α",
    "hessian_error": "‖Ĥ − H‖",
    "mean_error": "mean of diag(Ĥ − H), 2c/100",
    "pearson": "correlation",
    "cosine": "cosine",
    "covariance_trace": "variance, tr Σ",
    "sum_of_std": "Σ of s.d.",
}
"""Column → what an axis calls it."""
READINGS: dict[str, tuple[str, str, int | None]] = {
    "published": ("published_bias_squared", "as published: mean of 10 trials", 0),
    "debiased": ("bias_squared", "debiased", 1),
    "noise": ("published_variance", "tr Σ/10, the noise in the published one", None),
}
"""Of Figure 2(a-c): the column, what a legend calls it, and the number of its style."""
BIAS_AXES = {
    "a": ("n_inner_steps", "(a) inner steps"),
    "b": ("inner_lr", "(b) inner step size"),
    "c": ("n_trajectories", "(c) sample size"),
    "d": ("mean_error", "(d) injected Hessian error"),
}
"""Of Figure 2: the column on the horizontal axis of each panel, and its title."""
GEOMETRIC = ("covariance_trace", "sum_of_std")
"""Positive columns that span decades: their means are taken of the logarithm."""


def curve(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Mean over MDPs of `y` at each `x`, and the ends of its 95% interval: columns x, mean, low, high.

    A positive quantity that spans decades, such as a variance, gets the geometric mean and its interval.
    """
    rows = []
    for at, group in table.groupby(x, sort=True):
        mean, half = interval(np.log(group[y].where(group[y] > 0)) if y in GEOMETRIC else group[y])
        ends = np.array([mean, mean - half, mean + half])
        rows.append((at, *(np.exp(ends) if y in GEOMETRIC else ends)))
    return pd.DataFrame(rows, columns=[x, "mean", "low", "high"])


def line(table: pd.DataFrame, x: str, y: str, name: str, index: int, *, legend: bool) -> Trace:
    """`curve` as a line with error bars, in the style of the `index`-th series."""
    at = curve(table, x, y)
    bars = {"array": (at["high"] - at["mean"]).tolist(), "arrayminus": (at["mean"] - at["low"]).tolist()}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": at[x].tolist(),
        "y": at["mean"].tolist(),
        "error_y": {"type": "data", "symmetric": False, **bars, "thickness": 1, "width": 3},
        "name": name,
        "legendgroup": name,
        "showlegend": legend,
        **line_style(index),
    }


def lines(table: pd.DataFrame, x: str, y: str, series: str, *, legend: bool) -> list[Trace]:
    """A line for each value of `series`, in the order of the table."""
    names = dict.fromkeys(table[series])
    return [line(table[table[series] == name], x, y, str(name), i, legend=legend) for i, name in enumerate(names)]


def draw(figure: str, table: pd.DataFrame) -> go.Figure:
    """The picture of a figure's table.

    Args:
        figure: its number, such as "5"; or "noise" or "training".
        table: what `figure_1` … `figure_9` returned, or a part of it.

    Raises:
        ValueError: for a figure that is not one of these.

    Taught in lesson 08.
    """
    check_choice("figure", figure, tuple(_DRAWINGS))
    return _DRAWINGS[figure](table)


def _figure_1(table: pd.DataFrame) -> go.Figure:
    panels: list[Panel] = []
    for letter, title in (("a", "(a) MAML, LVC"), ("b", "(b) MAML, AD")):
        part = table[table["panel"] == letter]
        traces = lines(part, "n_trajectories", "pearson", "parts", legend=letter == "a")
        panels.append(Panel(title, traces, x=horizontal("n_trajectories"), y=horizontal("pearson")))
    for letter, title in (("c", "(c) LIRPG, LVC"), ("d", "(d) LIRPG, AD")):
        part = _attached(table[table["panel"] == letter])
        panels.append(_by_sample_size(part, "pearson", title, legend=letter == "c"))
    return grid(panels, 2)


def _figure_2(table: pd.DataFrame) -> go.Figure:
    return grid([bias_panel(table, letter, legend=letter in "ad") for letter in BIAS_AXES], 2, hovermode="closest")


def bias_panel(table: pd.DataFrame, letter: str, legend: bool = True) -> Panel:
    """A panel of Figure 2: medians over MDPs; open triangles mark the upper ends of intervals that reach down to 0."""
    x, title = BIAS_AXES[letter]
    traces: list[Trace] = []
    for rows, y, name, index in bias_curves(panel(table, letter), letter):
        traces += resolved_line(medians(rows, x, y), name, index, legend)
    return Panel(title, traces, x=horizontal(x), y=bias_axis(letter))


def bias_curves(rows: pd.DataFrame, letter: str) -> Iterator[tuple[pd.DataFrame, str, str, int | None]]:
    """Of each line in a panel of Figure 2: its rows, its column, its name and the number of its style."""
    if letter != "d":
        yield from ((rows, column, name, index) for column, name, index in READINGS.values())
        return
    for index, rate in enumerate(dict.fromkeys(rows["inner_lr"]), start=2):
        yield rows[rows["inner_lr"] == rate], "bias", f"α = {rate:g}", index


def bias_axis(letter: str) -> dict[str, object]:
    """The vertical axis of a panel of Figure 2."""
    return {"title": {"text": "‖bias‖" if letter == "d" else "‖bias‖²"}, **_DECADES}


def resolved_line(at: pd.DataFrame, name: str, index: int | None, legend: bool) -> list[Trace]:
    """Values with their intervals where these are above 0, and the upper ends where they are not; x comes first."""
    seen, hidden = at[at["resolved"]], at[~at["resolved"]]
    bars = {"array": (seen["high"] - seen["median"]).tolist(), "arrayminus": (seen["median"] - seen["low"]).tolist()}
    style = _BLACK if index is None else line_style(index)
    shared = {"type": "scatter", "legendgroup": name}
    shown = {"mode": "lines+markers", "name": name, "showlegend": legend, **style}
    error = {"type": "data", "symmetric": False, **bars, "thickness": 1, "width": 3}
    points = {"x": seen.iloc[:, 0].tolist(), "y": seen["median"].tolist()}
    found: list[Trace] = [{**shared, **shown, **points, "error_y": error}]
    if len(hidden):
        marker = {**style["marker"], "symbol": "triangle-down-open", "size": 11}
        points = {"x": hidden.iloc[:, 0].tolist(), "y": hidden["high"].tolist()}
        unseen = {"mode": "markers", "marker": marker, "name": f"{name}: below this, not resolved from 0"}
        found.append({**shared, **unseen, **points, "showlegend": False})
    return found


def _permutations(x: str) -> Callable[[pd.DataFrame], go.Figure]:
    """Figures 5, 6, 7: a column for each way to sample, accuracy above variance."""

    def drawn(table: pd.DataFrame) -> go.Figure:
        panels: list[Panel] = []
        for y in ("pearson", "covariance_trace"):
            for parts in (name for name in SAMPLED_PARTS if name in set(table["parts"])):
                traces = lines(table[table["parts"] == parts], x, y, "estimator", legend=not panels)
                scale = {"range": [-0.1, 1.05]} if y == "pearson" else {}
                panels.append(
                    Panel(f"{LABELS[y]}, {parts}", traces, x=horizontal(x), y=horizontal(y) | scale | _UNNAMED)
                )
            panels += [Panel("", [], x=_HIDDEN, y=_HIDDEN)] * (-len(panels) % 4)
        return grid(panels, 4, gap=0.06, row_height=260, hovermode="closest")

    return drawn


def _figure_8(table: pd.DataFrame) -> go.Figure:
    panels: list[Panel] = []
    for y in ("pearson", "covariance_trace"):
        for estimator in dict.fromkeys(table["estimator"]):
            part = _attached(table[table["estimator"] == estimator])
            panels.append(_by_sample_size(part, y, f"LIRPG, {estimator}", legend=not panels))
    return grid(panels, len(panels) // 2)


def _noise(table: pd.DataFrame) -> go.Figure:
    panels: list[Panel] = []
    for estimator in dict.fromkeys(table["estimator"]):
        part = table[table["estimator"] == estimator]
        named = part.assign(noise="noise " + part["value_noise"].map("{:g}".format))
        traces = lines(named, "n_trajectories", "pearson", "noise", legend=not panels)
        panels.append(Panel(f"{estimator}, ESE", traces, x=horizontal("n_trajectories"), y=horizontal("pearson")))
    return grid(panels, 2)


def _training(table: pd.DataFrame) -> go.Figure:
    panels: list[Panel] = []
    for (algorithm, steps), part in table.groupby(["algorithm", "n_inner_steps"], sort=False):
        traces = []
        names = [str(name) for name in dict.fromkeys(part["estimator"])]
        sampled = [name for name in names if name != "exact"]
        for estimator in names:
            at = curve(part[part["estimator"] == estimator], "outer_step", "meta_objective")
            x, mean, low, high = (at[name].tolist() for name in ("outer_step", "mean", "low", "high"))
            middle, spread = band(
                x, mean, low, high, estimator, sampled.index(estimator) if estimator in sampled else 0
            )
            if estimator == "exact":  # the truth has no spread
                middle, spread = middle | {"line": {"color": OKABE_ITO["black"], "width": 2}}, {}
            traces += [*([spread] if spread else []), middle | {"legendgroup": estimator, "showlegend": not panels}]
        axes = {"title": {"text": "outer step"}}, {"title": {"text": "J<sup>K</sup>(φ)"}}
        panels.append(Panel(f"{algorithm}, K = {steps}", traces, x=axes[0], y=axes[1]))
    return grid(panels, 2)


def _by_sample_size(table: pd.DataFrame, y: str, title: str, *, legend: bool) -> Panel:
    named = table.assign(size="|τ| = " + table["n_trajectories"].astype(str))
    return Panel(
        title, lines(named, "n_inner_steps", y, "size", legend=legend), x=horizontal("n_inner_steps"), y=horizontal(y)
    )


def _attached(table: pd.DataFrame) -> pd.DataFrame:
    """LIRPG with φ differentiated through V̂, the correct reading."""
    return table[table["grad_baseline"].astype(bool)]


def horizontal(column: str) -> dict[str, object]:
    """The axis of a column: its label, and logarithmic where that is its nature."""
    found: dict[str, object] = {"title": {"text": LABELS[column]}}
    if column == "n_trajectories":
        sizes = [2, 8, 32, 128]
        return found | {"type": "log", "tickvals": sizes, "ticktext": [str(n) for n in sizes]}
    if column == "mean_error":
        errors = [0.01, 0.02, 0.04, 0.08]
        return found | {"type": "log", "tickvals": errors, "ticktext": [str(e) for e in errors]}
    return found | (_DECADES if column in GEOMETRIC else {})


_DECADES: dict[str, object] = {"type": "log", "exponentformat": "power", "dtick": 1}
_BLACK: dict[str, dict[str, object]] = {
    "line": {"color": OKABE_ITO["black"], "dash": "dot", "width": 1.5},
    "marker": {"color": OKABE_ITO["black"], "symbol": "line-ew-open", "size": 7},
}
_UNNAMED: dict[str, object] = {"title": None}
_HIDDEN: dict[str, object] = {"visible": False}

_DRAWINGS: dict[str, Callable[[pd.DataFrame], go.Figure]] = {
    "1": _figure_1,
    "2": _figure_2,
    "3": lola_drawing.figure_3,
    "5": _permutations("n_trajectories"),
    "6": _permutations("inner_lr"),
    "7": _permutations("n_inner_steps"),
    "8": _figure_8,
    "9": lola_drawing.figure_9,
    "noise": _noise,
    "training": _training,
}
