"""Closed forms against automatic differentiation, finite differences, counted trajectories and algebra by hand."""

import pytest
import torch
from helpers import batch_of_mdps, close, derivatives, differ, double, finite_differences, normal, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

MDP = batch_of_mdps()
THETA = normal(4, 3, 2, seed=1)
TERMINAL = normal(4, 3, seed=2)
HORIZONS = [(None, None), (1, TERMINAL), (2, None), (7, TERMINAL)]


def loop(p: float, discount: float = 0.9) -> tuple[gl.TabularMDP, Tensor]:
    """State 0: action 0 stays and pays 1, action 1 leaves for good and pays nothing; action 0 has probability p."""
    stay, leave = torch.eye(2, dtype=torch.float64)
    transitions = torch.stack([torch.stack([stay, leave]), torch.stack([leave, leave])])
    rewards = double([[1.0, 0.0], [0.0, 0.0]])
    odds = double(p / (1 - p)).log()
    return gl.TabularMDP(transitions, rewards, discount), torch.stack([odds, 0 * odds]).expand(2, 2)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_loop_solved_by_hand(p: float) -> None:
    """V(0) = p/(1 − γp), d(0) = 1/(1 − γp), dJ/dp = 1/(1 − γp)², dp/dθ₀ = p(1 − p)."""
    mdp, theta = loop(p)
    stays = 1 - 0.9 * p
    assert close(exact.value(mdp, theta), double([p / stays, 0.0]), 1e-12)
    assert close(exact.occupancy(mdp, theta), double([1 / stays, 10 - 1 / stays]), 1e-12)
    assert close(exact.action_value(mdp, theta)[0], double([1 + 0.9 * p / stays, 0.0]), 1e-12)
    slope = p * (1 - p) / stays**2
    assert close(exact.gradient(mdp, theta), double([[slope, -slope], [0.0, 0.0]]), 1e-12)
    second = p * (1 - p) * ((1 - 2 * p) / stays**2 + 1.8 * p * (1 - p) / stays**3)
    assert abs(exact.hessian(mdp, theta)[0, 0].item() - second) < 1e-12 / stays**3


def test_loop_solved_by_hand_over_three_steps() -> None:
    """V₃(0) = p + γp² + γ²p³ + γ³(p³ v₀ + (1 − p³) v₁)."""
    p, g = 0.6, 0.9
    mdp, theta = loop(p)
    terminal = double([2.0, -1.0])
    by_hand = p + g * p**2 + g**2 * p**3 + g**3 * (2 * p**3 - (1 - p**3))
    assert abs(exact.objective(mdp, theta, 3, terminal).item() - by_hand) < 1e-12
    visits = double([1 + g * p + g**2 * p**2, g * (1 - p) + g**2 * (1 - p**2)])
    assert close(exact.occupancy(mdp, theta, 3), visits, 1e-12)


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_value_and_occupancy_are_sums_over_all_trajectories(horizon: int) -> None:
    """J = Σ_τ p(τ) (Σ γᵗ r_t + γᵀ v(s_T)) and d(s) = Σ_τ p(τ) Σ γᵗ [s_t = s]."""
    mdp, theta, terminal = tiny_mdp(), normal(2, 2), normal(2, seed=1)
    paths, probability = gl.enumerate_samples(mdp, theta, horizon)
    states, actions = paths.states.squeeze(1), paths.actions.squeeze(1)
    returns = torch.zeros(len(probability), dtype=torch.float64)
    visits = torch.zeros(2, dtype=torch.float64)
    for t in range(horizon):
        returns += 0.8**t * mdp.rewards[states[:, t], actions[:, t]]
        for s in range(2):
            visits[s] += 0.8**t * probability[states[:, t] == s].sum()
    returns += 0.8**horizon * terminal[states[:, horizon]]
    assert abs(exact.objective(mdp, theta, horizon, terminal) - (probability * returns).sum()) < 1e-13
    assert close(exact.occupancy(mdp, theta, horizon), visits, 1e-13)


