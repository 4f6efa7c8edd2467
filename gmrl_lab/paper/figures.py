"""The paper's tabular figures, one function each: a tidy table with a row for each MDP and setting."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise, product

import pandas as pd

from gmrl_lab._validate import check_choice, check_whole
from gmrl_lab.paper import cells
from gmrl_lab.paper.settings import SCALES, Scale, Table2
from gmrl_lab.paper.training import ALGORITHMS, meta_training
from gmrl_lab.permutations import SAMPLED_PARTS
from gmrl_lab.sweep import Scalar, sweep

ESTIMATORS = ("DiCE", "Loaded DiCE", "LVC", "AD")
"""The four of the paper's Figures 5 to 7."""
ALL_PARTS = " ".join(SAMPLED_PARTS)
PAIRED = ("estimator", "parts", "grad_baseline", "value_noise")
"""Settings that do not enter a seed: what differs in these alone is compared on common random numbers."""

Axes = Mapping[str, Sequence[Scalar]]


@dataclass(frozen=True)
class Run:
    """How a figure is run.

    Raises:
        ValueError: for an unknown scale or a negative seed.

    Taught in lesson 08.
    """

    scale: str | Scale = "paper"
    """One of `SCALES` by name, or another."""
    seed: int = 0
    """Of all random numbers but the MDPs', which are numbered."""
    cache: str | os.PathLike[str] | None = None
    """Folder of finished cells, from which an interrupted run goes on; None keeps none."""
    n_jobs: int | None = None
    """Workers: threads, or processes for more than `MANY` trajectories, unless `joblib.parallel_config` says otherwise,
    which None follows."""
    progress: bool = True
    """Show a bar with the time left."""

    def __post_init__(self) -> None:
        if not isinstance(self.scale, Scale):
            check_choice("scale", self.scale, tuple(SCALES))
        check_whole("seed", self.seed, 0)

    @property
    def size(self) -> Scale:
        """The scale itself."""
        return self.scale if isinstance(self.scale, Scale) else SCALES[self.scale]

    def sweep(self, cell: Callable[..., list[cells.Row]], table: Table2, axes: Axes) -> pd.DataFrame:
        """`cell` at all combinations of `axes`, on top of Table 2 at this scale; an axis may be a field of Table 2."""
        return self.sweeps(cell, table, [axes])[0]

    def sweeps(self, cell: Callable[..., list[cells.Row]], table: Table2, panels: Sequence[Axes]) -> list[pd.DataFrame]:
        """`sweep` for each panel, all in one: no worker waits for another in between, and no point is run twice."""
        base = asdict(replace(table, n_mdps=self.size.n_mdps))
        points = [[dict(zip(axes, point, strict=True)) for point in product(*axes.values())] for axes in panels]
        grid = [base | point for part in points for point in part]
        paired = [name for name in PAIRED if name in grid[0]]
        quick = sum(trajectories(each) for each in grid) < MANY
        begun = partial(sweep, cell, grid, seed=self.seed, paired=paired, threads=quick, cost=relative_time)
        found = begun(cache=self.cache, n_jobs=self.n_jobs, progress=self.progress)
        ends = [sum(len(part) for part in points[: i + 1]) * len(found) // len(grid) for i in range(len(points))]
        return [found[start:end].reset_index(drop=True) for start, end in pairwise([0, *ends])]


def relative_time(settings: Mapping[str, Scalar]) -> float:
    """How long a point takes: K inner steps and an outer one, in each an exact solution that costs 30 trajectories."""
    return (float(settings["n_inner_steps"]) + 1) * (float(settings.get("n_trajectories", 0)) + 30)


def trajectories(settings: Mapping[str, Scalar]) -> float:
    """How many a point is worth in time, over all its MDPs and trials."""
    return relative_time(settings) * float(settings["n_trials"]) * float(settings["n_mdps"])


MANY = 2e6
"""Above it processes win, though each imports PyTorch anew: threads wait for each other between small tensors."""

PAPER, TABLE_2 = Run(), Table2()
"""Everything as published, without a cache."""


def figure_1(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """Accuracy against sample size for MAML, panels (a, b), and against inner steps for LIRPG, panels (c, d).

    Taught in lesson 08.
    """
    size = run.size
    axes: Axes = {"estimator": ("LVC", "AD"), "n_trajectories": size.sample_sizes, "parts": ("SEE ESE SSE",)}
    above = run.sweep(cells.maml, _with_trials(run, table), axes)
    below = figure_8(run, table)
    return pd.concat(
        [_panel(above, {"LVC": "a", "AD": "b"}), _panel(below, {"LVC": "c", "AD": "d"})], ignore_index=True
    )


def figure_2(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """Bias against K (a), α (b) and |τ| (c) with sampled inner updates, and against an injected Hessian error (d).

    Taught in lesson 09.
    """
    size = run.size
    many = replace(table, n_trials=size.bias_trials)
    slow: Axes = {"inner_lr": (3.0,)}
    panels: dict[str, Axes] = {
        "a": {**slow, "n_trajectories": (32,), "n_inner_steps": size.inner_steps},
        "b": {"inner_lr": size.inner_lrs, "n_trajectories": (32,), "n_inner_steps": (size.inner_steps[-1],)},
        "c": {**slow, "n_trajectories": size.sample_sizes, "n_inner_steps": (2,)},
    }
    sampled = run.sweeps(cells.compositional_bias, many, list(panels.values()))
    found = [part.assign(panel=name) for name, part in zip(panels, sampled, strict=True)]
    wrong: Axes = {
        "curvature": size.curvatures,
        "inner_lr": (3.0, 3.5, 4.0, 4.5),
        "n_inner_steps": (2,),
        "n_draws": (size.n_trials,),
    }
    return pd.concat([*found, run.sweep(cells.injected_error, table, wrong).assign(panel="d")], ignore_index=True)


def figure_5(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """MAML: all seven ways to sample, all four estimators, against sample size.

    Taught in lesson 08.
    """
    axes: Axes = {"estimator": ESTIMATORS, "n_trajectories": run.size.sample_sizes, "parts": (ALL_PARTS,)}
    return run.sweep(cells.maml, _with_trials(run, table), axes)


def figure_6(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """MAML: all seven ways to sample, all four estimators, against the inner step size at K = 5, |τ| = 32.

    Taught in lesson 08.
    """
    axes: Axes = {"estimator": ESTIMATORS, "inner_lr": run.size.inner_lrs, "n_inner_steps": (5,)}
    return run.sweep(cells.maml, _with_trials(run, table), {**axes, "n_trajectories": (32,), "parts": (ALL_PARTS,)})


def figure_7(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """MAML: all seven ways to sample, all four estimators, against the number of inner steps at |τ| = 32.

    Taught in lesson 08.
    """
    axes: Axes = {"estimator": ESTIMATORS, "n_inner_steps": run.size.inner_steps}
    return run.sweep(cells.maml, _with_trials(run, table), {**axes, "n_trajectories": (32,), "parts": (ALL_PARTS,)})


def figure_8(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """LIRPG: accuracy and variance against the inner steps, for sampled Jacobians and Hessians (ESE).

    Taught in lesson 10.
    """
    axes: Axes = {
        "estimator": ("LVC", "AD", "Loaded DiCE"),
        "n_inner_steps": tuple(k for k in run.size.inner_steps if k <= 5),
        "n_trajectories": tuple(n for n in run.size.sample_sizes if n >= 16),
        "gae_lambda": (0.9,),
        "grad_baseline": (True, False),
    }
    return run.sweep(cells.lirpg, _with_trials(run, table), axes)


def value_noise(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """Beyond the paper: Figure 1(a, b)'s ESE against the noise on the value baseline, which makes AD's plateau.

    Taught in lesson 08.
    """
    axes: Axes = {"estimator": ("LVC", "AD"), "value_noise": (0.0, 0.25, 0.5, 1.0), "parts": ("ESE",)}
    return run.sweep(cells.maml, _with_trials(run, table), {**axes, "n_trajectories": run.size.sample_sizes})


def training(run: Run = PAPER, table: Table2 = TABLE_2) -> pd.DataFrame:
    """Beyond the paper: what the bias costs. Meta-training with each estimator and with the exact meta-gradient.

    Taught in lesson 10.
    """
    axes: Axes = {
        "algorithm": ALGORITHMS,
        "estimator": ("exact", *ESTIMATORS),
        "n_inner_steps": (1, 3),
        "n_trajectories": (16,),
        "n_outer_steps": (run.size.outer_steps,),
        "outer_lr": (0.1,),
        "n_runs": (run.size.n_mdps,),
    }
    return run.sweep(meta_training, table, axes)


def _with_trials(run: Run, table: Table2) -> Table2:
    return replace(table, n_trials=run.size.n_trials)


def _panel(table: pd.DataFrame, panels: Mapping[str, str]) -> pd.DataFrame:
    """The rows of the estimators that have a panel, and its letter."""
    kept = table[table["estimator"].isin(list(panels))]
    return kept.assign(panel=kept["estimator"].map(panels))


FIGURES: dict[str, Callable[[Run, Table2], pd.DataFrame]] = {
    "1": figure_1,
    "2": figure_2,
    "5": figure_5,
    "6": figure_6,
    "7": figure_7,
    "8": figure_8,
}
"""By their numbers in the paper."""
BEYOND: dict[str, Callable[[Run, Table2], pd.DataFrame]] = {"noise": value_noise, "training": training}
"""What the lessons add to them."""
