"""Fig. 1(c, d) on Atari: direction and bias of the meta-gradient against the number of inner steps, and in words."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd
import plotly.graph_objects as go

from gmrl_lab._validate import bad
from gmrl_lab.paper.shipped import read
from gmrl_lab.plots import Panel, Trace, band, grid

LABELS = {"AD": "AD", "LVC": "LVC", "LoadedDiCE": "Loaded DiCE"}
"""Estimator → its name, in the order of their styles."""


def shipped() -> pd.DataFrame:
    """The measurement that comes with the package; `attrs` says what made it.

    Returns:
        The columns of `meta_gradient_quality` after `game`, `inner_lr` and `step_length`, ‖α ∇J(θ⁰)‖.

    Raises:
        ValueError: if the file is missing or damaged.

    Taught in lesson 14.
    """
    return read("atari", "quality", "name")


def draw(table: pd.DataFrame, game: str, inner_lr: float) -> go.Figure:
    """A column for each n and one for n = ∞: above the cosine with the truth, below the squared bias, against K.

    Bands are 95% intervals. The squared bias is debiased, so that it may fall below zero by chance, and is given in
    units of the squared length of the truth. With n = ∞ there is no band: these are exact.

    Args:
        table: as `meta_gradient_quality` returns it with an exact reference, with columns `game` and `inner_lr`.
        game, inner_lr: which of its measurements.

    Raises:
        ValueError: if that measurement is not in the table.

    Taught in lesson 14.
    """
    rows = _relative(_measured(table, game, inner_lr))
    sizes = sorted(set(rows["n_windows"].tolist()))
    panels: list[Panel] = []
    for column, axis in (("cosine", "cosine with the truth"), ("bias_squared", "bias² / ‖truth‖²")):
        for n in sizes:
            first = n == sizes[0]
            title = f"n = {n:.0f}" if math.isfinite(n) else "n = ∞, exact"
            traces = list(_traces(rows[rows["n_windows"] == n], column, legend=first and not panels))
            y: Mapping[str, object] = {"range": [-1.05, 1.05]} if column == "cosine" else {"zeroline": True}
            panels.append(Panel(title, traces, x=_STEPS, y={**y, "title": {"text": axis if first else ""}}))
    return grid(panels, len(sizes), gap=0.05, row_height=300, hovermode="closest")


def summary(table: pd.DataFrame, game: str, inner_lr: float) -> str:
    """The same in words, at the largest K: the Hessian bias of AD and LVC, and all cosines with 95% intervals.

    Raises:
        ValueError: if that measurement is not in the table.

    Taught in lesson 14.
    """
    rows = _relative(_measured(table, game, inner_lr))
    steps = rows["K"].max()
    last = rows[rows["K"] == steps].set_index(["n_windows", "estimator"])
    off = {name: last.loc[(math.inf, name), "bias_squared"] ** 0.5 for name in LABELS if name != "LoadedDiCE"}
    lines = [f"{game}, α = {inner_lr:g}, K = {steps}: with infinitely many windows "]
    lines[0] += ", ".join(f"{LABELS[name]} is off by {share:.2g} of the truth's length" for name, share in off.items())
    for n in sorted(last.index.levels[0])[:-1]:
        cosines = (_with_interval(last.loc[(n, name)], name) for name in LABELS)
        lines.append(f"  n = {n:.0f}: cosine with the truth " + ", ".join(cosines))
    return "\n".join(lines)


def _with_interval(row: "pd.Series[float]", name: str) -> str:
    return f"{LABELS[name]} {row['cosine']:.3f} ± {1.96 * row['cosine_se']:.3f}"


def _measured(table: pd.DataFrame, game: str, inner_lr: float) -> pd.DataFrame:
    rows = table[(table["game"] == game) & (table["inner_lr"] == inner_lr)]
    if rows.empty:
        known = table[["game", "inner_lr"]].drop_duplicates().itertuples(index=False)
        words = ", ".join(f"{name} at {lr:g}" for name, lr in known)
        raise bad("game and inner_lr", f"{game} at {inner_lr:g}", f"one that was measured: {words}")
    return rows


def _relative(rows: pd.DataFrame) -> pd.DataFrame:
    """Squared biases in units of the squared length of the truth."""
    scale = rows["reference_norm"] ** 2
    return rows.assign(bias_squared=rows["bias_squared"] / scale, bias_squared_se=rows["bias_squared_se"] / scale)


def _traces(rows: pd.DataFrame, column: str, *, legend: bool) -> Iterator[Trace]:
    """A line for each estimator, in the same style everywhere, and its band."""
    for index, (name, label) in enumerate(LABELS.items()):
        own = rows[rows["estimator"] == name].sort_values("K")
        middle, half = own[column], 1.96 * own[f"{column}_se"]
        low, high = (middle - half).tolist(), (middle + half).tolist()
        line, spread = band(own["K"].tolist(), middle.tolist(), low, high, label, index)
        yield spread
        yield {**line, "mode": "lines+markers", "legendgroup": label, "showlegend": legend}


_STEPS = {"title": {"text": "inner steps K"}, "dtick": 1}
