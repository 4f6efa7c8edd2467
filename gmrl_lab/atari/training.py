"""A training run: a function of its settings and seed, that tells a logger what happens and can go on where it stopped.

run = Training("Qbert", Table4(variant="mgrl-lvc", total_steps=50_000), seed=0)
logger = train(run, folder="runs/qbert", resume=True)
logger.metrics, logger.games, logger.score
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import torch

from gmrl_lab._validate import bad, check_choice, check_whole, lab_extra
from gmrl_lab.atari.checkpoint import State, first_not_finite, load_checkpoint, save_checkpoint
from gmrl_lab.atari.environments import GAMES, make
from gmrl_lab.atari.learner import Learner
from gmrl_lab.atari.logger import Logger
from gmrl_lab.atari.provenance import deterministic, device_of, made_by
from gmrl_lab.atari.settings import Table4
from gmrl_lab.sweep import read_table

CHECKPOINT = "checkpoint.pt"
SCALES = {"full": ("full", 84), "reduced": ("small", 42)}
"""Network and size of the picture: as published; and smaller, to see learning on a laptop."""
CHECKPOINT_EVERY = 20


@dataclass(frozen=True)
class Training:
    """What decides a run.

    Raises:
        ValueError: for a negative seed or a picture without pixels.

    Taught in lesson 14.
    """

    game: str = "Qbert"
    """One of the paper's eight, or "RandomMDP", "CartPole", "Acrobot", "MountainCar"."""
    settings: Table4 = field(default_factory=Table4)
    """Table 4."""
    seed: int = 0
    """Of parameters, actions and games."""
    size: int = 84
    """Of the picture."""

    def __post_init__(self) -> None:
        check_whole("seed", self.seed, 0)
        check_whole("size", self.size, 1)

    @classmethod
    def at(cls, game: str, scale: str = "full", seed: int = 0, **settings: Any) -> "Training":
        """A run at one of `SCALES`, with fields of Table 4; what has no picture gets a network for vectors."""
        check_choice("scale", scale, tuple(SCALES))
        network, size = SCALES[scale] if game in GAMES else ("mlp", SCALES[scale][1])
        return cls(game, Table4(**{"network": network, **settings}), seed, size)

    @property
    def identity(self) -> dict[str, object]:
        """All of it as plain values: what a checkpoint must say to be this run's."""
        return {"game": self.game, "seed": self.seed, "size": self.size, **asdict(self.settings)}

    @property
    def scale(self) -> str:
        """In words, for titles."""
        n_envs = "" if self.settings.n_envs == Table4.n_envs else f", {self.settings.n_envs} environments"
        if self.game not in GAMES:
            return f"{self.settings.network} network{n_envs}"
        known = {pair: f"{name}: " for name, pair in SCALES.items()}
        return f"{known.get((self.settings.network, self.size), '')}{self.size}×{self.size}{n_envs}"


