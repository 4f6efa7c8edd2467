"""Lesson 10's second explorer: meta-training live, by the exact meta-gradient, a bias alone, and samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from gmrl_lab.explorers.controls import choice, powers_of_two, slider, steps, toggles
from gmrl_lab.explorers.explorer import Explorer
from gmrl_lab.paper.settings import Table2
from gmrl_lab.paper.statistics import interval
from gmrl_lab.paper.training import BIAS_ALONE, Training, training_steps
from gmrl_lab.plots import OKABE_ITO, Panel, Trace, band, line_style, side_by_side

N_MDPS, N_RUNS = 5, 4


@dataclass(frozen=True)
class Settings:
    """The controls."""

    algorithm: str = toggles({"MAML": "one φ for all MDPs", "LIRPG": "a reward for each"}, default="MAML", label="task")
    n_inner_steps: int = slider(1, 3, default=3, label="K", help="inner steps")
    estimator: str = choice("AD", "LVC", "Loaded DiCE", "DiCE", default="AD", label="estimator")
    n_trajectories: int = powers_of_two(4, 32, default=16, label="|τ|", help="trajectories of each part")
    outer_lr: float = steps((0.02, 0.05, 0.1, 0.2), default=0.1, label="β", help="outer step size")
    n_outer_steps: int = steps((10, 20, 50), default=20, label="N", help="outer steps")

    @property
    def trainings(self) -> tuple[Training, ...]:
        """Exact, the estimator's bias alone, and sampled."""
        rest = (self.n_trajectories, self.n_outer_steps, self.outer_lr)
        alone = BIAS_ALONE + self.estimator
        return (
            Training(self.algorithm, "exact", *rest, 1),
            Training(self.algorithm, alone, *rest, 1),
            Training(self.algorithm, self.estimator, *rest, N_RUNS),
        )

    @property
    def table2(self) -> Table2:
        """Table 2 with fewer MDPs."""
        return Table2(n_mdps=N_MDPS, n_inner_steps=self.n_inner_steps)


@dataclass(frozen=True, eq=False)
class Result:
    """J^K(φ) so far: exact and by the bias alone `(t,)`, and sampled `(t, runs)`."""

    settings: Settings
    exact: Tensor
    alone: Tensor
    sampled: Tensor

    @property
    def shortfall(self) -> tuple[float, float, float]:
        """What is missing at the last step: by the bias alone, by the rest, and in all with its interval's half."""
        alone = (self.exact[-1] - self.alone[-1]).item()
        total, half = interval((self.exact[-1] - self.sampled[-1]).tolist())
        return alone, total - alone, half


def meta_training(seed: int = 0, **start: object) -> Explorer[Settings, Result]:
    """The second explorer of lesson 10; keyword arguments set controls by field name at the start.

    Taught in lesson 10.
    """
    title = "What does the bias cost?"
    return Explorer(Settings, compute, draw, code, title=title, table=table, seed=seed, start=start)


def compute(settings: Settings, seed: int) -> Iterator[tuple[float, Result]]:
    """One outer step after the other, of all three trainings."""
    walks = [training_steps(training, settings.table2, seed) for training in settings.trainings]
    seen: list[tuple[Tensor, ...]] = []
    for reached in zip(*walks, strict=True):
        seen.append(reached)
        exact, alone, sampled = (torch.stack(column) for column in zip(*seen, strict=True))
        yield (len(seen) - 1) / settings.n_outer_steps, Result(settings, exact[:, 0], alone[:, 0], sampled)


def draw(result: Result) -> tuple[go.Figure, str]:
    """Three curves, the sampled one with its band over runs; what is missing in the end, in parts; one line of text."""
    s = result.settings
    x = {"title": {"text": "outer step"}, "range": [0, s.n_outer_steps]}
    panels = [
        Panel("J<sup>K</sup>(φ), exact, mean over MDPs", _curves(result), 2.6, x),
        Panel("missing at the last step", _bars(result), 1.0),
    ]
    return side_by_side(panels, gap=0.1, barmode="relative", bargap=0.4), _summary(result)


def code(settings: Settings, seed: int) -> str:
    """The lines that reproduce the figure's numbers."""
    s = settings
    rest = f"{s.n_trajectories}, {s.n_outer_steps}, {s.outer_lr}"
    lines = [
        "import gmrl_lab as gl",
        "from gmrl_lab.paper.training import Training, train",
        "",
        f"table2 = gl.paper.Table2(n_mdps={N_MDPS}, n_inner_steps={s.n_inner_steps})",
    ]
    for name, training in zip(("exact", "alone", "sampled"), s.trainings, strict=True):
        arguments = f"{training.algorithm!r}, {training.estimator!r}, {rest}, {training.n_runs}"
        lines.append(f"{name} = train(Training({arguments}), table2, {seed})")
    return "\n".join([*lines, "print(exact[-1], alone[-1], sampled[-1])"])


def table(result: Result) -> pd.DataFrame:
    """A row per outer step: exact, by the bias alone, and each sampled run."""
    runs = {f"run_{i}": column.tolist() for i, column in enumerate(result.sampled.unbind(1))}
    columns = {"exact": result.exact.tolist(), "bias_alone": result.alone.tolist(), **runs}
    return pd.DataFrame(columns).reset_index(names="outer_step")


def _curves(result: Result) -> list[Trace]:
    x = list(range(len(result.exact)))
    common: Trace = {"type": "scatter", "mode": "lines", "x": x}
    ends = [interval(row.tolist()) for row in result.sampled]
    mean, low, high = ([m + sign * h for m, h in ends] for sign in (0, -1, 1))
    sampled, spread = band(x, mean, low, high, f"{result.settings.estimator}, sampled ± 95%")
    black = {"color": OKABE_ITO["black"], "width": 2}
    return [
        spread,
        {**common, "y": result.exact.tolist(), "name": "exact", "line": black},
        {**common, "y": result.alone.tolist(), "name": "its bias alone", "line": line_style(1)["line"]},
        sampled,
    ]


def _bars(result: Result) -> list[Trace]:
    alone, rest, half = result.shortfall
    outline = {"line": {"color": "#444444", "width": 1}}
    sky: dict[str, object] = {"color": OKABE_ITO["sky blue"], "pattern": {"shape": "/"}}
    bars: dict[str, tuple[float, dict[str, object]]] = {
        "bias": (alone, {"color": OKABE_ITO["vermillion"]}),
        "noise and sampled updates": (rest, sky),
    }
    error = {"type": "data", "array": [half], "color": OKABE_ITO["black"]}
    common: Trace = {"type": "bar", "x": ["parts"]}
    parts = [{**common, "y": [y], "name": name, "marker": look | outline} for name, (y, look) in bars.items()]
    total = {"type": "bar", "x": ["in all"], "y": [alone + rest], "error_y": error, "name": "in all ± 95%"}
    return [*parts, {**total, "marker": {"color": "#bbbbbb"} | outline}]


def _summary(result: Result) -> str:
    s, (alone, rest, half) = result.settings, result.shortfall
    gained = (result.exact[-1] - result.exact[0]).item()
    return (
        f"{s.algorithm}, K = {s.n_inner_steps}, {s.estimator}, |τ| = {s.n_trajectories}, β = {s.outer_lr:g}: after "
        f"{len(result.exact) - 1} of {s.n_outer_steps} outer steps the exact meta-gradient has gained {gained:.3g}; "
        f"its bias alone costs {alone:.3g}, samples cost {rest:.3g} more, {alone + rest:.3g} ± {half:.2g} in all "
        f"({N_MDPS} MDPs, {N_RUNS} runs)."
    )
