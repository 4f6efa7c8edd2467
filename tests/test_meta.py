"""The meta-gradient: Proposition 3.1 by products, by automatic differentiation and by finite differences."""

import pytest
import torch
from helpers import ESTIMATORS, WITH_BASELINE, batch_of_mdps, close, differ, finite_differences, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.meta import product_terms

MDP = batch_of_mdps()
THETA_0 = normal(4, 3, 2, seed=1)
TASKS = {"MAML": gl.MAML(MDP), "LIRPG": gl.LIRPG(MDP, THETA_0)}
PHI = normal(4, 3, 2, seed=2)
BOTH = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def meta_objective(task: gl.Task, phi: Tensor, n_inner_steps: int, inner_lr: float) -> Tensor:
    """J^K(φ) in the plainest way: θᵏ⁺¹ = θᵏ + α ∇J^In(φ, θᵏ) by the closed-form gradient."""
    theta = phi if isinstance(task, gl.MAML) else THETA_0
    rewards = MDP.rewards if isinstance(task, gl.MAML) else MDP.rewards + phi
    for _ in range(n_inner_steps):
        theta = theta + inner_lr * exact.gradient(MDP.replace(rewards=rewards), theta)
    return exact.objective(MDP, theta)


@pytest.mark.parametrize("inner_lr", [0.5, 10.0])
@pytest.mark.parametrize("n_inner_steps", range(6))
@BOTH
def test_product_agrees_with_autodiff(task, n_inner_steps: int, inner_lr: float) -> None:
    by_product = gl.meta_gradient_by_product(task, PHI, n_inner_steps, inner_lr)
    assert close(gl.meta_gradient(task, PHI, n_inner_steps, inner_lr), by_product, 1e-10)


@pytest.mark.parametrize("n_inner_steps", range(6))
@BOTH
def test_meta_gradient_agrees_with_finite_differences(task, n_inner_steps: int) -> None:
    found = gl.meta_gradient(task, PHI, n_inner_steps, 2.0)
    numeric = finite_differences(lambda phi: meta_objective(task, phi, n_inner_steps, 2.0), PHI)
    assert (found.flatten(-2) - numeric).abs().max() < 1e-8
    if n_inner_steps or isinstance(task, gl.MAML):
        assert found.abs().amax((-1, -2)).min() > 1e-4


def test_paper_size_product_agrees_with_autodiff() -> None:
    """20 states, 5 actions, K = 3, α = 10, MDPs nearly deterministic."""
    mdp = gl.random_mdp(seed=range(2))
    phi = 0.1 * normal(20, 5)
    for task in (gl.MAML(mdp), gl.LIRPG(mdp, phi)):
        assert close(gl.meta_gradient(task, phi, 3), gl.meta_gradient_by_product(task, phi, 3), 1e-10)


def test_no_inner_step() -> None:
    """K = 0: MAML's meta-gradient is ∇J(φ), LIRPG's is zero."""
    assert close(gl.meta_gradient(TASKS["MAML"], PHI, 0), exact.gradient(MDP, PHI), 1e-12)
    assert torch.equal(gl.meta_gradient(TASKS["LIRPG"], PHI, 0), torch.zeros(4, 3, 2, dtype=torch.float64))
    assert torch.equal(gl.meta_gradient_by_product(TASKS["LIRPG"], PHI, 0), torch.zeros(4, 3, 2, dtype=torch.float64))


@BOTH
def test_terms_have_the_shapes_that_they_say(task) -> None:
    terms = gl.meta_gradient_by_product(task, PHI, 3, 2.0, terms=True)
    assert isinstance(terms, gl.ProductTerms)
    assert terms.direct.shape == terms.start.shape == (4, 3, 2)
    assert [x.shape for x in terms.indirect] == [(4, 3, 2)] * 3
    assert [x.shape for x in terms.factors] == [x.shape for x in terms.jacobians] == [(4, 6, 6)] * 3
    assert [x.shape for x in terms.path] == [(4, 3, 2)] * 4
    assert torch.equal(terms.total, gl.meta_gradient_by_product(task, PHI, 3, 2.0))
    assert close(terms.total, terms.direct + terms.start + sum(terms.indirect), 1e-14)


@BOTH
def test_factors_are_one_plus_alpha_hessian_along_the_path(task) -> None:
    terms = product_terms(task, PHI, 3, 2.0)
    mdp = task.inner(PHI, THETA_0).mdp
    for k in range(3):
        assert close(terms.factors[k], torch.eye(6) + 2 * exact.hessian(mdp, terms.path[k]), 1e-12)
        assert close(terms.path[k + 1], terms.path[k] + 2 * exact.gradient(mdp, terms.path[k]), 1e-12)