def test_long_horizon_becomes_infinite() -> None:
    for function in (exact.value, exact.action_value, exact.occupancy, exact.gradient, exact.hessian):
        assert close(function(MDP, THETA, 400), function(MDP, THETA), 1e-12)


def test_own_value_as_terminal_value_changes_nothing() -> None:
    value = exact.value(MDP, THETA)
    assert close(exact.value(MDP, THETA, 3, value), value, 1e-13)
    assert close(exact.action_value(MDP, THETA, 3, value), exact.action_value(MDP, THETA), 1e-13)


@pytest.mark.parametrize(("horizon", "terminal"), HORIZONS)
def test_gradient_and_hessian_are_those_of_autodiff(horizon: int | None, terminal: Tensor | None) -> None:
    _, gradient, hessian = derivatives(lambda x: exact.objective(MDP, x, horizon, terminal), THETA)
    assert close(exact.gradient(MDP, THETA, horizon, terminal).flatten(-2), gradient, 1e-12)
    assert close(exact.hessian(MDP, THETA, horizon, terminal), hessian, 1e-12)


@pytest.mark.parametrize(("horizon", "terminal"), HORIZONS)
def test_gradient_and_hessian_are_those_of_finite_differences(horizon: int | None, terminal: Tensor | None) -> None:
    by_value = finite_differences(lambda x: exact.objective(MDP, x, horizon, terminal), THETA)
    by_gradient = finite_differences(lambda x: exact.gradient(MDP, x, horizon, terminal).flatten(-2), THETA)
    assert close(exact.gradient(MDP, THETA, horizon, terminal).flatten(-2), by_value, 1e-8)
    assert close(exact.hessian(MDP, THETA, horizon, terminal), by_gradient, 1e-8)


@pytest.mark.parametrize("discount", [0.5, 0.99])
def test_paper_size_in_a_batch_agrees_with_one_at_a_time(discount: float) -> None:
    """20 states, 5 actions: where batched forward-mode differentiation through the linear solve goes wrong."""
    mdp = gl.random_mdp(discount=discount, seed=range(5))
    theta = normal(5, 20, 5)
    gradients, hessians = exact.gradient(mdp, theta), exact.hessian(mdp, theta)
    for i in range(5):
        alone = gl.random_mdp(discount=discount, seed=i)
        _, gradient, hessian = derivatives(lambda x, alone=alone: exact.objective(alone, x), theta[i])
        assert close(gradients[i].flatten(), gradient, 1e-10)
        assert close(hessians[i], hessian, 1e-10)


def test_vmapped_reverse_mode_agrees() -> None:
    """`torch.func` in reverse mode is right through the solve; its forward mode is not, and is banned."""

    def objective(theta: Tensor, transitions: Tensor, rewards: Tensor) -> Tensor:
        policy = theta.softmax(-1)
        chain = torch.einsum("sa,sat->st", policy, transitions)
        return torch.linalg.solve(torch.eye(3, dtype=torch.float64) - 0.8 * chain, (policy * rewards).sum(-1))[0]

    mdp = MDP.replace(discount=0.8, start_state=0)
    arguments = (THETA, mdp.transitions, mdp.rewards)
    assert close(torch.func.vmap(torch.func.grad(objective))(*arguments), exact.gradient(mdp, THETA), 1e-12)
    twice = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(objective)))(*arguments)
    assert close(twice.reshape(4, 6, 6), exact.hessian(mdp, THETA), 1e-12)


def test_hessian_is_symmetric_and_its_rows_sum_to_zero_at_each_state() -> None:
    for horizon, terminal in HORIZONS:
        hessian = exact.hessian(MDP, THETA, horizon, terminal)
        assert close(hessian, hessian.transpose(-1, -2), 1e-14)
        assert hessian.unflatten(-1, (3, 2)).sum(-1).abs().max() < 1e-14


def test_policy_gradient_theorem() -> None:
    """∂J/∂θ[s, a] = d(s) π(a|s) (Q(s, a) − V(s)), with each factor from its own function."""
    advantage = exact.action_value(MDP, THETA) - exact.value(MDP, THETA).unsqueeze(-1)
    product = exact.occupancy(MDP, THETA).unsqueeze(-1) * THETA.softmax(-1) * advantage
    assert close(exact.gradient(MDP, THETA), product, 1e-13)


