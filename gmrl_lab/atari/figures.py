"""Figures 4, 10 and 11: learning curves and meta-parameters, with the scale of the runs in every title.

A table of runs has a row for each run and step: game, variant, seed, scale (in words), step, steps (of the whole run),
score, games (finished so far), entropy (the policy's), and the four meta-parameters. A score is the mean of the last
64 games. While fewer are finished it is a mean of those, the short ones, and rises as longer ones end: there curves are
faint, without a band.
"""

from collections.abc import Iterator
from math import nan

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from gmrl_lab._validate import bad, check_choice, check_whole
from gmrl_lab.atari.logger import SCORED
from gmrl_lab.paper.shipped import read
from gmrl_lab.plots import Panel, Trace, band, grid

Values = npt.NDArray[np.float64]

PUBLISHED_STEPS = 40_000_000
VARIANTS = {
    "a2c": "A2C",
    "mgrl": "3-step MGRL",
    "mgrl-lvc": "3-step MGRL + LVC",
    "mgrl-full": "3-step MGRL, fully corrected",
}
"""Variant → what the paper calls it; the last is not the paper's."""
META_PARAMETERS = {
    "discount": "γ",
    "gae_lambda": "λ",
    "value_coefficient": "c<sub>v</sub>, value loss",
    "entropy_coefficient": "c<sub>h</sub>, entropy",
}
"""Column → its symbol."""
N_RESAMPLES = 2000
FAINT = 0.35


