"""Matrix games as environments: against a fixed opponent (Gymnasium), and for two learners (PettingZoo)."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from frequencies import count, fits
from gymnasium.utils.env_checker import check_env
from helpers import double, normal

import gmrl_lab as gl
from gmrl_lab.envs import MatrixGameEnv
from gmrl_lab.games import GAMES, START, strategy

MIRROR = [0, 1, 3, 2, 4]


def arbitrary(player: int = 1) -> tuple[gl.MatrixGame, MatrixGameEnv]:
    """A game without symmetry, against one who throws loaded coins."""
    game = gl.MatrixGame(normal(2, 2, seed=1), normal(2, 2, seed=2), 0.9)
    return game, MatrixGameEnv(game, normal(5, seed=3), player)


# --- Gymnasium ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
@pytest.mark.parametrize("player", [1, 2])
def test_environments_pass_the_checker(player: int) -> None:
    check_env(arbitrary(player)[1])
    check_env(gymnasium.make("gmrl_lab/MatrixGame-v0", player=player).unwrapped)


def test_make_gives_the_game_and_the_opponent() -> None:
    """Defect once against tit-for-tat, then make up: 0, then −3, then peace."""
    env = gymnasium.make("gmrl_lab/MatrixGame-v0", discount=0.5)
    env.reset(seed=0)
    seen = [env.step(np.int64(action))[:2] for action in (1, 0, 0, 0)]
    assert seen == [(3, 0.0), (2, -3.0), (1, -1.0), (1, -1.0)]
    assert env.unwrapped.mdp.discount.item() == 0.5  # type: ignore[attr-defined]
    env = gymnasium.make("gmrl_lab/MatrixGame-v0", game="chicken", opponent="CDDDD")
    env.reset(seed=0)
    assert [env.step(np.int64(1))[1] for _ in range(3)] == [2.0, -1.0, -1.0]


def test_games_are_cut_after_a_hundred_rounds() -> None:
    env = gymnasium.make("gmrl_lab/MatrixGame-v0")
    env.reset(seed=0)
    assert [env.step(np.int64(0))[2:4] for _ in range(100)] == [(False, False)] * 99 + [(False, True)]


@pytest.mark.parametrize("player", [1, 2])
def test_environment_follows_the_game(player: int) -> None:
    """8,000 rounds: the opponent plays its policy as *it* sees the state, and each payoff is that of the moves made.

    `fits` rejects a right law with probability below 1e-6 a row; the unmirrored policy must be rejected.
    """
    game, env = arbitrary(player)
    payoff = game.mdps[player - 1].rewards[START]
    state, _ = env.reset(seed=0)
    seen = []
    for action in np.random.default_rng(0).integers(2, size=8000):
        following, reward, ended, cut, info = env.step(action)
        assert (following - 1) // 2 == action
        assert reward == payoff[following - 1].item()
        assert (ended, cut, info) == (False, False, {})
        seen.append([state, (following - 1) % 2])
        state = following
    moves, chance = count(np.array(seen), 5, 2)[1:], normal(5, seed=3).sigmoid()
    law = torch.stack([chance, 1 - chance], -1)
    assert fits(moves, law[MIRROR][1:])
    assert not fits(moves, law[1:])


@pytest.mark.parametrize("player", [1, 2])
def test_there_and_back(player: int) -> None:
    """Read back through its table, the environment is the game against that opponent; each row has its own payoff."""
    game, env = arbitrary(player)
    back, wanted = gl.TabularMDP.from_gymnasium(env, 0.9), game.against(normal(5, seed=3), player)
    assert torch.allclose(back.transitions, wanted.transitions, atol=1e-12)
    assert torch.allclose(back.rewards, wanted.rewards, atol=1e-12)
    listed = {reward for rows in env.P.values() for row in rows.values() for _, _, reward, _ in row}
    assert listed == set(game.mdps[player - 1].rewards[START].tolist())


def test_a_game_without_payoffs_never_terminates() -> None:
    env = MatrixGameEnv(gl.MatrixGame(torch.zeros(2, 2), torch.zeros(2, 2)), strategy("DDDDD", dtype=torch.float32))
    env.reset(seed=0)
    assert [env.step(np.int64(1))[2] for _ in range(3)] == [False] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MatrixGameEnv(gl.IPD(double([0.5, 0.9])), strategy("CCCCC")), r"game: got a batch \(2,\)"),
        (lambda: MatrixGameEnv(gl.IPD(), torch.zeros(4)), r"opponent: got shape \(4,\)"),
        (
            lambda: gymnasium.make("gmrl_lab/MatrixGame-v0", game="poker"),
            "game: got 'poker', allowed is one of 'ipd', ",
        ),
        (lambda: gymnasium.make("gmrl_lab/MatrixGame-v0", opponent="CCX"), "moves: got 'CCX'"),
        (lambda: gymnasium.make("gmrl_lab/MatrixGame-v0", player=3), "player: got 3, allowed is 1 or 2"),
    ],
)
def test_bad_use_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- PettingZoo ---------------------------------------------------------------------------------------------------


@pytest.fixture
def parallel() -> Any:
    pytest.importorskip("pettingzoo", reason="PettingZoo comes with the extra [games]")
    from gmrl_lab.envs.parallel import ParallelGame

    return ParallelGame


@pytest.mark.parametrize("name", GAMES)
def test_parallel_games_pass_the_checker(name: str, parallel: Any) -> None:
    from pettingzoo.test import parallel_api_test

    parallel_api_test(parallel(GAMES[name](0.9, torch.float64), 10), 25)


def test_parallel_game_by_hand(parallel: Any) -> None:
    """Each sees its own move first: player 1 cooperates, player 2 defects, so 1 sees CD and 2 sees DC."""
    env = parallel(gl.MatrixGame(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])), 2)
    assert env.reset()[0] == {"player_1": 0, "player_2": 0}
    seen, paid, ended, cut, _ = env.step({"player_1": 0, "player_2": 1})
    assert seen == {"player_1": 2, "player_2": 3}
    assert paid == {"player_1": 2.0, "player_2": 6.0}
    assert not any([*ended.values(), *cut.values()])
    seen, paid, ended, cut, _ = env.step({"player_1": 1, "player_2": 0})
    assert seen == {"player_1": 3, "player_2": 2}
    assert paid == {"player_1": 3.0, "player_2": 7.0}
    assert (any(ended.values()), all(cut.values()), env.agents) == (False, True, [])


def test_parallel_bad_use_is_named(parallel: Any) -> None:
    with pytest.raises(ValueError, match=r"game: got a batch \(2,\), allowed is a single game"):
        parallel(gl.IPD(double([0.5, 0.9])))
    with pytest.raises(ValueError, match="n_rounds: got 0, allowed is a whole number >= 1"):
        parallel(gl.IPD(), 0)
