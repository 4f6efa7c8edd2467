"""Lesson 08's explorer: Figures 5 to 7 from the shipped tables, one comparison at a time, and one point anew."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.explorers.controls import choice, switch, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.paper.cells import maml
from gmrl_lab.paper.drawing import GEOMETRIC, LABELS, curve, line
from gmrl_lab.paper.figures import ESTIMATORS
from gmrl_lab.paper.settings import Table2
from gmrl_lab.paper.shipped import shipped
from gmrl_lab.permutations import SAMPLED_PARTS
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

AXES = {"5": "n_trajectories", "6": "inner_lr", "7": "n_inner_steps"}
"""Figure → the column along which it goes."""
MEASURES = {
    "Pearson": "pearson",
    "cosine": "cosine",
    "trace of Σ": "covariance_trace",
    "Σ of s.d.": "sum_of_std",
}
"""Name in the list → column."""
LIVE_TRIALS = 5
"""Trials of the point that is computed anew."""

_FIGURES = {"5": "against |τ|, K = 1", "6": "against α, K = 5, |τ| = 32", "7": "against K, |τ| = 32"}
_LINES = {"estimators": "one way to sample, four estimators", "ways": "one estimator, seven ways to sample"}
_PLACES = {"first": 0, "middle": 0.5, "last": 1}
_SCALE: dict[str, dict[str, str]] = {"5": {"type": "log"}, "6": {}, "7": {}}


@dataclass(frozen=True)
class Settings:
    """The controls."""

    figure: str = toggles(_FIGURES, default="5", label="figure")
    lines: str = toggles(_LINES, default="estimators", label="lines", help="what is compared")
    parts: str = choice(*SAMPLED_PARTS, default="ESE", label="way", help="inner, Hessian, outer")
    estimator: str = choice(*ESTIMATORS, default="LVC", label="estimator")
    measure: str = choice(*MEASURES, default="Pearson", label="measure", help="accuracy or variance")
    place: str = toggles(tuple(_PLACES), default="middle", label="point", help="taken apart on the right")
    anew: bool = switch(default=True, label="anew", help=f"{LIVE_TRIALS} trials of the seed")

    @property
    def axis(self) -> str:
        """The column along which the figure goes."""
        return AXES[self.figure]

    @property
    def series(self) -> str:
        """The column that tells the lines apart."""
        return "estimator" if self.lines == "estimators" else "parts"

    @property
    def column(self) -> str:
        """The column of the measure."""
        return MEASURES[self.measure]

    @property
    def fixed(self) -> tuple[str, str]:
        """The column, and its value, that all lines share."""
        return ("parts", self.parts) if self.lines == "estimators" else ("estimator", self.estimator)


@dataclass(frozen=True, eq=False)
class Result:
    """Rows of the shipped table that are shown, those of the marked point, and that point computed anew so far."""

    settings: Settings
    shown: pd.DataFrame
    point: pd.DataFrame
    anew: pd.DataFrame

    @property
    def at(self) -> float:
        """Where on the axis the marked point is."""
        return float(self.point[self.settings.axis].iloc[0])


def maml_permutations(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 08; keyword arguments set controls by field name at the start.

    Taught in lesson 08.
    """
    title = "Figures 5, 6, 7, line by line"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """The shipped lines at once; then, estimator by estimator, the marked point with samples of this seed."""
    s = settings
    name, value = s.fixed
    whole = _table(s.figure)
    shown = whole[whole[name] == value]
    ticks = sorted(shown[s.axis].unique())
    at = ticks[round(_PLACES[s.place] * (len(ticks) - 1))]
    point = shown[shown[s.axis] == at]
    names = list(dict.fromkeys(shown["estimator"])) if s.anew else []
    anew = shown.iloc[:0]
    yield (0.0 if names else 1.0), Result(s, shown, point, anew)
    for done, estimator in enumerate(names, start=1):
        found = _anew(point, estimator, seed)
        anew = found if anew.empty else pd.concat([anew, found], ignore_index=True)
        yield done / len(names), Result(s, shown, point, anew)