def test_maml_comes_through_the_start_alone() -> None:
    """∇_φ θ⁰ = I and D_i = 0: the meta-gradient is Π_j (I + αH_j) v."""
    terms = product_terms(TASKS["MAML"], PHI, 3, 2.0)
    assert all(x.abs().max() == 0 for x in (*terms.indirect, *terms.jacobians, terms.direct))
    v = exact.gradient(MDP, terms.path[-1]).flatten(-2).unsqueeze(-1)
    product = terms.factors[0] @ terms.factors[1] @ terms.factors[2] @ v
    assert close(terms.start.flatten(-2), product.squeeze(-1), 1e-12)


def test_lirpg_comes_through_the_updates_alone() -> None:
    """θ⁰ does not depend on φ: α Σ_i D_i Π_{j>i} (I + αH_j) v, with D_i = ∂∇_θJ/∂R by finite differences."""
    terms = product_terms(TASKS["LIRPG"], PHI, 2, 2.0)
    assert terms.start.abs().max() == terms.direct.abs().max() == 0
    for theta, jacobian in zip(terms.path, terms.jacobians, strict=False):

        def update(rewards: Tensor, theta: Tensor = theta) -> Tensor:
            return exact.gradient(MDP.replace(rewards=rewards), theta).flatten(-2)

        assert close(jacobian.transpose(-1, -2), finite_differences(update, MDP.rewards + PHI), 1e-7)
    v = exact.gradient(MDP, terms.path[-1]).flatten(-2).unsqueeze(-1)
    first, second = 2 * terms.jacobians[0] @ terms.factors[1] @ v, 2 * terms.jacobians[1] @ v
    assert close(terms.indirect[0].flatten(-2), first.squeeze(-1), 1e-12)
    assert close(terms.indirect[1].flatten(-2), second.squeeze(-1), 1e-12)
    assert all(x.abs().max() > 1e-4 for x in terms.indirect)


# --- the splice ----------------------------------------------------------------------------------------------------
def test_value_from_inner_and_derivative_from_hessian() -> None:
    """K = 1: MAML's is (I + αH_II(φ)) ∇J(φ + α g_I(φ)), with g_I and H_II from different oracles."""
    quiet = gl.Baseline(noise=0.0)
    inner, hessian = gl.Exact(horizon=3), gl.Expected(gl.LVC(), horizon=4, baseline=quiet)
    value = exact.value(MDP, PHI)
    theta_1 = PHI + 2 * exact.gradient(MDP, PHI, 3, value)
    leaf = PHI.clone().requires_grad_()
    surrogate = hessian.surrogate(gl.Problem(MDP, leaf))
    (first,) = torch.autograd.grad(surrogate.sum(), leaf, create_graph=True)
    v = exact.gradient(MDP, theta_1)
    (second,) = torch.autograd.grad((first * v).sum(), leaf)
    got = gl.meta_gradient(gl.MAML(MDP), PHI, 1, 2.0, inner=inner, hessian=hessian)
    assert close(got, v + 2 * second, 1e-12)


@pytest.mark.parametrize("n_inner_steps", [1, 3])
@BOTH
def test_same_oracle_in_a_new_object_gives_the_same(task, n_inner_steps: int) -> None:
    """Inner and Hessian from one evaluation or from two must agree."""
    oracle = gl.Expected(gl.LVC(), baseline=gl.Baseline(noise=0.0))
    together = gl.meta_gradient(task, PHI, n_inner_steps, 2.0, inner=oracle, hessian=oracle)
    apart = gl.meta_gradient(task, PHI, n_inner_steps, 2.0, inner=oracle, hessian=gl.Perturbed(oracle, 0.0))
    assert close(together, apart, 1e-12)


@BOTH
def test_outer_oracle_gives_the_outer_gradient_alone(task) -> None:
    """A T-step outer objective changes v and nothing else."""
    terms = product_terms(task, PHI, 1, 2.0)
    got = gl.meta_gradient(task, PHI, 1, 2.0, outer=gl.Exact(horizon=2, bootstrap=False))
    v = exact.gradient(MDP, terms.path[-1], 2).flatten(-2).unsqueeze(-1)
    matrix = terms.factors[0] if isinstance(task, gl.MAML) else 2 * terms.jacobians[0]
    assert close(got.flatten(-2), (matrix @ v).squeeze(-1), 1e-12)


