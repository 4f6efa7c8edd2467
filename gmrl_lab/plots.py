"""Figures: one look for all, and the few traces that every picture here is made of, each with its uncertainty.

Colours that colour-blind readers can tell apart, each with its own dash and marker.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from torch import Tensor

from gmrl_lab.metrics import bias, mse_split

Trace = dict[str, Any]
"""A Plotly trace as a plain dictionary: go.Figure validates it once, which is far cheaper than building objects."""

# Okabe and Ito (2008), "Color Universal Design".
OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "bluish green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "reddish purple": "#CC79A7",
}

# Yellow is left out: it vanishes on white.
_SERIES = ("blue", "vermillion", "bluish green", "orange", "reddish purple", "sky blue")
COLORWAY = tuple(OKABE_ITO[name] for name in _SERIES)
# Solid black is kept for the truth.
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
FIGURE_HEIGHT = 420

_CORNER = {
    "xref": "paper",
    "yref": "paper",
    "xanchor": "left",
    "yanchor": "bottom",
    "align": "left",
    "showarrow": False,
}

_AXIS = {
    "showline": True,
    "linecolor": "#444444",
    "showgrid": True,
    "gridcolor": "#e8e8e8",
    "zerolinecolor": "#bbbbbb",
    "zerolinewidth": 1,
    "ticks": "outside",
    "automargin": True,
    "title": {"font": {"size": 13}, "standoff": 8},
}

# A template reaches the axes of subplots too. Plotly's own costs 50 ms a figure, a quarter of a slider's budget.
TEMPLATE = go.layout.Template(
    layout={
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "colorway": COLORWAY,
        "font": {
            "family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
            "size": 13,
            "color": "#222222",
        },
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 15}},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
    }
)


def line_style(index: int) -> dict[str, dict[str, object]]:
    """Colour, dash and marker of the `index`-th series, as keyword arguments of `go.Scatter`."""
    colour = COLORWAY[index % len(COLORWAY)]
    return {
        "line": {"color": colour, "dash": DASHES[index % len(DASHES)], "width": 2},
        "marker": {"color": colour, "symbol": MARKERS[index % len(MARKERS)], "size": 7},
    }


def base_layout(
    title: str = "", x: str = "", y: str = "", *, height: int = FIGURE_HEIGHT, **overrides: object
) -> go.Layout:
    """The house layout. Titles are Unicode: LaTeX in a Plotly title renders as nothing in JupyterLab 4.

    `overrides` are any further `go.Layout` properties; they win over the defaults.
    """
    house = {
        "template": TEMPLATE,
        "title": {"text": title, "y": 0.98, "yanchor": "top"},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "margin": {"l": 64, "r": 16, "t": 76 if title else 44, "b": 48},
        "hovermode": "x unified",
        "height": height,
        "autosize": True,
        "uirevision": "kept",  # a zoom of the reader's outlives the next redraw
    }
    return go.Layout(house).update(overrides)


@dataclass(frozen=True)
class Panel:
    """One of several drawings side by side: its traces, title, axis properties, and share of the width."""

    title: str
    traces: Sequence[Trace]
    width: float = 1.0
    x: Mapping[str, object] = field(default_factory=dict)
    y: Mapping[str, object] = field(default_factory=dict)


def side_by_side(panels: Sequence[Panel], *, gap: float = 0.09, **layout: object) -> go.Figure:
    """A figure of panels in one row, built in one piece: Plotly's own subplots cost a slider's whole budget of time."""
    return _assembled(panels, len(panels), gap, FIGURE_HEIGHT, layout)


def grid(
    panels: Sequence[Panel], columns: int, *, gap: float = 0.09, row_height: int = FIGURE_HEIGHT, **layout: object
) -> go.Figure:
    """A figure of panels in rows of `columns`; their widths are shares of a row, the legend stands below."""
    return _assembled(panels, columns, gap, row_height, layout)


def _assembled(
    panels: Sequence[Panel], columns: int, gap: float, row_height: int, layout: Mapping[str, object]
) -> go.Figure:
    n_rows = -(-len(panels) // columns)
    between = 0.36 / n_rows if n_rows > 1 else 0.0
    pitch = (1 + between) / n_rows
    traces: list[Trace] = []
    axes: dict[str, object] = {}
    titles = []
    for number, (panel, left, right) in enumerate(_places(panels, columns, gap), start=1):
        top = 1 - (number - 1) // columns * pitch
        bottom, suffix = top - pitch + between, str(number) if number > 1 else ""
        traces += [{**trace, "xaxis": f"x{suffix}", "yaxis": f"y{suffix}"} for trace in panel.traces]
        axes[f"xaxis{suffix}"] = {**panel.x, "domain": [left, min(right, 1.0)], "anchor": f"y{suffix}"}
        axes[f"yaxis{suffix}"] = {**panel.y, "domain": [max(bottom, 0.0), top], "anchor": f"x{suffix}"}
        titles.append({"text": f"<b>{panel.title}</b>", "x": left, "y": top + 0.02 / n_rows, **_CORNER})
    base = {"template": TEMPLATE, "height": n_rows * row_height, "autosize": True, "uirevision": "kept"}
    # At the foot of the picture: below the axes Plotly leaves it where it was when the width changes, across a title.
    legend = {"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0}
    margin = {"l": 56, "r": 12, "t": 32, "b": 88}
    own = {"legend": legend, "margin": margin, **axes, "annotations": titles, **layout}
    return go.Figure({"data": traces, "layout": {**base, **own}})


def _places(panels: Sequence[Panel], columns: int, gap: float) -> Iterator[tuple[Panel, float, float]]:
    """Each panel and its left and right end; a last row that is not full keeps the widths of one that is."""
    for first in range(0, len(panels), columns):
        row = panels[first : first + columns]
        shares = sum(panel.width for panel in panels[:columns])
        unit, left = (1 - gap * (columns - 1)) / shares, 0.0
        for panel in row:
            yield panel, left, left + unit * panel.width
            left += unit * panel.width + gap


def band(
    x: Sequence[float], middle: Sequence[float], low: Sequence[float], high: Sequence[float], name: str, index: int = 0
) -> tuple[Trace, Trace]:
    """A line and the filled band around it, in the style of the `index`-th series."""
    style = line_style(index)
    colour = str(style["line"]["color"])
    spread: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "fill": "toself",
        "fillcolor": _transparent(colour, 0.22),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    line: Trace = {"type": "scatter", "mode": "lines", "x": list(x), "y": list(middle), "name": name}
    return {**line, "line": style["line"]}, spread


def dots(x: Sequence[object], means: Sequence[float], halves: Sequence[float], name: str, index: int = 0) -> Trace:
    """Means with the half-widths of their 95% intervals, in the style of the `index`-th series."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(means),
        "name": name,
        "marker": {**line_style(index)["marker"], "size": 10},
        "error_y": {"type": "data", "array": list(halves), "thickness": 1.5, "width": 6},
    }