class Trainer:
    """Learner, environments and logger in step: the live state of a run between two updates.

    Args:
        run: what decides everything.
        device: where the learner computes.
        logger: to go on with; None for an empty one.

    Raises:
        ValueError: for an unknown game.
        ModuleNotFoundError: without the extra that the game needs.

    Taught in lesson 13.
    """

    def __init__(self, run: Training, device: torch.device | str = "cpu", logger: Logger | None = None) -> None:
        self.run, self.logger = run, Logger() if logger is None else logger
        self.environment = make(run.game, run.settings.n_envs, run.seed, run.size)
        shape, n_actions = self.environment.observation_shape, self.environment.n_actions
        self.learner = Learner(run.settings, shape, n_actions, device)
        self.state = self.learner.init(run.seed)
        self._since, self._before = time.perf_counter(), 0.0

    @property
    def done(self) -> bool:
        """Whether all environment steps are taken."""
        return self.state.env_steps >= self.run.settings.total_steps

    def update(self) -> dict[str, float]:
        """One update of the learner, logged; returns its row.

        Raises:
            FloatingPointError: naming the tensor, if something is no longer finite; the state stays the last good one.
        """
        state, row = self.learner.update(
            self.state, lambda policy: self.environment.rollout(policy, self.run.settings.n_steps)
        )
        if not all(map(isfinite, row.values())):
            self._stop(state.to_dict(), row)
        self.state = state
        for game in self.environment.pop_finished():
            own = {"environment": game.environment, "return": game.total_reward, "length": game.length}
            self.logger.log_game({"step": state.env_steps, **own})
        seconds = self._before + time.perf_counter() - self._since
        row = {**row, "score": self.logger.score, "games": self.logger.n_games, "seconds": seconds}
        self.logger.log(row)
        return row

    def state_dict(self) -> State:
        """Everything, for a checkpoint."""
        seconds = self._before + time.perf_counter() - self._since
        parts = {"learner": self.state.to_dict(), "environment": self.environment.state_dict()}
        return parts | {"logger": self.logger.state_dict(), "seconds": seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of a run with the same settings."""
        self.state = type(self.state).from_dict(state["learner"], self.learner.device)
        self.environment.load_state_dict(state["environment"])
        self.logger = Logger.from_state(state["logger"])
        self._since, self._before = time.perf_counter(), state["seconds"]

    def _stop(self, state: Mapping[str, object], row: Mapping[str, float]) -> None:
        tensor = first_not_finite(state)
        numbers = ", ".join(name for name, value in row.items() if not isfinite(value))
        where = f"{tensor} (logged: {numbers})" if tensor else f"{numbers}, though all parameters are finite"
        update = f"update {self.state.updates + 1}, environment step {self.state.env_steps}"
        raise FloatingPointError(f"not finite after {update}: {where}; the last checkpoint is kept")


def train(
    run: Training,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    device: str = "auto",
    progress: bool = True,
    command: Sequence[str] = (),
) -> Logger:
    """Train from the start, or from the checkpoint in a folder, to the end.

    The result depends on `run` alone; a run that was killed and resumed gives the same tables, but for the column of
    seconds, on the same number of threads of a CPU.

    Args:
        run: what decides the result.
        folder: for `checkpoint.pt`, `metrics.parquet` and `games.parquet`; None keeps nothing.
        resume: go on from the folder's checkpoint, if it has one.
        checkpoint_every: learner's updates (meta-updates with MGRL) between checkpoints: what a kill can lose. Ctrl-C
            loses nothing: the update is finished and kept first. A second Ctrl-C does not wait for it.
        device: "auto", "cpu", "cuda", …; "auto" takes a GPU if there is one.
        progress: a bar with steps a second and the time left.
        command: what was typed, for the tables' metadata.

    Raises:
        ValueError: for an unknown game or device; for a folder that holds another run or that cannot be made; for a
            checkpoint that is damaged or of other settings; for files that are there though `resume` is off.
        FloatingPointError: if a tensor is no longer finite; it is named, and the last good checkpoint stays.
        ModuleNotFoundError: without the extra [atari] or [lab].
        KeyboardInterrupt: after Ctrl-C.

    Taught in lesson 14.
    """
    check_whole("checkpoint_every", checkpoint_every, 1)
    place = device_of(device)
    kept = None if folder is None else _folder(Path(folder), resume)
    stored = load_checkpoint(kept / CHECKPOINT, run.identity) if kept and (kept / CHECKPOINT).exists() else None
    made = {"scale": run.scale, "settings": run.identity, "seed": run.seed, **made_by(place, command)}
    if kept and stored and stored["learner"]["env_steps"] >= run.settings.total_steps:
        return _finished(kept, Logger.from_state(stored["logger"]), made)
    trainer = Trainer(run, place)
    if stored:
        trainer.load_state_dict(stored)
    with _bar(trainer, progress) as bar, deterministic(place), _interrupt_noted() as interrupted:
        while not trainer.done:
            row = trainer.update()
            bar.set_postfix(score=f"{row['score']:.4g}", games=int(row["games"]), refresh=False)
            bar.update(trainer.state.env_steps - bar.n)
            if kept and (len(trainer.logger) % checkpoint_every == 0 or trainer.done or interrupted.is_set()):
                save_checkpoint(kept / CHECKPOINT, run.identity, trainer.state_dict())
                trainer.logger.write(kept, made)
            if interrupted.is_set():
                raise KeyboardInterrupt
    return trainer.logger


@contextmanager
def _interrupt_noted() -> Iterator[Event]:
    """Inside it the first Ctrl-C is noted and nothing else, so that a checkpoint never falls into an update."""
    noted = Event()
    usual = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or usual in (None, signal.SIG_IGN):
        yield noted
        return

    def note(_number: int, _frame: object) -> None:
        noted.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, usual)


def _folder(folder: Path, resume: bool) -> Path:
    """The folder, made if need be; nothing of an earlier run is overwritten unless this goes on with it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad("folder", f"{folder} ({error.strerror})", "a folder, there or to be made") from error
    there = [name for name in (CHECKPOINT, "metrics.parquet", "games.parquet") if (folder / name).exists()]
    if there and not resume:
        raise bad("folder", f"{folder}, which has {', '.join(there)}", "an empty one, or resume (--resume) to go on")
    if there and CHECKPOINT not in there:
        raise bad("folder", f"{folder}, which has {there[0]} but no {CHECKPOINT}", "an empty one, or one of a run")
    return folder


def _finished(folder: Path, logger: Logger, made: Mapping[str, object]) -> Logger:
    """The logger of a run that is done, without its environments; writes the tables if a kill came before them."""
    rows = {"metrics": len(logger), "games": logger.n_games}
    paths = {name: folder / f"{name}.parquet" for name in rows}
    if not all(path.exists() and len(read_table(path)[0]) == rows[name] for name, path in paths.items()):
        logger.write(folder, made)
    return logger


def _bar(trainer: Trainer, progress: bool) -> Any:
    with lab_extra():
        from tqdm.auto import tqdm

    run, done = trainer.run, trainer.state.env_steps
    title = f"{run.game} {run.settings.variant}"
    total = max(run.settings.total_steps, done)
    return tqdm(total=total, initial=done, unit=" steps", unit_scale=True, desc=title, disable=not progress)