@pytest.mark.parametrize("n_inner_steps", [1, 2])
@BOTH
def test_finite_horizon_inner_loop_by_finite_differences(task, n_inner_steps: int) -> None:
    """A T-step inner return is differentiated through each step, without bootstrap."""

    def objective(phi: Tensor) -> Tensor:
        theta = phi if isinstance(task, gl.MAML) else THETA_0
        rewards = MDP.rewards if isinstance(task, gl.MAML) else MDP.rewards + phi
        for _ in range(n_inner_steps):
            theta = theta + 2 * exact.gradient(MDP.replace(rewards=rewards), theta, 3)
        return exact.objective(MDP, theta)

    oracle = gl.Exact(horizon=3, bootstrap=False)
    got = gl.meta_gradient(task, PHI, n_inner_steps, 2.0, inner=oracle, hessian=oracle)
    assert (got.flatten(-2) - finite_differences(objective, PHI)).abs().max() < 1e-8


# --- batches and trials --------------------------------------------------------------------------------------------
@BOTH
def test_batch_elements_and_trials_are_those_alone(task) -> None:
    """φ of shape (3, 1, S, A) on four MDPs, and three trials in front: each with its own gradient."""
    wide = normal(3, 1, 3, 2, seed=5)
    together = gl.meta_gradient(task, wide, 2, 2.0)
    assert together.shape == (3, 4, 3, 2)
    trials = gl.meta_gradient(task, wide[1], 2, 2.0, n_trials=3)
    assert trials.shape == (3, 4, 3, 2)
    assert close(trials, together[1].expand(3, 4, 3, 2), 1e-12)
    for i in range(4):
        mdp = gl.TabularMDP(MDP.transitions[i], MDP.rewards[i], MDP.discount[i], MDP.start_state[i])
        alone = gl.MAML(mdp) if isinstance(task, gl.MAML) else gl.LIRPG(mdp, THETA_0[i])
        assert close(together[2, i], gl.meta_gradient(alone, wide[2, 0], 2, 2.0), 1e-11)
        assert close(gl.meta_gradient_by_product(task, wide, 2, 2.0)[2, i], together[2, i], 1e-10)


def test_many_phi_on_one_mdp() -> None:
    mdp = gl.random_mdp(3, 2)
    for task in (gl.MAML(mdp), gl.LIRPG(mdp, THETA_0[0])):
        together = gl.meta_gradient(task, PHI, 2, 2.0)
        assert together.shape == (4, 3, 2)
        assert close(together[2], gl.meta_gradient(task, PHI[2], 2, 2.0), 1e-12)


@pytest.mark.parametrize("make", [gl.Sampled, gl.Expected])
@BOTH
def test_without_baseline_in_any_batch(task, make) -> None:
    """No baseline is a baseline of zero: alone, in a batch of MDPs, and with trials in front of it."""
    settings = {"n_trajectories": 8} if make is gl.Sampled else {}
    oracle = make(gl.LoadedDiCE(), horizon=5, baseline=None, **settings)
    dice = make(gl.DiCE(), horizon=5, baseline=None, **settings)
    for n_trials, shape in ((None, (4, 3, 2)), (3, (3, 4, 3, 2))):
        found, wanted = (
            gl.meta_gradient(task, PHI, 2, 2.0, x, x, x, n_trials=n_trials, generator=seeded()) for x in (oracle, dice)
        )
        assert found.shape == shape
        assert close(found, wanted, 1e-10)
    one = gl.MAML(gl.random_mdp(3, 2))
    assert gl.meta_gradient(one, PHI[0], inner=oracle, generator=seeded()).shape == (3, 2)


def test_one_trial_still_adds_a_dimension() -> None:
    assert gl.meta_gradient(TASKS["MAML"], PHI, n_trials=1).shape == (1, 4, 3, 2)
    assert gl.meta_gradient(TASKS["MAML"], PHI).shape == (4, 3, 2)


def test_result_carries_no_graph_and_phi_stays_as_it_was() -> None:
    phi = PHI.clone().requires_grad_()
    found = gl.meta_gradient(TASKS["LIRPG"], phi, 2)
    assert not found.requires_grad
    assert phi.grad is None
    assert torch.equal(phi.detach(), PHI)