@pytest.mark.parametrize("horizon", [None, 5])
def test_derivatives_in_rewards_and_discount(horizon: int | None) -> None:
    """∂J/∂R[s, a] = d(s) π(a|s), by autodiff and by finite differences; ∂J/∂γ by finite differences."""
    rewards, discount = (x.clone().requires_grad_() for x in (MDP.rewards, double([0.7, 0.1, 0.5, 0.9])))
    mdp = MDP.replace(rewards=rewards, discount=discount)
    by_rewards, by_discount = torch.autograd.grad(
        exact.objective(mdp, THETA, horizon).sum(), (rewards, discount), create_graph=True
    )
    assert close(by_rewards, exact.occupancy(mdp, THETA, horizon).unsqueeze(-1) * THETA.softmax(-1), 1e-12)

    def of_discount(value: Tensor) -> Tensor:
        return exact.objective(MDP.replace(discount=value), THETA, horizon)

    assert close(by_discount, finite_differences(of_discount, discount.detach(), 0).squeeze(-1), 1e-7)


@pytest.mark.parametrize("horizon", [None, 5])
@pytest.mark.parametrize("function", [exact.gradient, exact.hessian])
def test_closed_forms_are_differentiable(function, horizon: int | None) -> None:
    """In logits, rewards and discount: a random contraction of the closed form against finite differences."""
    weight = normal(*function(MDP, THETA, horizon).shape, seed=5)
    discount = torch.full((4,), 0.7, dtype=torch.float64)

    def contract(theta: Tensor, rewards: Tensor, discount: Tensor) -> Tensor:
        table = function(MDP.replace(rewards=rewards, discount=discount), theta, horizon)
        return (weight * table).sum((-1, -2))

    at = [x.clone().requires_grad_() for x in (THETA, MDP.rewards, discount)]
    by_autodiff = torch.autograd.grad(contract(*at).sum(), at)
    for i, n_dims in enumerate((2, 2, 0)):

        def moved(x: Tensor, i: int = i) -> Tensor:
            values = [y.detach() for y in at]
            values[i] = x
            return contract(*values)

        numeric = finite_differences(moved, at[i].detach(), n_dims)
        assert close(by_autodiff[i].reshape(numeric.shape), numeric, 1e-7)


def test_terminal_value_is_differentiable() -> None:
    """∂J/∂v(s) = γᵀ P(s_T = s)."""
    terminal = TERMINAL.clone().requires_grad_()
    (slope,) = torch.autograd.grad(exact.objective(MDP, THETA, 3, terminal).sum(), terminal)
    chain = exact.transition_matrix(MDP, THETA.softmax(-1))
    last = (MDP.start_distribution.unsqueeze(-2) @ torch.linalg.matrix_power(chain, 3)).squeeze(-2)
    assert close(slope, MDP.discount.unsqueeze(-1) ** 3 * last, 1e-12)


def test_leading_dimensions_broadcast() -> None:
    """One MDP with many policies, many MDPs with one policy, and a new dimension in front of both."""
    one = gl.random_mdp(3, 2, seed=0)
    assert close(exact.hessian(one, THETA)[2], exact.hessian(one, THETA[2]), 1e-13)
    assert close(exact.gradient(MDP, THETA[0])[3], exact.gradient(MDP, THETA[0].expand(4, 3, 2))[3], 1e-13)
    wide = normal(5, 1, 3, 2)
    assert exact.hessian(MDP, wide, 4).shape == (5, 4, 6, 6)
    assert close(exact.hessian(MDP, wide, 4)[3], exact.hessian(MDP, wide[3].expand(4, 3, 2), 4), 1e-13)


def test_finite_and_infinite_horizon_differ() -> None:
    """The comparisons above could not pass by returning the same thing for every horizon."""
    assert differ(exact.gradient(MDP, THETA, 2), exact.gradient(MDP, THETA))
    assert differ(exact.hessian(MDP, THETA, 2), exact.hessian(MDP, THETA, 2, TERMINAL))
