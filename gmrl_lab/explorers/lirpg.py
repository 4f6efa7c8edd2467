"""Lesson 10's explorer: Figure 8's table of LIRPG, browsed; one point of it can be computed anew."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from gmrl_lab.explorers.controls import choice, powers_of_two, slider, switch, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.paper.cells import lirpg
from gmrl_lab.paper.drawing import GEOMETRIC, LABELS, line
from gmrl_lab.paper.settings import Table2
from gmrl_lab.paper.shipped import shipped
from gmrl_lab.paper.statistics import interval
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, line_style, side_by_side

QUANTITIES = {"correlation": "pearson", "cosine": "cosine", "variance": "covariance_trace"}
AXES = {"K": "n_inner_steps", "|τ|": "n_trajectories"}
ESTIMATORS = ("LVC", "Loaded DiCE", "AD")
BASELINES = {
    "attached": "φ is differentiated through V̂",
    "detached": "V̂ is held fixed",
    "both": "attached and detached",
}
FRESH = 3


@dataclass(frozen=True)
class Settings:
    """The controls."""

    quantity: str = choice(*QUANTITIES, default="correlation", label="y")
    against: str = toggles({"K": "inner steps", "|τ|": "trajectories"}, default="K", label="x", help="the axis")
    n_inner_steps: int = slider(1, 5, default=5, label="K", help="inner steps")
    n_trajectories: int = powers_of_two(16, 256, default=16, label="|τ|", help="trajectories of each Hessian")
    estimator: str = choice("all", *ESTIMATORS, default="all", label="estimator")
    baseline: str = toggles(BASELINES, default="attached", label="V̂", help="the value baseline")
    fresh: bool = switch(default=False, label="anew", help=f"{FRESH} trials of the seed")

    @property
    def series(self) -> list[tuple[str, bool]]:
        """The estimators, each with its kind of baseline: True where it is attached."""
        kinds = {"attached": (True,), "detached": (False,), "both": (True, False)}[self.baseline]
        names = ESTIMATORS if self.estimator == "all" else (self.estimator,)
        return [(name, kind) for name in names for kind in kinds]

    @property
    def fixed(self) -> tuple[str, int]:
        """The column that does not vary along the axis, and where it stands."""
        if self.against == "K":
            return "n_trajectories", self.n_trajectories
        return "n_inner_steps", self.n_inner_steps


@dataclass(frozen=True, eq=False)
class Result:
    """Rows of the shipped table, one for each MDP and setting, and those computed anew."""

    settings: Settings
    table: pd.DataFrame
    fresh: pd.DataFrame

    def at(self, table: pd.DataFrame, estimator: str, attached: bool) -> pd.DataFrame:
        """The rows of one series."""
        return table[(table["estimator"] == estimator) & (table["grad_baseline"] == attached)]

    def point(self, estimator: str, attached: bool) -> pd.DataFrame:
        """The shipped rows at the chosen K and |τ|, by MDP."""
        s, rows = self.settings, self.at(self.table, estimator, attached)
        chosen = (rows["n_inner_steps"] == s.n_inner_steps) & (rows["n_trajectories"] == s.n_trajectories)
        return rows[chosen].set_index("mdp")


def lirpg_experiments(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The explorer of lesson 10; keyword arguments set controls by field name at the start.

    Taught in lesson 10.
    """
    title = "LIRPG: which Hessian, how many steps"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """The shipped rows at once; where asked for, the chosen point anew, one series after the other."""
    s, found = settings, _shipped()
    column, value = s.fixed
    shown = [pair in s.series for pair in zip(found["estimator"], found["grad_baseline"], strict=True)]
    rows = found[np.array(shown) & (found[column] == value)]
    series = s.series if s.fresh else []
    done: list[pd.DataFrame] = []
    yield 0.0 if series else 1.0, Result(s, rows, rows.head(0))
    table2 = asdict(Table2(n_inner_steps=s.n_inner_steps, n_trials=FRESH))
    for estimator, attached in series:
        point = {"n_trajectories": s.n_trajectories, "gae_lambda": 0.9, "seed": seed}
        rows_here = lirpg(estimator=estimator, grad_baseline=attached, **point, **table2)  # type: ignore[arg-type]
        named = {
            "estimator": estimator,
            "grad_baseline": attached,
            **{name: getattr(s, name) for name in AXES.values()},
        }
        done.append(pd.DataFrame([row | named for row in rows_here]))
        yield len(done) / len(series), Result(s, rows, pd.concat(done, ignore_index=True))


