"""Games x variants x seeds as one sweep: a job for each run, each with its checkpoint, and one table of them all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from gmrl_lab._validate import bad, check_choice
from gmrl_lab.atari.environments import GAMES, SMALL
from gmrl_lab.atari.figures import META_PARAMETERS
from gmrl_lab.atari.logger import Logger
from gmrl_lab.atari.settings import VARIANTS
from gmrl_lab.atari.training import SCALES, Training, train
from gmrl_lab.sweep import Scalar, sweep

POINTS = 100
"""Rows of each run in a table of runs."""


@dataclass(frozen=True)
class Grid:
    """Which runs: all combinations of games, variants and seeds.

    Raises:
        ValueError: for an unknown game, variant or scale, or for no run at all; before anything runs.

    Taught in lesson 14.
    """

    games: tuple[str, ...]
    variants: tuple[str, ...] = ("a2c", "mgrl", "mgrl-lvc")
    seeds: tuple[int, ...] = (0,)
    steps: int = 40_000_000
    scale: str = "full"

    def __post_init__(self) -> None:
        if not self.points:
            raise bad("grid", "no runs", "at least one game, variant and seed")
        check_choice("scale", self.scale, tuple(SCALES))
        for game, variant, seed in self.points:
            check_choice("game", game, (*GAMES, *SMALL))
            check_choice("variant", variant, VARIANTS)
            Training.at(game, self.scale, seed, variant=variant, total_steps=self.steps)

    @property
    def points(self) -> list[tuple[str, str, int]]:
        """(game, variant, seed) of each run."""
        return list(product(self.games, self.variants, self.seeds))


def grid(runs: Grid, folder: str | os.PathLike[str], n_jobs: int | None = 1, progress: bool = True) -> pd.DataFrame:
    """Train every run of a grid, each into a folder of its own; what is finished, or half finished, is not done again.

    Args:
        runs: which.
        folder: for all of them; on a cluster all workers must see it.
        n_jobs: worker processes; None follows `joblib.parallel_config`, such as a Dask cluster.
        progress: a bar of finished runs.

    Returns:
        The table of runs that `figures.draw` takes.

    Taught in lesson 14.
    """
    there = str(Path(folder).resolve())
    points: list[dict[str, Scalar]] = [
        {"game": game, "variant": variant, "run": seed, "steps": runs.steps, "setting": runs.scale, "folder": there}
        for game, variant, seed in runs.points
    ]
    table = sweep(one_run, points, cache=Path(there, "finished"), n_jobs=n_jobs, progress=progress)
    return table.drop(columns=["run", "setting", "folder"])


def one_run(game: str, variant: str, run: int, steps: int, setting: str, folder: str, seed: int) -> pd.DataFrame:
    """A job of the sweep. `run` is the seed, as in `gmrl-lab train --seed`, so that each run can be repeated alone."""
    training = Training.at(game, setting, run, variant=variant, total_steps=steps)
    own = Path(folder, f"{game}-{variant}-{run}")
    return curve_table(training, train(training, folder=own, resume=True, device="auto", progress=False))


def curve_table(run: Training, logger: Logger, points: int = POINTS) -> pd.DataFrame:
    """At most `points` rows of a run for Figures 4, 10 and 11, evenly spaced, the last update included.

    Taught in lesson 14.
    """
    metrics = logger.metrics
    rows = np.unique(np.linspace(0, len(metrics) - 1, points).round().astype(int))
    kept = metrics.iloc[rows].rename(columns={"env_steps": "step"})[["step", "score", "games", *META_PARAMETERS]]
    kept = kept.assign(game=run.game, variant=run.settings.variant, seed=run.seed, scale=run.scale)
    return kept.assign(steps=run.settings.total_steps).reset_index(drop=True)


@contextmanager
def on_cluster(scheduler: str | None) -> Iterator[None]:
    """Inside it, sweeps run on a Dask cluster's workers; None changes nothing.

    Raises:
        ModuleNotFoundError: without the extra [cluster].
    """
    if scheduler is None:
        yield
        return
    import joblib

    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        words = f"{error.name} is missing: pip install 'gmrl_lab[cluster]'"
        raise ModuleNotFoundError(words, name=error.name) from error
    with Client(scheduler), joblib.parallel_config(backend="dask"):  # type: ignore[no-untyped-call]
        yield
