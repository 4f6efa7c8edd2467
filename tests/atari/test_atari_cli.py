"""`gmrl-lab train` and `train-grid`: files where they were asked for, messages instead of tracebacks."""

import subprocess
import sys
from pathlib import Path

import pytest
import tyro
from command import says

from gmrl_lab import cli
from gmrl_lab.atari.checkpoint import read_identity
from gmrl_lab.cli_train import Train, TrainGrid
from gmrl_lab.sweep import read_table

SHORT = ["--game", "CartPole", "--steps", "1_000", "--n-envs", "8", "--device", "cpu"]


def test_a_run_and_its_continuation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["train", "--out", str(tmp_path / "a" / "run"), "--variant", "mgrl", *SHORT]
    told = says(call, capsys, code=0)
    assert "CartPole, mgrl, mlp network, 8 environments: 1,000 steps" in told
    assert "steps/s" in told
    assert "score, mean of the last 64 games:" in told
    made = read_table(tmp_path / "a" / "run" / "metrics.parquet")[1]
    assert made["command"] == " ".join(["gmrl-lab", *call])
    assert read_identity(tmp_path / "a" / "run" / "checkpoint.pt")["variant"] == "mgrl"
    assert "allowed is an empty one, or resume (--resume) to go on" in says(call, capsys)
    assert "1,000 steps" in says([*call, "--resume"], capsys, code=0)
    assert "of a run with seed=0, allowed is one with seed=1" in says([*call, "--resume", "--seed", "1"], capsys)


def test_a_grid_writes_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    games = ["--games", "CartPole", "RandomMDP", "--variants", "a2c", "mgrl-lvc", "--steps", "640"]
    told = says(["train-grid", "--out", str(tmp_path), *games], capsys, code=0)
    assert f"4 of 4 runs: {tmp_path}/runs.parquet" in told
    table, made = read_table(tmp_path / "runs.parquet")
    assert table[["game", "variant"]].drop_duplicates().to_numpy().tolist() == [
        [game, variant] for game in ("CartPole", "RandomMDP") for variant in ("a2c", "mgrl-lvc")
    ]
    assert made["command"] == " ".join(["gmrl-lab", "train-grid", "--out", tmp_path.name, *games])
    assert made["commands"]["CartPole-a2c-0"] == (
        "gmrl-lab train --game CartPole --variant a2c --seed 0 --steps 640 --scale full --out CartPole-a2c-0"
    )
    assert str(tmp_path) not in str(made)
    more = ["train-grid", "--out", str(tmp_path), *games, "--seeds", "0", "1", "--only-finished"]
    assert "4 of 8 runs" in says(more, capsys, code=0)
    none = ["train-grid", "--out", str(tmp_path), *games, "--seeds", "1", "--only-finished"]
    assert "where none of these runs is finished" in says(none, capsys)


@pytest.mark.parametrize("command", ["train", "train-grid"])
def test_each_example_of_the_help_has_a_line_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    examples = [line for line in capsys.readouterr().out.splitlines() if f"$ gmrl-lab {command} " in line]
    assert len(examples) == 2
    for line in examples:
        given = line.strip().removeprefix("$ gmrl-lab ").split()
        assert tyro.extras.subcommand_cli_from_dict({"train": Train, "train-grid": TrainGrid}, args=given).out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "--game", "Pong"], "name: got 'Pong', allowed is one of Asteroids, Qbert"),
        (["train", "--variant", "ppo"], "Expected one of"),
        (["train", "--steps", "0"], "total_steps: got 0, allowed is a whole number >= 1"),
        (["train", "--device", "gpu"], "device: got 'gpu'"),
        (["train", "--seed", "-1"], "seed: got -1"),
        (["train", "--checkpoint-every", "0"], "checkpoint_every: got 0"),
        (["train-grid", "--games", "Pong"], "game: got 'Pong'"),
        (["train-grid", "--variants", "ppo"], "variant: got 'ppo'"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = says([*arguments, "--out", str(tmp_path / "run")], capsys)
    assert told.replace(" ", "") in found.replace(" ", "")
    assert not list((tmp_path / "run").glob("*.parquet"))


def test_a_missing_extra_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.delitem(sys.modules, "gmrl_lab.atari.backends", raising=False)
    assert "gmrl_lab[atari]" in says(["train", "--game", "Qbert", "--out", str(tmp_path / "run")], capsys)


def test_the_command_line_loads_the_package_only_to_train() -> None:
    code = "import sys, gmrl_lab.cli; print([name for name in sys.modules if name.startswith('gmrl_lab.atari')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
