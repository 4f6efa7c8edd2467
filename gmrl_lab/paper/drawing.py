"""Tables of the paper's figures → pictures, each with 95% intervals over MDPs."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from gmrl_lab._validate import check_choice
from gmrl_lab.paper.statistics import interval
from gmrl_lab.permutations import SAMPLED_PARTS
from gmrl_lab.plots import Panel, Trace, band, grid, line_style

LABELS = {
    "n_trajectories": "|τ|",
    "n_inner_steps": "K",
    "inner_lr": "α",
    "hessian_error": "‖Ĥ − H‖",
    "pearson": "correlation",
    "cosine": "cosine",
    "covariance_trace": "variance, tr Σ",
    "sum_of_std": "Σ of s.d.",
}
"""Column → what an axis calls it."""
GEOMETRIC = ("covariance_trace", "sum_of_std")
"""Positive columns that span decades: their means are taken of the logarithm."""


def curve(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Mean over MDPs of `y` at each `x`, and the ends of its 95% interval: columns x, mean, low, high.

    A positive quantity that spans decades, such as a variance, gets the geometric mean and its interval.
    """
    rows = []
    for at, group in table.groupby(x, sort=True):
        mean, half = interval(np.log(group[y]) if y in GEOMETRIC else group[y])
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
        figure: its number, "1", "2", "5", "6", "7" or "8"; or "noise" or "training".
        table: what `figure_1` … `figure_8` returned, or a part of it.

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
        panels.append(Panel(title, traces, x=_axis("n_trajectories"), y=_axis("pearson")))
    for letter, title in (("c", "(c) LIRPG, LVC"), ("d", "(d) LIRPG, AD")):
        part = _attached(table[table["panel"] == letter])
        panels.append(_by_sample_size(part, "pearson", title, legend=letter == "c"))
    return grid(panels, 2)


def _figure_2(table: pd.DataFrame) -> go.Figure:
    axes = {"a": ("n_inner_steps", "(a) K"), "b": ("inner_lr", "(b) α"), "c": ("n_trajectories", "(c) |τ|")}
    panels: list[Panel] = []
    for letter, (x, title) in axes.items():
        part = table[table["panel"] == letter]
        readings = {"as published: mean of 10 trials": "published_bias_squared", "debiased": "bias_squared"}
        traces = [line(part, x, y, name, i, legend=letter == "a") for i, (name, y) in enumerate(readings.items())]
        panels.append(Panel(title, traces, x=_axis(x), y={"title": {"text": "‖bias‖²"}, "type": "log"}))
    part = table[table["panel"] == "d"].assign(α=lambda d: "α = " + d["inner_lr"].map("{:g}".format))
    error = part.assign(hessian_error=part.groupby("curvature")["hessian_error"].transform("mean"))
    traces = lines(error, "hessian_error", "bias", "α", legend=True)
    panels.append(
        Panel("(d) injected Hessian error", traces, x=_axis("hessian_error"), y={"title": {"text": "‖bias‖"}})
    )
    return grid(panels, 2)


def _permutations(x: str) -> Callable[[pd.DataFrame], go.Figure]:
    """Figures 5, 6, 7: a column for each way to sample, accuracy above variance."""

    def drawn(table: pd.DataFrame) -> go.Figure:
        panels: list[Panel] = []
        for y in ("pearson", "covariance_trace"):
            for parts in (name for name in SAMPLED_PARTS if name in set(table["parts"])):
                traces = lines(table[table["parts"] == parts], x, y, "estimator", legend=not panels)
                scale = {"range": [-0.1, 1.05]} if y == "pearson" else {}
                panels.append(Panel(f"{LABELS[y]}, {parts}", traces, x=_axis(x), y=_axis(y) | scale | _UNNAMED))
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
        panels.append(Panel(f"{estimator}, ESE", traces, x=_axis("n_trajectories"), y=_axis("pearson")))
    return grid(panels, 2)


def _training(table: pd.DataFrame) -> go.Figure:
    panels: list[Panel] = []
    for (algorithm, steps), part in table.groupby(["algorithm", "n_inner_steps"], sort=False):
        traces = []
        for i, estimator in enumerate(dict.fromkeys(part["estimator"])):
            at = curve(part[part["estimator"] == estimator], "outer_step", "meta_objective")
            x, mean, low, high = (at[name].tolist() for name in ("outer_step", "mean", "low", "high"))
            middle, spread = band(x, mean, low, high, str(estimator), i)
            traces += [spread, middle | {"legendgroup": str(estimator), "showlegend": not panels}]
        axes = {"title": {"text": "outer step"}}, {"title": {"text": "J<sup>K</sup>(φ)"}}
        panels.append(Panel(f"{algorithm}, K = {steps}", traces, x=axes[0], y=axes[1]))
    return grid(panels, 2)


def _by_sample_size(table: pd.DataFrame, y: str, title: str, *, legend: bool) -> Panel:
    named = table.assign(size="|τ| = " + table["n_trajectories"].astype(str))
    return Panel(title, lines(named, "n_inner_steps", y, "size", legend=legend), x=_axis("n_inner_steps"), y=_axis(y))


def _attached(table: pd.DataFrame) -> pd.DataFrame:
    """LIRPG with φ differentiated through V̂, the correct reading."""
    return table[table["grad_baseline"].astype(bool)]


def _axis(column: str) -> dict[str, object]:
    """The axis of a column: its label, and logarithmic where that is its nature."""
    found: dict[str, object] = {"title": {"text": LABELS[column]}}
    if column == "n_trajectories":
        sizes = [2, 8, 32, 128]
        return found | {"type": "log", "tickvals": sizes, "ticktext": [str(n) for n in sizes]}
    return found | ({"type": "log", "exponentformat": "power", "dtick": 1} if column in GEOMETRIC else {})


_UNNAMED: dict[str, object] = {"title": None}
_HIDDEN: dict[str, object] = {"visible": False}

_DRAWINGS: dict[str, Callable[[pd.DataFrame], go.Figure]] = {
    "1": _figure_1,
    "2": _figure_2,
    "5": _permutations("n_trajectories"),
    "6": _permutations("inner_lr"),
    "7": _permutations("n_inner_steps"),
    "8": _figure_8,
    "noise": _noise,
    "training": _training,
}
