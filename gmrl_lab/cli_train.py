"""The commands `gmrl-lab train` and `gmrl-lab train-grid`; the package that they use loads only when they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Train:
    """Train A2C or MGRL on an Atari game (Table 4).

    $ gmrl-lab train --game Qbert --steps 50_000 --scale reduced --out runs/q
      a minute on a laptop
    $ gmrl-lab train --game Qbert --variant mgrl-lvc --out runs/qbert
      as published, 40,000,000 steps: for a GPU

    In the folder: checkpoint.pt, metrics.parquet, games.parquet. With --resume a run goes on from its checkpoint.
    """

    out: Path
    """Folder of the run."""
    game: str = "Qbert"
    """Asteroids, Qbert, Tennis, BeamRider, Alien, Assault, DoubleDunk, Seaquest; for a try RandomMDP, CartPole,
    Acrobot, MountainCar."""
    variant: Literal["a2c", "mgrl", "mgrl-lvc", "mgrl-full"] = "mgrl-lvc"
    """A2C; MGRL by autodiff; with LVC in the policy term, as published; corrected in all terms."""
    steps: int = 40_000_000
    """Environment steps in all."""
    scale: Literal["full", "reduced"] = "full"
    """Table 4 with 84x84 pictures; or a small network with 42x42."""
    strategy: Literal["online", "discard"] = "online"
    """What becomes of MGRL's inner updates: real, or taken back."""
    n_envs: int = 64
    """Parallel environments."""
    seed: int = 0
    """Of everything random."""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU if there is one."""
    checkpoint_every: int = 20
    """Updates (meta-updates with MGRL) that a kill can lose; Ctrl-C loses none."""
    resume: bool = False
    """Go on from the checkpoint in the folder."""

    def __call__(self, command: Sequence[str]) -> None:
        """Train, and say where everything is."""
        from gmrl_lab.atari.training import Training, train

        own = {"variant": self.variant, "strategy": self.strategy, "total_steps": self.steps, "n_envs": self.n_envs}
        run = Training.at(self.game, self.scale, self.seed, **own)
        every = self.checkpoint_every
        logger = train(
            run, folder=self.out, resume=self.resume, checkpoint_every=every, device=self.device, command=command
        )
        steps = int(logger.metrics["env_steps"].iloc[-1])
        score = f"score, mean of the last 64 games: {logger.score:.4g}" if logger.n_games else "no game has ended"
        print(f"{run.game}, {run.settings.variant}, {run.scale}: {steps:,} steps, {logger.n_games} games")
        print(f"  {score}")
        print(f"  in {self.out}: checkpoint.pt, metrics.parquet, games.parquet")


@dataclass(frozen=True)
class TrainGrid:
    """Train all combinations of games, variants and seeds, one job each, into one table for Figures 4, 10 and 11.

    $ gmrl-lab train-grid --steps 50_000 --scale reduced --out runs
      eight games, three variants, one seed: an hour of two cores
    $ gmrl-lab train-grid --games Qbert Seaquest --seeds 0 1 2 --jobs 2 --out runs
      as published, with three seeds: 18 runs, each for a GPU

    Interrupted, the same command goes on: finished runs are kept, and the others have checkpoints.
    """

    out: Path
    """Folder of the runs and of runs.parquet. With --scheduler all workers must see it."""
    games: tuple[str, ...] = ("Asteroids", "Qbert", "Tennis", "BeamRider", "Alien", "Assault", "DoubleDunk", "Seaquest")
    """Names, as for `train`."""
    variants: tuple[str, ...] = ("a2c", "mgrl", "mgrl-lvc")
    """Names, as for `train`."""
    seeds: tuple[int, ...] = (0,)
    """Each is one run of each game and variant."""
    steps: int = 40_000_000
    """Environment steps of each run."""
    scale: Literal["full", "reduced"] = "full"
    """As for `train`."""
    only_finished: bool = False
    """Train nothing: make the table of those of these runs that are finished."""
    jobs: int = 1
    """Worker processes."""
    scheduler: str | None = None
    """Address of a Dask scheduler, such as tcp://10.0.0.1:8786; then its workers do the jobs."""

    def __call__(self, command: Sequence[str]) -> None:
        """Train all, and write the table."""
        from gmrl_lab.atari.grid import Grid, grid, on_cluster, record
        from gmrl_lab.sweep import write_table

        runs = Grid(self.games, self.variants, self.seeds, self.steps, self.scale)
        with on_cluster(self.scheduler):
            n_jobs = None if self.scheduler else self.jobs
            table = grid(runs, self.out, n_jobs=n_jobs, only_finished=self.only_finished)
        write_table(self.out / "runs.parquet", table, record(table, self.out, command))
        made = table.groupby(["game", "variant", "seed"]).ngroups
        print(f"{made} of {len(runs.points)} runs: {self.out / 'runs.parquet'}")