def draw(result: Result) -> tuple[go.Figure, str]:
    """The curves with their intervals; each MDP at the chosen point, and its error in parts; one line of text."""
    s = result.settings
    y, x = QUANTITIES[s.quantity], AXES[s.against]
    here = getattr(s, x)
    axis: dict[str, object] = {"title": {"text": s.against}, "dtick": 1}
    if s.against == "|τ|":
        sizes = [16, 32, 64, 128, 256]
        axis = {"title": {"text": "|τ|"}, "type": "log", "tickvals": sizes, "ticktext": [str(n) for n in sizes]}
    kind = {"type": "log", "exponentformat": "power", "dtick": 1} if y in GEOMETRIC else {}
    panels = [
        Panel(LABELS[y], _curves(result, x, y), 2.4, axis, kind),
        Panel(f"{s.quantity}, MDP by MDP", _by_mdp(result, y), 1.8, _places(s), kind),
        Panel("Error² / ‖exact‖², here", _bars(result), 1.8),
    ]
    mark = {"type": "line", "xref": "x", "yref": "y domain", "x0": here, "x1": here, "y0": 0, "y1": 1}
    shapes = [{**mark, "line": {"color": "#888888", "width": 1, "dash": "dot"}}]
    figure = side_by_side(panels, gap=0.08, barmode="relative", bargap=0.3, shapes=shapes, hovermode="closest")
    return figure, _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s, y, x = settings, QUANTITIES[settings.quantity], AXES[settings.against]
    column, value = s.fixed
    lines = [
        "from dataclasses import asdict",
        "",
        "import pandas as pd",
        "",
        "import gmrl_lab as gl",
        "",
        f"found = gl.paper.shipped('8').query('{column} == {value}')",
        f"series = {s.series!r}",
        "curves = {}",
        "for estimator, attached in series:",
        "    rows = found[(found['estimator'] == estimator) & (found['grad_baseline'] == attached)]",
        f"    curves[estimator, attached] = gl.paper.drawing.curve(rows, {x!r}, {y!r})",
        "    print(estimator, 'attached' if attached else 'detached')",
        "    print(curves[estimator, attached])",
    ]
    if s.fresh:
        lines += [
            "",
            f"table2 = asdict(gl.paper.Table2(n_inner_steps={s.n_inner_steps}, n_trials={FRESH}))",
            f"point = dict(n_trajectories={s.n_trajectories}, gae_lambda=0.9, seed={seed})",
            "fresh = {",
            "    (e, a): pd.DataFrame(gl.paper.cells.lirpg(estimator=e, grad_baseline=a, **point, **table2))",
            "    for e, a in series",
            "}",
            f"print({{pair: rows[{y!r}].mean() for pair, rows in fresh.items()}})",
        ]
    return "\n".join(lines)


def table(result: Result) -> pd.DataFrame:
    """The rows behind the figure, one per MDP and setting; `fresh` says which were computed anew."""
    columns = ["estimator", "grad_baseline", "n_inner_steps", "n_trajectories", "mdp", *_MEASURED]
    tables = [
        part[columns].assign(fresh=new) for part, new in ((result.table, False), (result.fresh, True)) if len(part)
    ]
    return pd.concat(tables, ignore_index=True)


_MEASURED = ("pearson", "cosine", "covariance_trace", "bias_squared", "mse", "exact_squared")


@lru_cache(maxsize=1)
def _shipped() -> pd.DataFrame:
    return shipped("8")


def _name(estimator: str, attached: bool) -> str:
    return estimator if attached else f"{estimator}, detached"


def _short(estimator: str, attached: bool) -> str:
    """For a narrow axis."""
    return _name(estimator, attached).replace(", detached", ",<br>det.").replace("Loaded ", "Loaded<br>")


def _style(estimator: str, attached: bool) -> int:
    """The index of a series' style: the same whatever else is shown."""
    return ESTIMATORS.index(estimator) + (0 if attached else len(ESTIMATORS))


