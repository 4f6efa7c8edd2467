"""Fitted value tables: both targets and both rules by hand, towards the truth, and for each seed alone."""

import pytest
import torch
from helpers import close, double, normal
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.learners.baselines import FittedValues
from gmrl_lab.learners.replay import play

GAME = gl.IPD(0.9)
REWARDS = GAME.mdps[0].rewards
OWN = 0.5 * normal(2, 2, 5, seed=1)
"""Two seeds, two players."""
OTHER = OWN.flip(-2)
LIKE = torch.zeros(5, dtype=torch.float64)
TWO = gl.Trajectories(torch.tensor([[0, 4, 1], [0, 1, 1]]), torch.tensor([[3, 0], [0, 0]]), torch.zeros(2, 2).double())
"""DD then CC, payoffs −2, −1; and CC twice, −1, −1."""


def plays(n: int = 30, horizon: int = 40, seed: int = 0, seeds: int = 2) -> gl.Trajectories:
    return play(GAME, OWN[:seeds], OTHER[:seeds], n, horizon, generator=gl.generators(seed, seeds)).trajectories


def test_returns_by_hand() -> None:
    """Returns at γ = 0.9: −2.9, −1 and −1.9, −1. A tenth of the way to the mean at each visited state."""
    values = FittedValues(LIKE)
    error = values.update(TWO, REWARDS, 0.9)
    assert close(values.table, double([-0.24, -0.1, 0, 0, -0.1]), 1e-14)
    assert error == pytest.approx((2.9**2 + 1.9**2 + 0.9 * 2) / (2 * 1.9), abs=1e-14)
    values.update(TWO, REWARDS, 0.9)
    assert close(values.table, 1.9 * double([-0.24, -0.1, 0, 0, -0.1]), 1e-14)


def test_weights_are_those_of_the_estimators() -> None:
    """State 1 twice, at t = 1 and 2 of one play: returns −1.9 and −1 with weights γ and γ²."""
    one = gl.Trajectories(torch.tensor([[0, 1, 1, 1]]), torch.zeros(1, 3).long(), torch.zeros(1, 3).double())
    values = FittedValues(LIKE, lr=1.0)
    values.update(one, REWARDS, 0.9)
    assert values.table[1] == pytest.approx((0.9 * -1.9 + 0.81 * -1) / 1.71, abs=1e-14)


@pytest.mark.parametrize("target", ["return", "reward"])
def test_adam_is_that_of_torch_on_the_squared_error(target: str) -> None:
    """The published loss and step for the immediate reward; the same with returns and weights γᵗ."""
    values = FittedValues(OWN, target, "adam", 0.1)
    table = torch.zeros_like(OWN, requires_grad=True)
    adam = torch.optim.Adam([table], lr=0.1)
    weight = 0.9 ** torch.arange(40).double() if target == "return" else torch.ones(40).double()
    for seed in range(5):
        seen = plays(seed=seed)
        wanted = gl.rollout.lookup(REWARDS, seen.states, seen.actions)
        if target == "return":
            wanted = torch.stack([(wanted[..., t:] * weight[: 40 - t]).sum(-1) for t in range(40)], -1)
        guess = table.gather(-1, seen.states[..., :-1].flatten(-2)).view_as(wanted)
        loss = ((wanted - guess) ** 2 * weight / weight.sum()).sum(-1).mean(-1)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        assert close(values.update(seen, REWARDS, 0.9), loss.detach(), 1e-12)
        assert close(values.table, table.detach(), 1e-12)


def test_fitted_returns_are_near_the_values() -> None:
    """60 updates of 60 plays at T = 80, where γᵀ = 2e-4, for both players: within 0.35 of values around −15.

    The published loss converges to the expected reward of a round (within 0.15), which is another thing.
    """
    values = FittedValues(OWN)
    for seed in range(60):
        values.update(plays(60, 80, seed), REWARDS, 0.9)
    problem = GAME.problems(OWN, OTHER)[0]
    truth = exact.value(problem.mdp, problem.logits)
    assert (values.table - truth).abs().max() < 0.35
    rewards = FittedValues(OWN, "reward", "adam")
    for seed in range(60):
        rewards.update(plays(60, 80, seed), REWARDS, 0.9)
    expected = (problem.logits.softmax(-1) * REWARDS).sum(-1)
    assert (rewards.table - expected).abs().max() < 0.15
    assert (expected - truth).abs().min() > 8


