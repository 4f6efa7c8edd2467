"""Lesson 13's second explorer: the learner as the shown code runs it, shown while it learns, the truth beside it."""

import contextlib
import io
import subprocess
import sys
from itertools import islice
from typing import Any

import pytest
import torch
from helpers import seeded

import gmrl_lab as gl
from gmrl_lab.atari.training import Trainer, Training
from gmrl_lab.explorers.mgrl_live import Result, Settings, best_return, code, compute, draw, table, true_return

SMALL: dict[str, Any] = {"n_envs": 4, "n_batches": 30}


def last(settings: Settings, seed: int = 0) -> Result:
    *_, (progress, result) = compute(settings, seed)
    assert progress == 1.0
    return result


@pytest.mark.parametrize("game", ["RandomMDP", "CartPole"])
def test_the_shown_code_reproduces_the_numbers(game: str) -> None:
    settings = Settings(game=game, **SMALL)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code(settings, 3), names)
    log, row = last(settings, 3).log, names["row"]
    assert {name: row[name] for name in row if name != "seconds"} == {
        name: log[name].iloc[-1] for name in row if name != "seconds"
    }


@pytest.mark.parametrize(
    ("variant", "strategy", "counted"),
    [
        ("a2c", "online", "30 batches, 30 updates, 0 meta-updates"),
        ("mgrl", "online", "31 batches, 30 updates, 10 meta-updates"),
        ("mgrl-lvc", "discard", "32 batches, 8 updates, 8 meta-updates"),
    ],
)
def test_figure_line_and_table_say_the_same(variant: str, strategy: str, counted: str) -> None:
    result = last(Settings(variant=variant, strategy=strategy, **SMALL))
    figure, summary = draw(result)
    assert counted in summary
    end = result.log.iloc[-1]
    assert f"γ = {end['discount']:.4g}" in summary
    exactly = next(trace for trace in figure.data if trace.name == "this policy, exactly")
    assert list(exactly.y) == result.log["exact"].tolist()
    moved = next(trace for trace in figure.data if trace.name.startswith("γ"))
    assert (max(map(abs, moved.y)) > 0.01) == (variant != "a2c")
    assert table(result) is result.log


def test_shown_while_it_learns() -> None:
    """Every fourth round, and any of them can be the last."""
    shown = [(progress, len(result.log)) for progress, result in islice(compute(Settings(**SMALL), 0), 3)]
    assert [n for _, n in shown] == [1, 5, 9]
    assert [share for share, _ in shown] == pytest.approx([4 / 30, 16 / 30, 28 / 30])


def test_before_a_game_has_ended_there_is_no_score() -> None:
    _, result = next(compute(Settings(variant="a2c", **SMALL), 0))
    _, summary = draw(result)
    assert "no game has ended" in summary


def test_the_true_return_is_that_of_many_games() -> None:
    """320 games of the first policy, within 5 standard errors of its exact return: false alarm 6e-7."""
    trainer = Trainer(Training.at("RandomMDP", variant="a2c"))
    parameters, generator = dict(trainer.state.parameters), seeded()
    parameters["policy.bias"] = parameters["policy.bias"] + torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(20):
        trainer.environment.rollout(lambda seen: trainer.learner.act(parameters, seen, generator), 5)
    games = torch.tensor([game.total_reward for game in trainer.environment.pop_finished()])
    assert len(games) == 320
    error = games.std() / len(games) ** 0.5
    assert abs(games.mean() - true_return(trainer.learner, parameters)) < 5 * error
    assert abs(games.mean() - true_return(trainer.learner, trainer.state.parameters)) > 5 * error  # power


def test_no_policy_returns_more_than_the_best() -> None:
    greedy = gl.random_mdp(seed=0)
    theta = torch.zeros(200, 20, 5, dtype=torch.float64)
    for _ in range(30):
        theta = theta + 5 * gl.exact.gradient(greedy.replace(discount=0.95), theta[:1] + 0 * theta)
    found = gl.exact.objective(greedy.replace(discount=1 - 1e-15), theta[0], 20)
    assert 14 < found < best_return() < 20


def test_each_setting_can_be_drawn() -> None:
    explorer = gl.explorers.live_mgrl(**SMALL)
    for name, values in explorer.controls.ranges().items():
        for value in values:
            _, result = next(compute(Settings(**SMALL | {name: value}), 0))
            draw(result)


def test_atari_is_not_needed() -> None:
    """The learner plays the classics where no emulator is installed."""
    program = (
        "import sys\nsys.modules['ale_py'] = None\n"
        "from gmrl_lab.atari.training import Trainer, Training\n"
        "print(Trainer(Training.at('CartPole', n_envs=2)).update()['updates'])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "3", found.stderr