def draw(result: Result) -> tuple[go.Figure, str]:
    """The lines with 95% intervals over MDPs, the truth, and the marked point apart; one line of text."""
    s, label = result.settings, LABELS[result.settings.axis]
    x = {"title": {"text": label}, "tickvals": list(_table(s.figure)[s.axis].unique()), **_SCALE[s.figure]}
    y = {"type": "log", "exponentformat": "power", "dtick": 1} if s.column in GEOMETRIC else {"range": [-0.1, 1.05]}
    here = {"type": "line", "xref": "x", "yref": "y domain", "x0": result.at, "x1": result.at, "y0": 0, "y1": 1}
    apart = f"Error² at {label} = {result.at:g}; above, its size / ‖exact‖²"
    panels = [
        Panel(f"Figure {s.figure}, {s.fixed[1]}: {s.measure}", [*_truth(result), *_lines(result)], 3.0, x, y),
        Panel(apart, _shares(result), 2.0, y={"range": [-0.12, 1.22], "tickformat": ".0%"}),
    ]
    shapes = [{**here, "line": {"color": "#888888", "width": 1, "dash": "dot"}}]
    figure = side_by_side(panels, gap=0.08, barmode="relative", bargap=0.3, shapes=shapes, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s, (name, value) = settings, settings.fixed
    lines = [
        "import gmrl_lab as gl",
        "from gmrl_lab.paper.drawing import curve",
        "",
        f"shown = gl.paper.shipped({s.figure!r})  # computed by: gmrl-lab figure {s.figure}",
        f"shown = shown[shown[{name!r}] == {value!r}]",
        f"lines = {{name: curve(part, {s.axis!r}, {s.column!r}) for name, part in shown.groupby({s.series!r})}}",
        f"place = round({_PLACES[s.place]} * (shown[{s.axis!r}].nunique() - 1))",
        f"point = shown[shown[{s.axis!r}] == sorted(shown[{s.axis!r}].unique())[place]]",
    ]
    if s.anew:
        lines += [
            "",
            "from dataclasses import asdict",
            "import pandas as pd",
            "from gmrl_lab.paper.cells import maml",
            "",
            "alpha, K, n = (point[name].iloc[0].item() for name in ('inner_lr', 'n_inner_steps', 'n_trajectories'))",
            f"table = gl.paper.Table2(inner_lr=alpha, n_inner_steps=K, n_trials={LIVE_TRIALS})",
            "parts = ' '.join(point['parts'].unique())",
            f"run = dict(n_trajectories=n, parts=parts, seed={seed}, **asdict(table))",
            "estimators = point['estimator'].unique()",
            "anew = pd.concat([pd.DataFrame(maml(estimator=e, **run)).assign(estimator=e) for e in estimators])",
        ]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """The rows that are shown, and those computed anew, which say so."""
    return pd.concat([result.shown.assign(anew=False), result.anew.assign(anew=True)], ignore_index=True)


def _anew(point: pd.DataFrame, estimator: str, seed: int) -> pd.DataFrame:
    """The rows of a point with other samples: those of `paper.cells.maml`."""
    step, alpha, n = (point[name].iloc[0].item() for name in ("n_inner_steps", "inner_lr", "n_trajectories"))
    settings = asdict(Table2(inner_lr=alpha, n_inner_steps=step, n_trials=LIVE_TRIALS))
    parts = " ".join(dict.fromkeys(point["parts"]))
    rows = maml(estimator=estimator, n_trajectories=n, parts=parts, seed=seed, **settings)
    return pd.DataFrame(rows).assign(estimator=estimator)


@lru_cache
def _table(figure: str) -> pd.DataFrame:
    return shipped(figure)


def _names(result: Result) -> list[str]:
    return list(dict.fromkeys(result.shown[result.settings.series]))


def _style(index: int) -> dict[str, dict[str, object]]:
    """House style; the seventh line is grey, since there are six colours."""
    if index < 6:
        return line_style(index)
    return {"line": {"color": "#666666", "width": 3}, "marker": {"color": "#666666", "symbol": "star", "size": 9}}


def _lines(result: Result) -> Iterator[Trace]:
    """A shipped line for each name, and where it is known the same point anew, as a hollow mark."""
    s = result.settings
    for i, name in enumerate(_names(result)):
        style = _style(i)
        yield _shipped_line(s.figure, s.fixed, s.series, s.column, name) | style
        anew = result.anew[result.anew[s.series] == name] if len(result.anew) else result.anew
        if not anew.empty:
            mark = {**style["marker"], "symbol": f"{style['marker']['symbol']}-open", "size": 13}
            again = line(anew.assign(**{s.axis: result.at}), s.axis, s.column, f"{name}, anew", i, legend=False)
            yield again | {"mode": "markers", "marker": mark}


@lru_cache(maxsize=512)
def _shipped_line(figure: str, fixed: tuple[str, str], series: str, column: str, name: str) -> Trace:
    whole = _table(figure)
    part = whole.loc[(whole[fixed[0]] == fixed[1]) & (whole[series] == name), [AXES[figure], column]]
    return line(part, AXES[figure], column, name, 0, legend=True)


def _truth(result: Result) -> Iterator[Trace]:
    """What an exact estimate has: accuracy 1; for the trace of Σ the size of the exact meta-gradient as a yardstick."""
    s = result.settings
    x = sorted(result.shown[s.axis].unique())
    black = {"type": "scatter", "mode": "lines", "x": x, "line": {"color": OKABE_ITO["black"], "width": 2}}
    if s.column not in GEOMETRIC:
        yield {**black, "y": [1.0] * len(x), "name": "exact"}
    elif s.column == "covariance_trace":
        size = result.shown.assign(covariance_trace=result.shown["exact_squared"])
        yield {**black, "y": curve(size, s.axis, s.column)["mean"].tolist(), "name": "‖exact‖²"}


def _errors(result: Result) -> pd.DataFrame:
    """For each line bias², its standard error, variance and MSE at the point, relative to ‖exact‖², means over MDPs."""
    s, names = result.settings, ["bias_squared", "bias_squared_error", "covariance_trace", "mse"]
    relative = result.point[names].div(result.point["exact_squared"], axis=0).assign(line=result.point[s.series])
    means = relative.groupby("line", sort=False).mean()
    n = result.point["mdp"].nunique()
    quadratic = relative.groupby("line", sort=False)["bias_squared_error"].agg(lambda e: (e**2).sum() ** 0.5 / n)
    return means.assign(bias_squared_error=quadratic)


def _shares(result: Result) -> list[Trace]:
    """bias² and variance as shares of the MSE, which add up to one, and the MSE in figures above them."""
    errors = _errors(result)
    x = [name.replace(" ", "<br>") for name in errors.index]
    share = errors.div(errors["mse"], axis=0)
    half = {"type": "data", "array": (1.96 * share["bias_squared_error"]).tolist(), "color": OKABE_ITO["black"]}
    outline = {"line": {"color": "#444444", "width": 1}}
    red = {"color": OKABE_ITO["vermillion"], **outline}
    blue = {"color": OKABE_ITO["sky blue"], "pattern": {"shape": "/"}, **outline}
    bias, variance, sizes = (share["bias_squared"], share["covariance_trace"], errors["mse"].map("{:.2g}".format))
    return [
        {"type": "bar", "x": x, "y": bias.tolist(), "name": "bias² ± 95%", "marker": red, "error_y": half},
        {"type": "bar", "x": x, "y": variance.tolist(), "name": "variance", "marker": blue},
        {
            "type": "scatter",
            "mode": "text",
            "x": x,
            "y": [1.03] * len(x),
            "text": sizes.tolist(),
            "textposition": "top center",
            "name": "MSE / ‖exact‖²",
            "showlegend": False,
            "cliponaxis": False,
        },
    ]


def _summary(result: Result) -> str:
    s = result.settings
    words = [f"{name} {_number(result, name)}" for name in _names(result)]
    errors = _errors(result)["mse"]
    trials = int(result.point["n_trials"].iloc[0])
    anew = f" Hollow: the same point anew, {LIVE_TRIALS} trials of this seed." if len(result.anew) else ""
    return (
        f"Figure {s.figure}, {s.fixed[1]}, {s.measure} at {LABELS[s.axis]} = {result.at:g}: {', '.join(words)}. "
        f"MSE relative to ‖exact‖²: from {errors.min():.2g} ({errors.idxmin()}) to {errors.max():.2g} "
        f"({errors.idxmax()}). {result.point['mdp'].nunique()} MDPs, {trials} trials each; ± is a 95% interval over "
        f"MDPs.{anew}"
    )


def _number(result: Result, name: str) -> str:
    """The measure at the point with its interval; a geometric mean with the factor either way, for a variance."""
    s = result.settings
    at = _shipped_line(s.figure, s.fixed, s.series, s.column, name)
    mean, up = (values[at["x"].index(result.at)] for values in (at["y"], at["error_y"]["array"]))
    return f"{mean:.2g} ×÷ {1 + up / mean:.2g}" if s.column in GEOMETRIC else f"{mean:.3g} ± {up:.2g}"
