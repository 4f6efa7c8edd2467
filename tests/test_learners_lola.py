"""Two players who learn alike: exact against other ways to the same number, samples against each other and a target."""

from dataclasses import replace

import pytest
import torch
from helpers import close, finite_differences, normal, rejects
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.games import MatchingPennies
from gmrl_lab.learners import LOLASettings, Update, from_both_sides, history, learn
from gmrl_lab.learners.adam import Adam

EXACT = {"inner": "exact", "hessian": "exact", "outer": "exact"}
SMALL = {"n_updates": 3, "horizon": 8, "n_inner": 4, "n_hessian": 4, "n_outer": 4, "n_fresh": 4, "buffer_size": 16}
OWN = gl.MatrixGame(normal(2, 2, seed=5), normal(2, 2, seed=6), 0.9)
MODES = {
    "exact": EXACT,
    "on": {},
    "shared": {"share_samples": True},
    "off": {"inner": "off", "hessian": "off", "outer": "off"},
    "whole buffer": {"inner": "off", "hessian": "on", "n_inner": 16, "clip": 2.0},
    "naive": {"learner": "naive"},
    "reward": {"baseline": "reward", "estimator": "Loaded DiCE", "outer": "exact"},
    "float32": {"dtype": "float32", "baseline": "none", "estimator": "any-order DiCE"},
}


def run(seeds=(0,), game: gl.MatrixGame | None = None, **changes) -> list[Update]:
    return list(learn(LOLASettings(**changes), seeds, game))


def swapped(game: gl.MatrixGame) -> gl.MatrixGame:
    """The game with its players' places changed."""
    first, second = (mdp.rewards[0].view(2, 2) for mdp in game.mdps)
    return gl.MatrixGame(second, first.mT, game.mdps[0].discount)


def look_ahead_value(game: gl.MatrixGame, own: Tensor, other: Tensor, player: int, steps: int, lr: float) -> Tensor:
    """The own value once the other, who starts at `other`, has climbed its value; plainly, by player 1's game."""
    for _ in range(steps):
        leaf = other.detach().expand_as(own).clone().requires_grad_()
        values = game.value(own, leaf) if player == 0 else game.value(leaf, own)
        other = leaf.detach() + lr * torch.autograd.grad(values[1 - player].sum(), leaf)[0]
    return (game.value(own, other) if player == 0 else game.value(other, own))[player]


@pytest.mark.parametrize("n_inner_steps", [1, 2])
@pytest.mark.parametrize("game", [gl.IPD(0.9), OWN, MatchingPennies(0.9)], ids=["IPD", "own", "pennies"])
def test_an_exact_update_is_adams_step_along_each_players_own_finite_differences(game, n_inner_steps: int) -> None:
    settings = LOLASettings(n_updates=2, initial_sd=0.5, inner_lr=0.7, n_inner_steps=n_inner_steps, **EXACT)
    first, second = learn(settings, [3], game)
    adam = Adam(first.theta[0], 0.1)
    start = 0.5 * torch.randn(2, 5, dtype=torch.float64, generator=gl.generators(3, 1)[0])
    theta = start
    for reached in (first, second):
        gradients = [
            finite_differences(
                lambda own, i=i: look_ahead_value(game, own, theta[1 - i], i, n_inner_steps, 0.7), theta[i], n_dims=1
            )
            for i in range(2)
        ]
        theta = theta - adam.step(torch.stack(gradients))
        assert close(reached.theta[0], theta, 1e-5)


def test_the_exact_meta_gradient_of_both_is_that_of_the_product_formula() -> None:
    theta = 0.5 * normal(4, 2, 5)
    for game in (gl.IPD(), OWN):
        task = gl.LOLA(from_both_sides(game), theta.flip(1))
        assert close(gl.meta_gradient(task, theta, 2, 0.3), gl.meta_gradient_by_product(task, theta, 2, 0.3), 1e-10)


def test_both_sides_of_a_game_are_the_two_players_own() -> None:
    theta = normal(2, 5)
    both = from_both_sides(OWN).value(theta, theta.flip(0))
    assert close(both[0], torch.stack(OWN.value(*theta)), 1e-12)
    assert close(both[1], both[0].flip(0), 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_alone_is_the_seed_in_a_batch_bit_for_bit(mode: str) -> None:
    settings = {**SMALL, "initial_sd": 0.5, **MODES[mode]}
    together, alone = history(run((4, 7, 9), **settings)), history(run((7,), **settings))
    for name, values in alone.items():
        assert torch.equal(
            torch.nan_to_num(values), torch.nan_to_num(together[name][:, 1:2] if values.ndim > 1 else values)
        )
    again = history(run((7,), **settings))
    assert torch.equal(alone["theta"], again["theta"])
    assert not torch.equal(together["theta"][:, 0], together["theta"][:, 1])