def error_bars(estimates: Tensor, exact: Tensor) -> list[Trace]:
    """Squared bias (debiased, ± 95%) stacked with variance, beside their sum, the MSE; all relative to ‖exact‖²."""
    scale = exact.square().sum()
    bias_squared, variance, mse = ((part / scale).item() for part in mse_split(estimates, exact))
    half = 1.96 * (bias(estimates, exact).standard_error / scale).item()
    interval = {"type": "data", "array": [half], "color": OKABE_ITO["black"]}
    stacked, total = "bias² + variance", "MSE"
    return [
        _bar("bias² ± 95%", stacked, bias_squared, {"color": OKABE_ITO["vermillion"]}) | {"error_y": interval},
        _bar("variance", stacked, variance, {"color": OKABE_ITO["sky blue"], "pattern": {"shape": "/"}}),
        _bar("MSE", total, mse, {"color": "#bbbbbb"}),
    ]


def by_coordinate(estimates: Tensor, exact: Tensor) -> list[Trace]:
    """Exact vector and the mean of M estimates ± one standard deviation, coordinates sorted by the exact value."""
    order = exact.flatten().argsort()
    truth, trials = exact.flatten()[order], estimates.flatten(1)[:, order]
    mean, std = trials.mean(0), trials.std(0)
    x = list(range(len(order)))
    line: Trace = {"type": "scatter", "mode": "lines", "x": x, "y": truth.tolist(), "name": "exact"}
    middle, spread = band(x, mean.tolist(), (mean - std).tolist(), (mean + std).tolist(), "mean estimate ± 1 s.d.")
    return [spread, {**line, "line": {"color": OKABE_ITO["black"], "width": 2}}, middle]


def scatter_around(name: str, values: Sequence[float], index: int = 0) -> list[Trace]:
    """All values as points above one name, side by side, and their mean with a 95% interval; none where undefined."""
    known = [value for value in values if value == value]
    style = line_style(index)
    n = max(len(known), 1)
    points: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [index + 0.3 * (2 * i / max(n - 1, 1) - 1) for i in range(len(known))],
        "y": known,
        "name": name,
        "marker": {**style["marker"], "opacity": 0.45, "size": 6},
        "showlegend": False,
    }
    half = 1.96 * statistics.stdev(known) / n**0.5 if len(known) > 1 else 0.0
    summary: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [index],
        "y": [statistics.fmean(known) if known else None],
        "marker": {"color": OKABE_ITO["black"], "symbol": style["marker"]["symbol"], "size": 11},
        "error_y": {"type": "data", "array": [half], "thickness": 2, "width": 8},
        "name": f"{name}, mean ± 95%",
        "showlegend": False,
    }
    return [points, summary]


def _bar(name: str, x: str, height: float, marker: dict[str, object]) -> Trace:
    outline = {"line": {"color": "#444444", "width": 1}}
    return {"type": "bar", "name": name, "x": [x], "y": [height], "marker": marker | outline}


def _transparent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
