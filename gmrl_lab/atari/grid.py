"""Games x variants x seeds as one sweep: a job for each run, each with its checkpoint, and one table of them all."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmrl_lab._validate import bad, check_choice
from gmrl_lab.atari.environments import GAMES, SMALL
from gmrl_lab.atari.figures import META_PARAMETERS, PUBLISHED_STEPS
from gmrl_lab.atari.logger import CLOCK, SCORED, Logger
from gmrl_lab.atari.provenance import commit, without_places
from gmrl_lab.atari.settings import VARIANTS
from gmrl_lab.atari.training import SCALES, Training, train
from gmrl_lab.sweep import Scalar, read_table, sweep

POINTS = 100
"""Rows of each run in a table of runs."""
METRICS = "metrics.parquet"
NOTE = (
    f"Early scores rise because short games end first: before {SCORED} games are finished, nothing need be learned. "
    "{share:.2g} of the published steps, few seeds: no verdict on the variants."
)


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


def grid(
    runs: Grid,
    folder: str | os.PathLike[str],
    n_jobs: int | None = 1,
    progress: bool = True,
    only_finished: bool = False,
) -> pd.DataFrame:
    """Train every run of a grid, each into a folder of its own; what is finished, or half finished, is not done again.

    That goes for runs by `gmrl-lab train --out FOLDER/GAME-VARIANT-SEED` as well, if they have the same settings.

    Args:
        runs: which.
        folder: for all of them; on a cluster all workers must see it.
        n_jobs: worker processes; None follows `joblib.parallel_config`, such as a Dask cluster.
        progress: a bar of finished runs.
        only_finished: train nothing; the table of the runs that are finished.

    Returns:
        The table of runs that `figures.draw` takes.

    Raises:
        ValueError: if only finished runs are wanted, and none is; for a folder that holds another run.

    Taught in lesson 14.
    """
    there = str(Path(folder).resolve())
    points: list[dict[str, Scalar]] = [
        {"game": game, "variant": variant, "run": seed, "steps": runs.steps, "setting": runs.scale, "folder": there}
        for game, variant, seed in runs.points
        if not only_finished or _is_finished(Path(there, run_name(game, variant, seed)), runs.steps)
    ]
    if not points:
        raise bad("folder", f"{folder}, where none of these runs is finished", "one with finished runs")
    table = sweep(one_run, points, cache=Path(there, "finished"), n_jobs=n_jobs, progress=progress)
    return table.drop(columns=["run", "setting", "folder"])


def one_run(game: str, variant: str, run: int, steps: int, setting: str, folder: str, seed: int) -> pd.DataFrame:
    """A job of the sweep. `run` is the seed, as in `gmrl-lab train --seed`, so that each run can be repeated alone."""
    training = Training.at(game, setting, run, variant=variant, total_steps=steps)
    own = Path(folder, run_name(game, variant, run))
    named = {"game": game, "variant": variant, "seed": run, "steps": steps, "scale": setting, "out": own.name}
    command = ["gmrl-lab", "train", *(word for name, value in named.items() for word in (f"--{name}", str(value)))]
    return curve_table(training, train(training, folder=own, resume=True, progress=False, command=command))


def _is_finished(own: Path, steps: int) -> bool:
    path = own / METRICS
    return path.exists() and bool(read_table(path)[0]["env_steps"].iloc[-1] >= steps)


def run_name(game: str, variant: str, seed: int) -> str:
    """The folder of a run among those of a grid."""
    return f"{game}-{variant}-{seed}"


def curve_table(run: Training, logger: Logger, points: int = POINTS) -> pd.DataFrame:
    """At most `points` rows of a run for Figures 4, 10 and 11, evenly spaced, the last update included.

    Taught in lesson 14.
    """
    metrics = logger.metrics
    rows = np.unique(np.linspace(0, len(metrics) - 1, points).round().astype(int))
    columns = ["step", "score", "games", "entropy", *META_PARAMETERS]
    kept = metrics.iloc[rows].rename(columns={"env_steps": "step"})[columns]
    kept = kept.assign(game=run.game, variant=run.settings.variant, seed=run.seed, scale=run.scale)
    return kept.assign(steps=run.settings.total_steps).reset_index(drop=True)


def record(table: pd.DataFrame, folder: str | os.PathLike[str], command: Sequence[str] = ()) -> dict[str, Any]:
    """What a table of runs says of itself, from what each of its runs in the folder says.

    Returns:
        command and commit of the table; then of the runs: commands, commits and steps_per_second by name, versions
        and machine (all that occur), seeds, steps, and how far scores may be read.

    Taught in lesson 14.
    """
    made, speed = {}, {}
    for name in dict.fromkeys(map(run_name, table["game"], table["variant"], table["seed"])):
        metrics, made[name] = read_table(Path(folder, name, METRICS))
        speed[name] = round(metrics["env_steps"].iloc[-1] / metrics[CLOCK].iloc[-1])
    steps = int(table["steps"].max())
    return {
        "command": without_places(shlex.join(command)),
        "commit": commit(),
        "commands": {name: without_places(own["command"]) for name, own in made.items()},
        "commits": {name: own.get("commit") for name, own in made.items()},
        "versions": _all_that_occur([own["versions"] for own in made.values()]),
        **_all_that_occur([{"machine": own["machine"]} for own in made.values()]),
        "seeds": table["seed"].unique().tolist(),
        "steps": steps,
        "steps_per_second": speed,
        "note": NOTE.format(share=steps / PUBLISHED_STEPS),
    }


def _all_that_occur(words: Sequence[Mapping[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(name for each in words for name in each)
    return {name: " / ".join(dict.fromkeys(each[name] for each in words if name in each)) for name in names}


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