def test_adam_creeps_towards_returns() -> None:
    """Steps of 0.1: after 60 updates no further than 6 from zero."""
    values = FittedValues(OWN, "return", "adam")
    for seed in range(60):
        values.update(plays(seed=seed), REWARDS, 0.9)
    assert values.table.abs().max() < 6.1


def test_states_never_seen_keep_their_value() -> None:
    values = FittedValues(LIKE)
    values.table += 7
    values.update(TWO, REWARDS, 0.9)
    assert values.table[2:4].tolist() == [7, 7]
    assert values.table.isfinite().all()


@pytest.mark.parametrize("settings", [("return", "average"), ("reward", "adam")])
def test_a_seed_alone_is_fitted_the_same(settings: tuple[str, str]) -> None:
    together, alone = FittedValues(OWN, *settings), FittedValues(OWN[:1], *settings)
    for seed in range(3):
        together.update(plays(seed=seed), REWARDS, 0.9)
        alone.update(plays(seed=seed, seeds=1), REWARDS, 0.9)
    assert close(together.table[:1], alone.table, 1e-14)
    assert not torch.equal(together.table[:1], together.table[1:])


def test_discounts_and_rewards_may_differ_in_the_batch() -> None:
    """One element for each."""
    discount, rewards = double([0.5, 0.9]), torch.stack([REWARDS, 2 * REWARDS])
    seen = gl.Trajectories(*(x.expand(2, *x.shape) for x in (TWO.states, TWO.actions, TWO.behaviour_log_prob)))
    together = FittedValues(LIKE.expand(2, 5))
    together.update(seen, rewards, discount)
    for i in range(2):
        alone = FittedValues(LIKE)
        alone.update(TWO, rewards[i], discount[i])
        assert close(together.table[i], alone.table, 1e-14)


def test_as_a_baseline_it_changes_no_mean_and_stays_as_it_was() -> None:
    """The gradient of "first order" over all three-round games is the exact one with it, and it takes no φ."""
    values = FittedValues(OWN)
    values.update(plays(), REWARDS, 0.9)
    baseline = values.baseline
    before = baseline.table.clone()
    values.update(plays(seed=1), REWARDS, 0.9)
    assert torch.equal(baseline.table, before)
    oracle = gl.Sampled(gl.DiCE("first order"), 30, 40, baseline=baseline)
    problem = GAME.problems(OWN, OTHER)[0]
    assert oracle.surrogate(problem, gl.generators(2, 2)).shape == (2, 2)
    assert not baseline.is_random
    assert baseline != values.baseline

    def gradient(player: Tensor, used: gl.Baseline) -> Tensor:
        first = GAME.problems(OWN[0, 0], OTHER[0, 0])[0]
        every, chance = gl.enumerate_samples(first.mdp, first.logits, 3)
        leaf = player.clone().requires_grad_()
        here = GAME.problems(leaf.expand(64, 5), OTHER[0, 0])[0]
        on = gl.Sampled(gl.DiCE("first order"), 1, 3, baseline=used, trajectories=every)
        return torch.autograd.grad((on.surrogate(here) * chance).sum(), leaf)[0]

    leaf = OWN[0, 0].clone().requires_grad_()
    first = GAME.problems(leaf, OTHER[0, 0])[0]
    (wanted,) = torch.autograd.grad(exact.objective(first.mdp, first.logits, 3), leaf)
    assert close(gradient(OWN[0, 0], gl.problem.ValueTable(table=before[0, 0])), wanted, 1e-12)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="target: got 'advantage', allowed is one of 'return', 'reward'"):
        FittedValues(LIKE, "advantage")
    with pytest.raises(ValueError, match="rule: got 'sgd', allowed is one of 'average', 'adam'"):
        FittedValues(LIKE, rule="sgd")
    with pytest.raises(ValueError, match=r"lr: got 1.5, allowed is the interval \(0, 1\]"):
        FittedValues(LIKE, lr=1.5)
    assert FittedValues(LIKE, rule="adam", lr=1.5).lr == 1.5
    with pytest.raises(ValueError, match="lr: got 0"):
        FittedValues(LIKE, rule="adam", lr=0)
    with pytest.raises(ValueError, match=r"trajectories: got batch \(2, 2\), allowed is batch \(\), as the table"):
        FittedValues(LIKE).update(plays(), REWARDS, 0.9)
    with pytest.raises(ValueError, match=r"rewards: got shape \(4, 4\), allowed is shape \(..., 5, 4\)"):
        FittedValues(LIKE).update(TWO, REWARDS[:4], 0.9)
    with pytest.raises(ValueError, match="rewards: got nan"):
        FittedValues(LIKE).update(TWO, REWARDS * torch.nan, 0.9)
