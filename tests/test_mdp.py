"""The model: what is stored, what is shared, what random MDPs look like."""

import copy

import numpy as np
import pytest
import torch
from frequencies import count, fits
from helpers import double, normal
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.categorical import Alias, cumulative

P = double([[[0.5, 0.5], [0.0, 1.0]], [[0.25, 0.75], [1.0, 0.0]]])
R = double([[1.0, 2.0], [3.0, 4.0]])


def test_fields_are_kept() -> None:
    mdp = gl.TabularMDP(P, R, 0.9, 1)
    assert mdp.transitions is P
    assert mdp.rewards is R
    assert mdp.discount.item() == 0.9
    assert mdp.start_state.item() == 1
    assert (mdp.n_states, mdp.n_actions, mdp.dtype, mdp.batch_shape) == (2, 2, torch.float64, ())
    assert mdp.start_distribution.tolist() == [0.0, 1.0]
    assert repr(mdp) == "TabularMDP(2 states, 2 actions, torch.float64 on cpu)"


def test_lists_and_arrays_become_float64() -> None:
    mdp = gl.TabularMDP(P.tolist(), R.float().numpy(), np.float64(0.5), [0.25, 0.75])  # type: ignore[arg-type]
    assert {mdp.transitions.dtype, mdp.rewards.dtype, mdp.discount.dtype, mdp.start_state.dtype} == {torch.float64}
    assert mdp.start_distribution.tolist() == [0.25, 0.75]


def test_default_start_state_is_the_first() -> None:
    assert gl.TabularMDP(P, R, 0.9).start_distribution.tolist() == [1.0, 0.0]


def test_non_square_sizes() -> None:
    transitions = normal(3, 2, 3).softmax(-1)
    mdp = gl.TabularMDP(transitions, normal(3, 2), 0.9, 2)
    assert (mdp.n_states, mdp.n_actions) == (3, 2)


@pytest.mark.parametrize(
    ("fields", "batch"),
    [
        ((P.expand(4, 2, 2, 2), R, 0.9, 0), (4,)),
        ((P, R.expand(4, 2, 2), 0.9, 0), (4,)),
        ((P, R, double([0.1, 0.2, 0.3]), 0), (3,)),
        ((P, R, 0.9, torch.tensor([0, 1, 1])), (3,)),
        ((P, R, 0.9, double([[0.5, 0.5], [1.0, 0.0]])), (2,)),
        ((P.expand(5, 1, 2, 2, 2), R.expand(4, 2, 2), 0.9, torch.zeros(5, 1, dtype=torch.long)), (5, 4)),
    ],
)
def test_leading_dimensions_broadcast(fields: tuple[Tensor, Tensor, float, int], batch: tuple[int, ...]) -> None:
    assert gl.TabularMDP(*fields).batch_shape == batch


def test_replace_changes_the_field_alone_and_forgets_what_followed_from_it() -> None:
    mdp = gl.TabularMDP(P, R, 0.9, 0)
    caches = mdp.start_distribution, mdp.transition_sampler
    new = mdp.replace(rewards=R + 1)
    assert new.rewards.equal(R + 1)
    assert new.transitions is mdp.transitions
    assert mdp.rewards is R
    assert (new.start_distribution, new.transition_sampler) == caches  # identical tensors: shared, not recomputed
    assert mdp.replace(start_state=1).start_distribution.tolist() == [0.0, 1.0]
    flipped = mdp.replace(transitions=P.flip(-1)).transition_sampler
    assert flipped.threshold.equal(Alias.of(P.flip(-1)).threshold)
    assert flipped.outcome.equal(Alias.of(P.flip(-1)).outcome)
    assert mdp.replace(rewards=R.expand(3, 2, 2)).batch_shape == (3,)
    assert mdp.replace(rewards=R.expand(3, 2, 2)).replace(rewards=R).batch_shape == ()


def test_replace_keeps_the_graph() -> None:
    mdp = gl.TabularMDP(P, R, 0.9)
    phi = torch.zeros_like(R).requires_grad_()
    gamma = double(0.5).requires_grad_()
    value = gl.exact.objective(mdp.replace(rewards=R + phi, discount=gamma), torch.zeros_like(R))
    by_phi, by_gamma = torch.autograd.grad(value, (phi, gamma))
    # V is linear in the rewards, with the occupancy of state and action as coefficients, which sum to 1 / (1 − γ)
    assert by_phi.sum().item() == pytest.approx(2.0, rel=1e-12)
    h = 1e-6
    at = [gl.exact.objective(mdp.replace(discount=0.5 + d), torch.zeros_like(R)).item() for d in (-h, h)]
    assert by_gamma.item() == pytest.approx((at[1] - at[0]) / (2 * h), rel=1e-6)


def test_replace_validates() -> None:
    mdp = gl.TabularMDP(P, R, 0.9)
    with pytest.raises(ValueError, match="rewards"):
        mdp.replace(rewards=R * torch.nan)
    with pytest.raises(ValueError, match="start_state"):
        mdp.replace(transitions=double([[[1.0]]]), rewards=double([[0.0]]), start_state=1)
    with pytest.raises(ValueError, match="rewards"):
        mdp.replace(transitions=normal(3, 2, 3).softmax(-1))  # the rewards that it has do not fit


