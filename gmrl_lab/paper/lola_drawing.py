"""Figures 3 and 9 as pictures: curves over meta-updates, each the mean of runs with its 95% interval."""

import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.paper.lola_runs import PANELS, cooperating, final, labels
from gmrl_lab.paper.statistics import interval
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, dots, grid

AGREEMENT = {
    "pearson": "correlation",
    "pearson_exact_outer": "correlation, outer exact",
    "cosine": "cosine",
    "cosine_exact_outer": "cosine, outer exact",
}
"""Column → what an axis calls it."""
STYLES = ("exact", "{few}", "{many}", "naive", "on-on", "off-off", "off-on", "on-off")
"""Names in the order of their styles; what is all exact is black."""
SCORE = {"title": {"text": "score per step"}, "range": [-2.1, -0.9]}
UPDATE = {"title": {"text": "meta-update"}}


def figure_3(table: pd.DataFrame) -> go.Figure:
    """Return against updates in each panel; effective numbers of stored trajectories; who found cooperation."""
    shown: set[str] = set()
    panels = [Panel(title, _curves(table, title, "score", shown), x=UPDATE, y=SCORE) for title in PANELS]
    off = _curves(table, "(d) as published", "effective_inner", shown)
    effective = {"title": {"text": "effective trajectories"}, "type": "log"}
    panels.append(Panel("(d) how many stored ones still count", off, x=UPDATE, y=effective))
    panels.append(_shares(table))
    legend = {"orientation": "h", "x": 0.0, "y": -0.16, "yanchor": "top"}  # below the names of all settings
    margin = {"l": 56, "r": 12, "t": 32, "b": 220}
    return grid(panels, 2, row_height=360, hovermode="closest", legend=legend, margin=margin)


def figure_9(table: pd.DataFrame) -> go.Figure:
    """Agreement with the exact meta-gradient: a column for each panel of Figure 3, a row for each measure."""
    shown: set[str] = set()
    titles = [title for title in PANELS if title != "(a) baseline fitted to returns"]
    panels = []
    for column, name in AGREEMENT.items():
        for title in titles:
            traces = _curves(table, title, column, shown)
            axis = {"title": {"text": name} if title == titles[0] else None, "range": [-0.35, 1.05]}
            panels.append(Panel(title if column == "pearson" else "", traces, x=UPDATE, y=axis))
    return grid(panels, len(titles), gap=0.04, row_height=240, hovermode="closest")


def _curves(table: pd.DataFrame, panel: str, column: str, shown: set[str]) -> list[Trace]:
    """Mean and band of each setting in a panel; a name stands in the legend once."""
    traces: list[Trace] = []
    for setting, name in labels(table, panel).items():
        rows = table[table["setting"] == setting].dropna(subset=[column])
        if rows.empty or (name == "naive" and column != "score"):
            continue
        at = [(update, *interval(one[column])) for update, one in rows.groupby("update", sort=True)]
        x, mean, half = (list(part) for part in zip(*at, strict=True))
        low, high = ([m + sign * h for m, h in zip(mean, half, strict=True)] for sign in (-1, 1))
        middle, spread = band(x, mean, low, high, name, _style(panel, setting))
        if setting == "exact":
            middle["line"] = {"color": OKABE_ITO["black"], "width": 2}
        traces += [
            *([spread] if half[0] == half[0] else []),
            {**middle, "legendgroup": name, "showlegend": name not in shown},
        ]
        shown.add(name)
    return traces


def _style(panel: str, setting: str) -> int:
    name = PANELS[panel][setting]
    return STYLES.index(name) if name in STYLES else 0


def _shares(table: pd.DataFrame) -> Panel:
    """Share of runs that ended nearer to cooperation than to defection, with Wilson's interval."""
    names, ends = [], []
    for name, score in final(table).items():
        names.append(name)
        ends.append(cooperating(score))
    middle, low, high = (list(part) for part in zip(*ends, strict=True))
    points = dots(names, middle, [h - m for m, h in zip(middle, high, strict=True)], "cooperating", 0)
    points["error_y"] |= {"symmetric": False, "arrayminus": [m - w for m, w in zip(middle, low, strict=True)]}
    axes = {"tickangle": -60, "type": "category"}, {"title": {"text": "share of runs"}, "range": [-0.03, 1.03]}
    return Panel("Runs that end in cooperation", [{**points, "showlegend": False}], x=axes[0], y=axes[1])
