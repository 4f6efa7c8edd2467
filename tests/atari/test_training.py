"""Training: a killed run that goes on tells the same story, nothing of another run is touched, and a NaN has a name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from gmrl_lab.atari import training as module
from gmrl_lab.atari.logger import CLOCK, Logger
from gmrl_lab.atari.provenance import commit, device_of, without_places
from gmrl_lab.atari.settings import Table4
from gmrl_lab.atari.training import CHECKPOINT, Trainer, Training, train
from gmrl_lab.sweep import read_table

VARIANTS = ["a2c", "mgrl", "mgrl-lvc"]


def short(game: str = "CartPole", steps: int = 3000, **settings: object) -> Training:
    return Training.at(game, seed=3, **{"total_steps": steps, "n_envs": 8, **settings})


def quietly(run: Training, folder: Path | None = None, **how: object) -> Logger:
    return train(run, folder=folder, progress=False, device="cpu", **how)  # type: ignore[arg-type]


def same(got: pd.DataFrame, wanted: pd.DataFrame) -> None:
    columns = [name for name in wanted.columns if name != CLOCK]
    assert_frame_equal(got[columns], wanted[columns], check_exact=True)


def killed(arguments: list[str], folder: Path) -> None:
    """Start a run in a process of its own and kill it, without warning, once its first checkpoint is there."""
    command = [sys.executable, "-m", "gmrl_lab.cli", "train", "--out", str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(module.__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + 600
    while not (folder / CHECKPOINT).exists():
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was killed in the middle"


@pytest.mark.slow
def test_a_killed_run_that_resumes_equals_one_that_was_not(tmp_path: Path) -> None:
    run = short(steps=6_000, variant="mgrl-lvc")
    arguments = ["--game", "CartPole", "--variant", "mgrl-lvc", "--steps", "6_000", "--n-envs", "8", "--seed", "3"]
    killed([*arguments, "--checkpoint-every", "7"], tmp_path)
    before = module.load_checkpoint(tmp_path / CHECKPOINT, run.identity)["learner"]["env_steps"]
    assert 0 < before < 6_000
    resumed, through = quietly(run, tmp_path, resume=True), quietly(run)
    same(resumed.metrics, through.metrics)
    same(resumed.games, through.games)
    same(read_table(tmp_path / "metrics.parquet")[0], through.metrics)
    assert len(through.games) > 64
    other = quietly(Training(run.game, run.settings, seed=4))
    assert not other.metrics["policy_loss"].equals(through.metrics["policy_loss"]), "a wrong seed would be noticed"


def test_ctrl_c_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of an update, long before a checkpoint is due."""
    run, usual, update = short(steps=1500, variant="mgrl-lvc"), signal.getsignal(signal.SIGINT), Trainer.update

    def interrupted(self: Trainer) -> dict[str, float]:
        if len(self.logger) == 2:
            signal.raise_signal(signal.SIGINT)
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(run, tmp_path, checkpoint_every=1000)
    assert signal.getsignal(signal.SIGINT) is usual
    assert len(read_table(tmp_path / "metrics.parquet")[0]) == 3, "the update was finished first"
    resumed, through = quietly(run, tmp_path, resume=True), quietly(run)
    same(resumed.metrics, through.metrics)
    same(resumed.games, through.games)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["Qbert", "Seaquest"])
def test_a_killed_atari_run_that_resumes_equals_one_that_was_not(game: str, tmp_path: Path) -> None:
    pytest.importorskip("ale_py")
    arguments = ["--game", game, "--scale", "reduced", "--steps", "1_800", "--n-envs", "8", "--seed", "3"]
    killed([*arguments, "--checkpoint-every", "4"], tmp_path)
    run = short(game, steps=1_800, network="small")
    run = Training(run.game, run.settings, run.seed, size=42)
    resumed, through = quietly(run, tmp_path, resume=True), quietly(run)
    same(resumed.metrics, through.metrics)
    same(resumed.games, through.games)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("strategy", ["online", "discard"])