@pytest.mark.parametrize("start", [1, double([0.25, 0.75])])
def test_to_converts_every_field(start: int | Tensor) -> None:
    mdp = gl.TabularMDP(P, R, 0.9, start).to(torch.float32)
    assert {mdp.transitions.dtype, mdp.rewards.dtype, mdp.discount.dtype, mdp.start_distribution.dtype} == {
        torch.float32
    }
    back = mdp.to(torch.float64)
    assert back.transitions.equal(P)
    assert back.start_distribution.equal(gl.TabularMDP(P, R, 0.9, start).start_distribution)


def test_cumulative_ends_in_one_and_gives_zero_to_impossible_outcomes() -> None:
    rows = double([[0.1, 0.2, 0.7, 0.0, 0.0], [0.0, 0.3, 0.0, 0.3, 0.4], [1e-300, 1.0, 0.0, 0.0, 0.0]])
    for dtype in (torch.float64, torch.float32):
        sums = cumulative(rows.to(dtype))
        assert sums.dtype == torch.float64
        assert (sums[:, -1] == 1).all()
        widths = torch.diff(sums, prepend=torch.zeros(3, 1, dtype=torch.float64))
        assert (widths[rows.to(dtype) == 0] == 0).all()
        assert torch.allclose(widths, rows, atol=1e-7)


def test_mdps_can_be_copied() -> None:
    mdp = copy.deepcopy(gl.random_mdp(3, 2))
    assert mdp.transitions.equal(gl.random_mdp(3, 2).transitions)


# --- random MDPs ------------------------------------------------------------------------------------------------


def test_random_mdp_has_the_settings_of_the_paper() -> None:
    mdp = gl.random_mdp()
    assert (mdp.n_states, mdp.n_actions, mdp.discount.item(), mdp.start_state.item()) == (20, 5, 0.8, 0)


def test_random_mdp_depends_on_its_seed_alone() -> None:
    together = gl.random_mdp(4, 3, seed=[5, 0, 7])
    for i, seed in enumerate((5, 0, 7)):
        alone = gl.random_mdp(4, 3, seed=seed)
        assert alone.batch_shape == ()
        assert together.transitions[i].equal(alone.transitions)
        assert together.rewards[i].equal(alone.rewards)
    assert not together.transitions[0].equal(together.transitions[1])
    assert gl.random_mdp(4, 3, seed=[5]).batch_shape == (1,)
    assert gl.random_mdp(4, 3, seed=np.arange(2)).transitions[1].equal(gl.random_mdp(4, 3, seed=1).transitions)  # type: ignore[arg-type]


@pytest.mark.parametrize("concentration", [1e-6, 1e-3, 1.0, 1e3])
def test_random_transitions_never_underflow(concentration: float) -> None:
    mdp = gl.random_mdp(10, 3, concentration=concentration, seed=range(5))
    assert torch.isfinite(mdp.transitions).all()
    assert (mdp.transitions.sum(-1) - 1).abs().max() < 1e-12


def test_random_rewards_are_uniform() -> None:
    """2,000 rewards in ten equal bins."""
    rewards = gl.random_mdp(20, 10, seed=range(10)).rewards
    counts = torch.histc(rewards, 10, 0.0, 1.0).unsqueeze(0)
    assert rewards.min() >= 0
    assert rewards.max() < 1
    assert fits(counts, torch.full((1, 10), 0.1, dtype=torch.float64))


@pytest.mark.parametrize("concentration", [0.001, 0.5, 2.0])
def test_random_transitions_are_dirichlet(concentration: float) -> None:
    """E[p_i] = 1/S and E[p_i²] = (c + 1) / (S (S c + 1)) of the symmetric Dirichlet, within five standard errors."""
    n_states = 5
    rows = gl.random_mdp(n_states, 8, concentration=concentration, seed=range(100)).transitions.flatten(0, -2)
    squares = rows.square().sum(-1)  # independent over rows
    wanted = (concentration + 1) / (n_states * concentration + 1)
    assert (squares.mean() - wanted).abs() < 5 * squares.std() / len(squares) ** 0.5
    assert ((rows.mean(0) - 1 / n_states).abs() < 5 * rows.std(0) / len(rows) ** 0.5).all()


def test_paper_transitions_are_nearly_deterministic() -> None:
    """At concentration 0.001 about 87 % of the rows put more than 0.999 on one state."""
    largest = gl.random_mdp(seed=range(10)).transitions.max(-1).values
    share = (largest > 0.999).double().mean().item()
    assert 0.83 < share < 0.91


def test_dtype_is_that_of_the_call() -> None:
    assert gl.random_mdp(3, 2, dtype=torch.float32).rewards.dtype == torch.float32


def test_counts_of_a_wrong_model_do_not_fit() -> None:
    """The chi-square test itself: right and slightly wrong probabilities, and an impossible outcome."""
    right = double([[0.2, 0.3, 0.5]])
    draws = torch.multinomial(right[0], 40_000, replacement=True, generator=torch.Generator().manual_seed(0))
    counts = count(draws.unsqueeze(-1), 3).unsqueeze(0)
    assert fits(counts, right)
    assert not fits(counts, double([[0.22, 0.28, 0.5]]))
    assert not fits(counts, double([[0.2, 0.8, 0.0]]))