def _curves(result: Result, x: str, y: str) -> list[Trace]:
    traces = []
    for pair in result.settings.series:
        rows = result.at(result.table, *pair)
        traces.append(line(rows, x, y, _name(*pair), _style(*pair), legend=True))
    if y in GEOMETRIC:
        return traces
    ends = [min(traces[0]["x"]), max(traces[0]["x"])]
    black = {"color": OKABE_ITO["black"], "width": 2}
    return [*traces, {"type": "scatter", "mode": "lines", "x": ends, "y": [1, 1], "name": "exact", "line": black}]


def _places(settings: Settings) -> dict[str, object]:
    """The axis of `_by_mdp`: each name under its ten points."""
    names = [_short(*pair) for pair in settings.series]
    return {"tickvals": [place + 0.315 for place in range(len(names))], "ticktext": names, "zeroline": False}


def _by_mdp(result: Result, y: str) -> list[Trace]:
    """Points: the shipped value of each MDP, ten in a row; hollow: the same MDP with new trials."""
    traces: list[Trace] = []
    for place, pair in enumerate(result.settings.series):
        name, style = _name(*pair), line_style(_style(*pair))["marker"]
        common: Trace = {"type": "scatter", "mode": "markers", "legendgroup": name, "showlegend": False}
        old, new = result.point(*pair), result.at(result.fresh, *pair)
        x = [place + 0.07 * mdp for mdp in old.index]
        traces.append({**common, "x": x, "y": old[y].tolist(), "name": name, "marker": style})
        if len(new):
            hollow = {**style, "symbol": f"{style['symbol']}-open", "size": 11, "line": {"width": 1.5}}
            x = [place + 0.07 * mdp for mdp in new["mdp"]]
            traces.append({**common, "x": x, "y": new[y].tolist(), "name": f"{name}, anew", "marker": hollow})
    return traces


def _parts(result: Result, pair: tuple[str, bool]) -> tuple[float, float, float]:
    """bias², variance and MSE relative to ‖exact‖², means over MDPs: the first two add up to the third."""
    rows = result.point(*pair)
    relative = rows[["bias_squared", "covariance_trace", "mse"]].div(rows["exact_squared"], axis=0).mean()
    return float(relative.iloc[0]), float(relative.iloc[1]), float(relative.iloc[2])


def _bars(result: Result) -> list[Trace]:
    pairs = result.settings.series
    names = [_short(*pair) for pair in pairs]
    squared, variance, mse = (list(values) for values in zip(*(_parts(result, pair) for pair in pairs), strict=True))
    outline = {"line": {"color": "#444444", "width": 1}}
    black = {"color": OKABE_ITO["black"], "symbol": "line-ew-open", "size": 26, "line": {"width": 2}}
    sky = {"color": OKABE_ITO["sky blue"], "pattern": {"shape": "/"}}
    return [
        {
            "type": "bar",
            "x": names,
            "y": squared,
            "name": "bias²",
            "marker": {"color": OKABE_ITO["vermillion"]} | outline,
        },
        {"type": "bar", "x": names, "y": variance, "name": "variance", "marker": sky | outline},
        {"type": "scatter", "mode": "markers", "x": names, "y": mse, "name": "MSE", "marker": black},
    ]


def _summary(result: Result) -> str:
    s, y = result.settings, QUANTITIES[result.settings.quantity]
    words = []
    for pair in s.series:
        old, new = result.point(*pair)[y], result.at(result.fresh, *pair)[y]
        anew = f" (anew {_mean(new, y)})" if len(new) else ""
        words.append(f"{_name(*pair)} {_mean(old, y)}{anew}")
    return (
        f"LIRPG with sampled Hessians alone, K = {s.n_inner_steps}, |τ| = {s.n_trajectories}, "
        f"V̂ {s.baseline}: {s.quantity} {', '.join(words)}. 10 MDPs, 20 trials each; [ ] is a 95% interval over MDPs."
    )


def _mean(values: pd.Series, y: str) -> str:
    """Mean over MDPs, the geometric one where the picture's is, with its interval."""
    if y in GEOMETRIC:
        mean, half = interval(np.log(values))
        mean, low, high = np.exp(mean), np.exp(mean - half), np.exp(mean + half)
    else:
        mean, half = interval(values)
        low, high = mean - half, mean + half
    return f"{mean:.3g} [{low:.3g}, {high:.3g}]"