def test_steps_updates_and_games_are_counted(variant: str, strategy: str) -> None:
    logger = quietly(short(variant=variant, strategy=strategy, steps=2000))
    metrics = logger.metrics
    last, per_batch = metrics.iloc[-1], 8 * 5
    assert 2000 <= last["env_steps"] < 2000 + 4 * per_batch
    batches = last["env_steps"] / per_batch
    virtual = {"a2c": batches, "online": batches - 1, "discard": batches / 4}
    assert last["updates"] == virtual["a2c" if variant == "a2c" else strategy]
    assert last["meta_updates"] == (0 if variant == "a2c" else len(metrics))
    assert last["games"] == len(logger.games) > 0
    assert last["score"] == logger.games["return"].tail(64).mean()
    assert metrics["seconds"].is_monotonic_increasing
    assert (logger.games["return"] == logger.games["length"]).all(), "CartPole pays 1 a step"


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    quietly(short(), tmp_path)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(content) == [CHECKPOINT, "games.parquet", "metrics.parquet"]
    with pytest.raises(
        ValueError, match=r"which has checkpoint\.pt, metrics\.parquet, games\.parquet, allowed is an em"
    ):
        quietly(short(), tmp_path)
    with pytest.raises(ValueError, match=r"of a run with variant='mgrl-lvc', allowed is one with variant='a2c'"):
        quietly(short(variant="a2c"), tmp_path, resume=True)
    assert len(quietly(short(), tmp_path, resume=True)) == len(read_table(tmp_path / "metrics.parquet")[0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content
    (tmp_path / CHECKPOINT).write_bytes(content[CHECKPOINT][:-9])
    with pytest.raises(ValueError, match="which is damaged"):
        quietly(short(), tmp_path, resume=True)
    (tmp_path / CHECKPOINT).unlink()
    with pytest.raises(ValueError, match=r"which has metrics\.parquet but no checkpoint\.pt"):
        quietly(short(), tmp_path, resume=True)


def test_a_finished_run_is_read_without_its_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    through = quietly(short(), tmp_path, command=("one",))
    monkeypatch.setattr(module, "Trainer", None)
    same(quietly(short(), tmp_path, resume=True).games, through.games)
    assert read_table(tmp_path / "games.parquet")[1]["command"] == "one"
    (tmp_path / "games.parquet").unlink()  # as by a kill between checkpoint and tables
    quietly(short(), tmp_path, resume=True, command=("two",))
    table, made = read_table(tmp_path / "games.parquet")
    same(table, through.games)
    assert made["command"] == "two"


def test_tables_say_what_made_them(tmp_path: Path) -> None:
    quietly(short(), tmp_path, command=("gmrl-lab", "train", "--out", "a b"))
    for name in ("metrics", "games"):
        made = read_table(tmp_path / f"{name}.parquet")[1]
        assert made["command"] == "gmrl-lab train --out 'a b'"
        assert made["settings"] == short().identity
        assert made["versions"]["torch"] == torch.__version__.partition("+")[0] or made["versions"]["torch"]
        assert made["machine"].endswith("cores, CPU")
        assert made["commit"] == commit()


def test_the_commit_is_that_of_the_code(tmp_path: Path) -> None:
    package = tmp_path / "checkout" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()

    def git(*arguments: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(package)]
        return subprocess.run(["git", *own, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    fresh = commit.__wrapped__
    assert fresh(package) is None
    git("init", "-q")
    assert fresh(package) is None, "in a checkout, but no part of it"
    git("add", ".")
    git("commit", "-q", "-m", "all")
    assert fresh(package) == git("rev-parse", "HEAD")
    (tmp_path / "checkout" / "notes.py").touch()
    assert fresh(package) == git("rev-parse", "HEAD"), "not the package's"
    (package / "more.py").touch()
    assert fresh(package) == git("rev-parse", "HEAD") + "-dirty"


def test_a_command_is_told_without_places() -> None:
    assert without_places("gmrl-lab train --out '/a b/run 1' --cache=/x/y --game Qbert") == (
        "gmrl-lab train --out 'run 1' --cache=y --game Qbert"
    )


def test_a_tensor_that_is_not_finite_is_named_and_the_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, calls = Trainer.update, []

    def poisoned(trainer: Trainer) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 5:
            trainer.state.parameters["value.weight"].fill_(float("nan"))
        return update(trainer)

    monkeypatch.setattr(Trainer, "update", poisoned)
    with pytest.raises(
        FloatingPointError, match=r"not finite after update 13, .*: parameters\.\w+\.\w+ \(logged: .*loss"
    ):
        quietly(short(), tmp_path, checkpoint_every=2)
    assert len(read_table(tmp_path / "metrics.parquet")[0]) == 4
    monkeypatch.undo()
    same(quietly(short(), tmp_path, resume=True).metrics, quietly(short()).metrics)


def test_what_cannot_run_is_named_before_it_runs() -> None:
    with pytest.raises(ValueError, match=r"name: got 'Pong', allowed is one of Asteroids, Qbert"):
        quietly(short("Pong"))
    with pytest.raises(ValueError, match=r"device: got 'gpu' \(.*\), allowed is 'auto', 'cpu'"):
        train(short(), device="gpu", progress=False)
    with pytest.raises(ValueError, match="seed: got -1"):
        Training(seed=-1)
    with pytest.raises(ValueError, match="scale: got 'tiny', allowed is one of 'full', 'reduced'"):
        Training.at("Qbert", "tiny")
    assert device_of("auto").type in ("cpu", "cuda")


def test_the_default_is_table_4() -> None:
    run = Training()
    assert run.settings == Table4()
    assert run.scale == "full: 84×84"
    assert Training.at("Qbert", "reduced").scale == "reduced: 42×42"
