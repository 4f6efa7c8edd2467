"""Lesson 11's explorer: its numbers are those of the shown code, its picture is the policies, each control moves."""

import contextlib
import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import normal

import gmrl_lab as gl
from gmrl_lab.explorers import five_states, lola
from gmrl_lab.explorers.controls import Controls
from gmrl_lab.games import strategy

SMALL = lola.Settings(n_updates=50)


def final(settings: lola.Settings, seed: int = 0) -> lola.Result:
    *_, (progress, result) = lola.compute(settings, seed)
    assert progress == 1.0
    return result


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, game=lola.OWN, temptation=0.5, sucker=-2.5, n_inner_steps=2, discount=0.9),
        replace(SMALL, game="matching pennies", learner="naive", n_seeds=1, inner_lr=1.0),
    ],
)
def test_the_shown_code_reproduces_the_numbers(settings: lola.Settings) -> None:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(lola.code(settings, 3), names)
    result = final(settings, 3)
    torch.testing.assert_close(names["run"]["theta"], result.theta, rtol=0, atol=0)
    torch.testing.assert_close(names["run"]["score"], result.score, rtol=0, atol=0)


def test_it_redraws_as_they_learn() -> None:
    pieces = [(progress, len(result.score)) for progress, result in lola.compute(SMALL, 0)]
    assert pieces == [(n / 50, n) for n in (1, *range(2, 51, 2))]


def test_a_run_alone_is_the_run_shown_with_its_seed() -> None:
    together, alone = final(SMALL, 5), final(replace(SMALL, n_seeds=1), 6)
    torch.testing.assert_close(together.theta[:, 1], alone.theta[:, 0], rtol=1e-9, atol=1e-9)


def test_without_spread_there_is_one_run_and_it_finds_peace() -> None:
    result = final(lola.Settings(initial_sd=0.0, n_seeds=20))
    assert result.score.shape == (100, 1, 2)
    assert result.peace == [True]
    assert "scores -1.01 and -1.01 per round (both cooperate -1, both defect -2)" in lola.draw(result)[1]
    assert "in 1 of 1 runs (all runs are this one)" in lola.draw(result)[1]
    war = final(lola.Settings(initial_sd=0.0, learner="naive"))
    assert war.peace == [False]


def test_share_of_the_runs_has_its_interval() -> None:
    """Run by run, the share is that of the mean scores above −1.1, with Wilson's interval."""
    result = final(lola.Settings(initial_sd=0.5, n_seeds=20))
    assert result.peace == (result.score[-1].mean(-1) > -1.1).tolist()
    assert "in 15 of 20 runs (share 75%, 95% [53%, 89%])" in lola.draw(result)[1]


def test_picture_shows_both_in_the_same_round() -> None:
    """Beside player 1's chance after CD stands player 2's after DC; a cheat and a forgiver stay in DC."""
    theta = normal(2, 5, seed=1)
    (first, second, labels), _ = five_states.five_states(gl.IPD(0.9), theta)
    assert first["text"] == [f"{p:.2f}" for p in theta[0].sigmoid().tolist()]
    assert second["text"] == [f"{p:.2f}" for p in theta[1].sigmoid()[[0, 1, 3, 2, 4]].tolist()]
    assert len(labels["text"]) == 5
    cheated = torch.stack([strategy("always defect"), strategy("always cooperate")])
    traces, arrows = five_states.five_states(gl.IPD(0.9), cheated)
    assert traces[2]["text"][3] == "<b>DC</b> 90%"
    assert len(arrows) == 4  # from each other state to DC


def test_rounds_are_those_of_a_long_play() -> None:
    """The discounted share of rounds in each state, by multiplying out 400 rounds."""
    game, theta = gl.IPD(0.9), normal(2, 5, seed=2)
    problem = game.problems(*theta)[0]
    step = torch.einsum("sa,saq->sq", problem.logits.softmax(-1), problem.mdp.transitions)
    state, wanted = torch.eye(5, dtype=torch.float64)[0], torch.zeros(5, dtype=torch.float64)
    for t in range(400):
        wanted, state = wanted + 0.1 * 0.9**t * state, state @ step
    torch.testing.assert_close(five_states.rounds(game, theta), wanted)


def test_table_has_a_row_per_update_run_and_player() -> None:
    result = final(SMALL)
    frame = lola.table(result)
    assert list(frame.columns) == ["update", "seed", "player", "start", "CC", "CD", "DC", "DD", "score"]
    assert len(frame) == 50 * 4 * 2
    row = frame.query("update == 7 and seed == 2 and player == 2").iloc[0]
    assert row["score"] == result.score[6, 2, 1].item()
    assert row["CD"] == result.theta[6, 2, 1, 2].sigmoid().item()


@pytest.mark.parametrize("field", Controls(lola.Settings).ranges())
def test_each_control_moves_through_its_range(field: str) -> None:
    """The first picture of each; whole runs are above."""
    for value in Controls(lola.Settings).ranges()[field]:
        settings = replace(SMALL, **{"game": lola.OWN, field: value})
        progress, result = next(lola.compute(settings, 0))
        assert progress == 1 / settings.n_updates
        assert result.score.shape == (1, settings.runs, 2)
        figure, summary = lola.draw(result)
        assert all(trace.y is not None for trace in figure.data)
        assert f"after 1 of {settings.n_updates} updates" in summary


def test_bad_payoffs_keep_the_figure() -> None:
    explorer = lola.opponent_shaping(n_updates=50, n_seeds=1)
    before = explorer.figure.content
    explorer.controls.widgets["temptation"].value = 20.0
    assert "DC, own payoffs: to cheat must be from -10 to 10, got 20" in explorer.view.alert.value
    assert explorer.figure.content is before