# --- identities of the meta-gradient --------------------------------------------------------------------------------
@pytest.mark.parametrize("n_inner_steps", [0, 1, 3])
def test_maml_gradient_sums_to_zero_at_each_state(n_inner_steps: int) -> None:
    """For every estimator, too: φ is a table of logits."""
    found = [gl.meta_gradient(TASKS["MAML"], PHI, n_inner_steps, 2.0)]
    for estimator in ESTIMATORS:
        oracle = gl.Sampled(estimator, 8, horizon=5)
        oracles = {"inner": oracle, "hessian": oracle, "outer": oracle}
        found.append(gl.meta_gradient(TASKS["MAML"], PHI, n_inner_steps, 2.0, generator=seeded(), **oracles))
    for gradient in found:
        assert gradient.abs().max() > 1e-3
        assert gradient.sum(-1).abs().max() < 1e-11


def test_lirpg_gradient_sums_to_zero_over_the_whole_table() -> None:
    """The same constant added to all rewards teaches nothing, though a constant at one state does."""
    found = gl.meta_gradient(TASKS["LIRPG"], PHI, 2, 2.0)
    assert found.sum((-1, -2)).abs().max() < 1e-12
    assert found.sum(-1).abs().max() > 1e-3


def lirpg_with_sampled_hessian(estimator, n_inner_steps: int = 1, gae_lambda: float = 0.9, grad_baseline: bool = True):
    """Everything exact but the Jacobian and the Hessian, on the same samples for every estimator."""
    hessian = gl.Sampled(estimator, 16, horizon=5, gae_lambda=gae_lambda, grad_baseline=grad_baseline)
    return gl.meta_gradient(TASKS["LIRPG"], PHI, n_inner_steps, 2.0, hessian=hessian, generator=seeded())


@pytest.mark.parametrize("grad_baseline", [True, False])
@pytest.mark.parametrize("gae_lambda", [1.0, 0.9])
@pytest.mark.parametrize("estimator", WITH_BASELINE, ids=str)
def test_lirpg_with_one_step_does_not_see_the_second_order(estimator, gae_lambda: float, grad_baseline: bool) -> None:
    """αD₀v: ∇_φ of the first-order gradient Σ γᵗÂ_t ∇ log π_t, which all estimators with a baseline share."""
    by_autodiff = lirpg_with_sampled_hessian(gl.AD(), 1, gae_lambda, grad_baseline)
    assert close(lirpg_with_sampled_hessian(estimator, 1, gae_lambda, grad_baseline), by_autodiff, 1e-12)


def test_dice_joins_where_the_baseline_is_free_of_phi_and_lambda_is_one() -> None:
    """Then ∂Â_t/∂φ = Σ_l γ^{l−t} ∂r_l/∂φ, the derivative of DiCE's return; with φ in V̂, or λ < 1, it is not."""
    dice = lirpg_with_sampled_hessian(gl.DiCE())
    assert close(lirpg_with_sampled_hessian(gl.LVC(), 1, 1.0, grad_baseline=False), dice, 1e-12)
    assert differ(lirpg_with_sampled_hessian(gl.LVC(), 1, 1.0, grad_baseline=True), dice)
    assert differ(lirpg_with_sampled_hessian(gl.LVC(), 1, 0.9, grad_baseline=False), dice)


def test_lirpg_with_two_steps_sees_the_second_order() -> None:
    assert differ(lirpg_with_sampled_hessian(gl.LVC(), 2), lirpg_with_sampled_hessian(gl.AD(), 2))
    assert differ(lirpg_with_sampled_hessian(gl.LoadedDiCE(), 2), lirpg_with_sampled_hessian(gl.LVC(), 2))
    assert close(lirpg_with_sampled_hessian(gl.TayPO2(), 2), lirpg_with_sampled_hessian(gl.LoadedDiCE(), 2), 1e-12)


def test_expected_jacobian_is_exact_where_the_baseline_is_differentiated_or_lambda_is_one() -> None:
    """K = 1: φ does not move the trajectories, so that autodiff is right; with a detached V̂ and λ < 1 it is not."""

    def relative_error(gae_lambda: float, grad_baseline: bool) -> float:
        oracle = gl.Expected(gl.AD(), 5, gae_lambda, gl.Baseline(noise=0.0), grad_baseline)
        found = gl.meta_gradient(TASKS["LIRPG"], PHI, 1, 2.0, hessian=oracle)
        target = gl.Exact(5) if grad_baseline else gl.Exact(5, bootstrap=False)
        wanted = gl.meta_gradient(TASKS["LIRPG"], PHI, 1, 2.0, hessian=target)
        return ((found - wanted).norm() / wanted.norm()).item()

    assert relative_error(1.0, True) < 1e-12
    assert relative_error(0.5, True) < 1e-12
    assert relative_error(1.0, False) < 1e-12
    assert relative_error(0.5, False) > 0.05