def interquartile_mean(scores: npt.ArrayLike) -> Values:
    """Mean of the middle half of all scores `(..., runs, tasks)`: a quarter, rounded down, is cut at either end.

    Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice", Sec. 4.3; with fewer
    than four scores nothing is cut, and it is the mean.

    Taught in lesson 14.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = np.sort(values.reshape(*values.shape[:-2], -1), axis=-1)
    cut = values.shape[-1] // 4
    return np.asarray(values[..., cut : values.shape[-1] - cut].mean(-1))


def stratified_interval(
    scores: npt.ArrayLike, seed: int = 0, n_resamples: int = N_RESAMPLES, level: float = 0.95
) -> tuple[Values, Values]:
    """Percentile bootstrap interval of the interquartile mean: runs drawn again within each task, as rliable does.

    Agarwal et al. (2021), Sec. 4.2. All points of a curve are resampled together.

    Args:
        scores: `(..., runs, tasks)`.

    Returns:
        The lower and the upper ends `(...)`; NaN where there is one run, which says nothing on the next.

    Taught in lesson 14.
    """
    check_whole("n_resamples", n_resamples, 2)
    values = np.asarray(scores, dtype=np.float64)
    n_runs, n_tasks = values.shape[-2:]
    if n_runs < 2:
        return (np.full(values.shape[:-2], np.nan),) * 2
    drawn = np.random.default_rng(seed).integers(n_runs, size=(n_resamples, n_runs, n_tasks))
    means = [interquartile_mean(values[..., rows, np.arange(n_tasks)]) for rows in drawn]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def curve(runs: pd.DataFrame, column: str = "score") -> pd.DataFrame:
    """Interquartile mean over the seeds of one game and variant, and its 95% interval, at the steps that all reached.

    Returns:
        Columns step, mean, low, high, n_seeds, games: the fewest that a seed had finished.

    Taught in lesson 14.
    """
    wide = runs.pivot(index="step", columns="seed", values=column).dropna()
    games = runs.groupby("step")["games"].min()[wide.index].to_numpy()
    scores = wide.to_numpy(dtype=np.float64)[..., None]
    low, high = stratified_interval(scores)
    ends = {"low": low, "high": high, "n_seeds": wide.shape[1], "games": games}
    return pd.DataFrame({"step": wide.index, "mean": interquartile_mean(scores), **ends})


def draw(figure: str, table: pd.DataFrame) -> go.Figure:
    """The picture of a figure: "4" and "10" are returns, "11" is the trajectories of the meta-parameters.

    Raises:
        ValueError: for another figure, or a table without rows or with an unknown variant.

    Taught in lesson 14.
    """
    check_choice("figure", figure, ("4", "10", "11"))
    if table.empty:
        raise bad("table", "no rows", "at least one run")
    for variant in dict.fromkeys(table["variant"]):
        check_choice("variant", variant, tuple(VARIANTS))
    if figure == "11":
        table = table[table["variant"] != "a2c"]
        columns, titles = list(META_PARAMETERS), META_PARAMETERS
    else:
        columns, titles = ["score"], {"score": f"return, last {SCORED} games (faint: fewer)"}
    panels: list[Panel] = []
    for game, runs in table.groupby("game", sort=False):
        for column in columns:
            title = scale_words(str(game), runs) if column == columns[0] else ""
            lines = list(_traces(runs, column))
            axis = {"title": {"text": titles[column]}, **({} if lines else _BARE)}
            traces = [*([] if panels else _legend(table)), *(lines or [_nothing(runs)])]
            panels.append(Panel(title, traces, x=_STEPS, y=axis))
    across = 4 if figure == "11" else min(2, len(panels))
    margin = {"l": 56, "r": 12, "t": 52, "b": 88}  # above for titles of two lines
    size = {"gap": 0.12, "row_height": 340} if across == 4 else {"row_height": 360}
    return grid(panels, across, **size, margin=margin, hovermode="closest")


def scale_words(game: str, runs: pd.DataFrame) -> str:
    """What every title says: how far the runs went, at what setting, how many of them there are."""
    reached, seeds = int(runs["step"].max()), runs["seed"].nunique()
    share = f"{reached:,} steps, {reached / PUBLISHED_STEPS:.2g} of the paper's"
    scales = " / ".join(dict.fromkeys(runs["scale"]))
    return f"{game}: {share}<br>{scales}; {seeds} {'seed' if seeds == 1 else 'seeds'}"


def shipped(name: str) -> pd.DataFrame:
    """A table of runs that comes with the package; `table.attrs` says what made it.

    Raises:
        ValueError: if no such table is shipped, or its file is damaged.

    Taught in lesson 14.
    """
    return read("atari", name, "name")


def _traces(runs: pd.DataFrame, column: str) -> Iterator[Trace]:
    """A line for each variant, in the same style everywhere; its band where there are several seeds."""
    for index, (variant, label) in enumerate(VARIANTS.items()):
        known = runs[(runs["variant"] == variant) & runs[column].notna()]
        if known.empty:
            continue
        at = curve(known, column)
        begin = int((at["games"] < SCORED).sum()) if column == "score" else 0
        group = {"legendgroup": label, "showlegend": False}
        if begin:
            line, _ = _line(at[: begin + 1], f"{label}, fewer than {SCORED} games", index)
            yield {**line, **group, "opacity": FAINT}
        if begin < len(at):
            line, spread = _line(at[begin:], label, index)
            if at["n_seeds"].iloc[0] > 1:
                yield spread
            yield {**line, **group}


def _legend(table: pd.DataFrame) -> Iterator[Trace]:
    """A key for each variant, drawn nowhere: a panel may have all of its curves faint, or none."""
    for index, (variant, label) in enumerate(VARIANTS.items()):
        if variant in set(table["variant"]):
            nowhere = [nan]
            line, _ = band(nowhere, nowhere, nowhere, nowhere, label, index)
            yield {**line, "legendgroup": label, "showlegend": True}


def _nothing(runs: pd.DataFrame) -> Trace:
    """What a panel says where nothing is known."""
    x, text = [0, runs["step"].max() / 2, runs["step"].max()], ["", "no game has ended", ""]
    return {"type": "scatter", "mode": "text", "x": x, "y": [0.5] * 3, "text": text, "showlegend": False}


_BARE = {"range": [0, 1], "showticklabels": False, "ticks": "", "showgrid": False}
"""Axis of a panel that has no numbers."""


def _line(at: pd.DataFrame, name: str, index: int) -> tuple[Trace, Trace]:
    x, mean, low, high = (at[column].tolist() for column in ("step", "mean", "low", "high"))
    return band(x, mean, low, high, name, index)


_STEPS = {"title": {"text": "environment steps"}, "rangemode": "tozero"}
