"""Expected surrogates: against all trajectories of a tiny MDP, and what they say about each estimator's bias."""

from dataclasses import replace

import pytest
import torch
from helpers import (
    ESTIMATORS,
    WITH_BASELINE,
    batch_of_mdps,
    close,
    derivatives,
    differ,
    double,
    normal,
    seeded,
    steps_of,
    tiny_mdp,
)
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

TINY = tiny_mdp()
THETA, OTHER, BASELINE = normal(2, 2, seed=1), normal(2, 2, seed=2), normal(2, seed=3)
MDP = batch_of_mdps()
POLICIES = normal(4, 3, 2, seed=4)
QUIET = gl.Baseline(noise=0.0)


def both(
    estimator,
    horizon: int,
    off_policy: bool,
    gae_lambda: float | Tensor,
    theta: Tensor,
    rewards: Tensor,
    baseline: Tensor,
) -> tuple[Tensor, Tensor]:
    """The expected surrogate, and the mean of the surrogate over all trajectories of the behaviour policy."""
    behaviour = OTHER if off_policy else THETA
    mdp = TINY.replace(rewards=rewards)
    paths, probability = gl.enumerate_samples(TINY, behaviour, horizon)
    each = gae_lambda.unsqueeze(-1) if isinstance(gae_lambda, Tensor) else gae_lambda
    mean = (estimator.surrogate(steps_of(mdp, theta, paths, baseline, each)) * probability).sum(-1)
    expected = estimator.expected_surrogate(
        mdp, theta, behaviour=behaviour.softmax(-1), baseline=baseline, horizon=horizon, gae_lambda=gae_lambda
    )
    return expected, mean


CASES = [
    pytest.param(horizon, off_policy, gae_lambda, id=f"T={horizon}-{'off' if off_policy else 'on'}-{gae_lambda}")
    for horizon in (2, 3)
    for off_policy in (False, True)
    for gae_lambda in (1.0, 0.9, 0.0)
]


@pytest.mark.parametrize(("horizon", "off_policy", "gae_lambda"), CASES)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_expected_surrogate_is_the_mean_over_all_trajectories(
    estimator, horizon: int, off_policy: bool, gae_lambda: float
) -> None:
    """In value, gradient and Hessian, to 1e-12."""
    expected, mean = (
        derivatives(
            lambda x, i=i: both(estimator, horizon, off_policy, gae_lambda, x, TINY.rewards, BASELINE)[i], THETA
        )
        for i in range(2)
    )
    for got, wanted in zip(expected, mean, strict=True):
        assert (got - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("horizon", [2, 3])
@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", WITH_BASELINE, ids=str)
def test_a_batch_of_lambdas_on_one_mdp_is_the_mean_too(estimator, off_policy: bool, horizon: int) -> None:
    """As many λ as states, and as steps: a dimension that passed for another would show. With ∂L/∂λ and ∂²L/∂θ∂λ."""
    found = []
    for i in range(2):
        theta, gae_lambda = THETA.clone().requires_grad_(), double([0.2, 0.5, 0.9][:horizon]).requires_grad_()
        surrogate = both(estimator, horizon, off_policy, gae_lambda, theta, TINY.rewards, BASELINE)[i]
        assert surrogate.shape == (horizon,)
        by_theta, by_lambda = torch.autograd.grad(surrogate.sum(), (theta, gae_lambda), create_graph=True)
        (mixed,) = torch.autograd.grad((by_theta * OTHER).sum(), gae_lambda)
        found.append([surrogate, by_lambda, mixed])
    for got, wanted in zip(*found, strict=True):
        assert (got - wanted).abs().max() < 1e-12
    assert found[0][2].abs().min() > 1e-6


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_fixed_weights_are_the_mean_too(estimator, off_policy: bool) -> None:
    """∂L/∂γ and ∂²L/∂θ∂γ through the return alone, against steps whose weights γᵗ carry no graph."""
    behaviour = OTHER if off_policy else THETA
    paths, probability = gl.enumerate_samples(TINY, behaviour, 3)
    found = []
    for fixed in (True, False, None):
        theta, discount = THETA.clone().requires_grad_(), TINY.discount.clone().requires_grad_()
        mdp = TINY.replace(discount=discount)
        if fixed is None:
            weight = discount.detach() ** torch.arange(3)
            surrogate = probability @ estimator.surrogate(
                replace(steps_of(mdp, theta, paths, BASELINE, 0.7), weight=weight)
            )
        else:
            surrogate = estimator.expected_surrogate(mdp, theta, behaviour.softmax(-1), BASELINE, 3, 0.7, fixed)
        kwargs = {"create_graph": True, "materialize_grads": True}
        by_theta, by_discount = torch.autograd.grad(surrogate, (theta, discount), **kwargs)
        mixed = torch.autograd.grad((by_theta * OTHER).sum(), discount, materialize_grads=True)[0]
        found.append(torch.stack([surrogate, by_discount, mixed]).detach())
    assert (found[0] - found[2]).abs().max() < 1e-12
    assert differ(found[1], found[2])


@pytest.mark.parametrize(("horizon", "off_policy", "gae_lambda"), CASES)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_derivatives_in_rewards_and_baseline_agree_too(
    estimator, horizon: int, off_policy: bool, gae_lambda: float
) -> None:
    """∂L/∂R, ∂L/∂V̂, and the mixed ∂²L/∂θ∂R and ∂²L/∂θ∂V̂ that meta-learned rewards need."""
    mixed = []
    for i in range(2):
        theta, rewards, baseline = (x.clone().requires_grad_() for x in (THETA, TINY.rewards, BASELINE))
        surrogate = both(estimator, horizon, off_policy, gae_lambda, theta, rewards, baseline)[i]
        first = torch.autograd.grad(
            surrogate, (theta, rewards, baseline), create_graph=True, allow_unused=True, materialize_grads=True
        )
        entries = [
            torch.autograd.grad(
                entry, (rewards, baseline), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for entry in first[0].flatten()
        ]
        parts = [*first[1:], *(torch.stack(part) for part in zip(*entries, strict=True))]
        mixed.append([part.detach() for part in parts])
    for got, wanted in zip(*mixed, strict=True):
        assert (got - wanted).abs().max() < 1e-12
    assert mixed[1][2].abs().max() > 1e-3


def test_on_policy_is_the_default_behaviour() -> None:
    behaviour = POLICIES.softmax(-1)
    for estimator in ESTIMATORS:
        by_default = derivatives(lambda x, e=estimator: e.expected_surrogate(MDP, x, horizon=4), POLICIES)
        given = derivatives(lambda x, e=estimator: e.expected_surrogate(MDP, x, behaviour, horizon=4), POLICIES)
        for got, wanted in zip(by_default, given, strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_batch_elements_are_those_alone(estimator) -> None:
    """Discount, start distribution, policy, behaviour and baseline of each element are its own."""
    behaviour, baseline = normal(4, 3, 2, seed=5).softmax(-1), normal(4, 3, seed=6)
    together = estimator.expected_surrogate(MDP, POLICIES, behaviour, baseline, 5, 0.9)
    for i in range(4):
        alone = gl.TabularMDP(MDP.transitions[i], MDP.rewards[i], MDP.discount[i], MDP.start_state[i])
        one = estimator.expected_surrogate(alone, POLICIES[i], behaviour[i], baseline[i], 5, 0.9)
        assert abs(together[i] - one) < 1e-13


# --- what is unbiased, and against which target --------------------------------------------------------------------
def expected_derivatives(
    estimator, horizon: int = 5, baseline: Tensor | None = None, gae_lambda: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian at POLICIES, with exact values as baseline and bootstrap unless others are given."""
    baseline = exact.value(MDP, POLICIES) if baseline is None else baseline
    return derivatives(lambda x: estimator.expected_surrogate(MDP, x, None, baseline, horizon, gae_lambda), POLICIES)[
        1:
    ]


def true_derivatives(horizon: int | None = 5, terminal: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return (
        exact.gradient(MDP, POLICIES, horizon, terminal).flatten(-2),
        exact.hessian(MDP, POLICIES, horizon, terminal),
    )


@pytest.mark.parametrize("estimator", [gl.LoadedDiCE(), gl.TayPO2()], ids=str)
def test_loaded_dice_and_taypo2_are_unbiased_for_the_bootstrapped_return(estimator) -> None:
    """Gradient and Hessian of the T-step return with terminal value V̂, for any V̂."""
    terminal = normal(4, 3, seed=7)
    for got, wanted in zip(expected_derivatives(estimator, 5, terminal), true_derivatives(5, terminal), strict=True):
        assert close(got, wanted, 1e-12)


def test_dice_is_unbiased_for_the_return_without_bootstrap() -> None:
    for got, wanted in zip(expected_derivatives(gl.DiCE()), true_derivatives(5), strict=True):
        assert close(got, wanted, 1e-12)


@pytest.mark.parametrize("estimator", [gl.DiCE(), gl.LoadedDiCE()], ids=str)
def test_dice_and_loaded_dice_are_unbiased_off_policy(estimator) -> None:
    behaviour, terminal = normal(4, 3, 2, seed=8).softmax(-1), normal(4, 3, seed=7)
    found = derivatives(lambda x: estimator.expected_surrogate(MDP, x, behaviour, terminal, 5), POLICIES)[1:]
    for got, wanted in zip(found, true_derivatives(5, None if estimator == gl.DiCE() else terminal), strict=True):
        assert close(got, wanted, 1e-12)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC(), gl.TayPO2(), gl.LoadedDiCE(0.5)], ids=str)
def test_the_others_are_biased_off_policy(estimator) -> None:
    behaviour, terminal = normal(4, 3, 2, seed=8).softmax(-1), normal(4, 3, seed=7)
    found = derivatives(lambda x: estimator.expected_surrogate(MDP, x, behaviour, terminal, 5), POLICIES)[1:]
    for got, wanted in zip(found, true_derivatives(5, terminal), strict=True):
        assert differ(got, wanted)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC(), gl.LoadedDiCE(0.5), gl.LoadedDiCE(0.0)], ids=str)
def test_first_order_is_unbiased_and_second_order_is_not(estimator) -> None:
    terminal = normal(4, 3, seed=7)
    gradient, hessian = expected_derivatives(estimator, 5, terminal)
    true_gradient, true_hessian = true_derivatives(5, terminal)
    assert close(gradient, true_gradient, 1e-12)
    assert differ(hessian, true_hessian)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC(), gl.LoadedDiCE(), gl.TayPO2()], ids=str)
def test_gae_biases_the_gradient_unless_the_baseline_is_exact(estimator) -> None:
    value = exact.value(MDP, POLICIES)
    exactly = expected_derivatives(estimator, 5, value, 0.7)[0]
    assert close(exactly, true_derivatives(5, value)[0], 1e-12)
    wrong = value + 0.1 * normal(4, 3, seed=7)
    assert differ(expected_derivatives(estimator, 5, wrong, 0.7)[0], true_derivatives(5, wrong)[0])


# --- the Hessian in parts ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gae_lambda", [1.0, 0.7, 0.0])
def test_hessian_of_autodiff_is_zero_with_an_exact_baseline(gae_lambda: float) -> None:
    """∇² log π(a|s) does not depend on a, and E_a[A] = 0: for every horizon and λ."""
    for horizon in (1, 5, 20):
        gradient, hessian = expected_derivatives(gl.AD(), horizon, None, gae_lambda)
        assert gradient.abs().max() > 1e-3
        assert hessian.abs().max() < 1e-14


def test_one_step_maml_by_autodiff_is_first_order_maml() -> None:
    """∇_φ J(φ + α ∇J) with the expected AD Hessian is ∇J(θ¹), which stops at the inner step."""
    theta_1 = POLICIES + 2.0 * exact.gradient(MDP, POLICIES)
    by_autodiff = gl.meta_gradient(gl.MAML(MDP), POLICIES, 1, 2.0, hessian=gl.Expected(gl.AD(), baseline=QUIET))
    assert close(by_autodiff, exact.gradient(MDP, theta_1), 1e-12)
    assert differ(by_autodiff, gl.meta_gradient(gl.MAML(MDP), POLICIES, 1, 2.0))


@pytest.mark.parametrize("horizon", [1, 3, 20])
def test_hessian_of_autodiff_given_an_inexact_baseline(horizon: int) -> None:
    """V̂ = V + ε: block (Σ_{t<T} γᵗ d_t(s) [ε(s) − γ^{T−t} (P_π^{T−t} ε)(s)]) (diag π_s − π_s π_sᵀ)."""
    error = normal(4, 3, seed=9)
    policy = POLICIES.softmax(-1)
    chain = exact.transition_matrix(MDP, policy)
    state, size = MDP.start_distribution, torch.zeros(4, 3, dtype=torch.float64)
    discount = MDP.discount.unsqueeze(-1)
    for t in range(horizon):
        left = horizon - t
        ahead = (torch.linalg.matrix_power(chain, left) @ error.unsqueeze(-1)).squeeze(-1)
        size += discount**t * state * (error - discount**left * ahead)
        state = (state.unsqueeze(-2) @ chain).squeeze(-2)
    blocks = torch.diag_embed(policy) - policy.unsqueeze(-1) * policy.unsqueeze(-2)
    wanted = torch.stack([torch.block_diag(*(size[i, s] * blocks[i, s] for s in range(3))) for i in range(4)])
    got = expected_derivatives(gl.AD(), horizon, exact.value(MDP, POLICIES) + error)[1]
    assert close(got, wanted, 1e-12)


def test_lvc_keeps_the_part_of_the_same_time_and_drops_the_rest() -> None:
    """Hessian = H₁ + H₁₂ + H₁₂ᵀ with exact V̂ (H₂ = 0); LVC has H₁, which is block-diagonal in the state."""
    value = exact.value(MDP, POLICIES)
    lvc = expected_derivatives(gl.LVC())[1]
    policy = POLICIES.softmax(-1)
    advantage = exact.action_value(MDP, POLICIES) - value.unsqueeze(-1)
    weight = exact.occupancy(MDP, POLICIES, 5).unsqueeze(-1) * policy * advantage
    score = torch.eye(2, dtype=torch.float64) - policy.unsqueeze(-2)
    h_1 = torch.einsum("nsa,nsai,nsaj->nsij", weight, score, score)
    assert close(lvc, torch.stack([torch.block_diag(*h_1[i]) for i in range(4)]), 1e-12)
    assert differ(lvc, true_derivatives(5, value)[1])


def test_lvc_drops_about_half_of_the_hessian_on_the_papers_mdps() -> None:
    """At the uniform policy, in Frobenius norm, on ten MDPs of Table 2."""
    mdp, theta = gl.random_mdp(seed=range(10)), torch.zeros(10, 20, 5, dtype=torch.float64)
    value = exact.value(mdp, theta)
    lvc = derivatives(lambda x: gl.LVC().expected_surrogate(mdp, x, None, value), theta)[2]
    whole = exact.hessian(mdp, theta, 20, value)
    share = (whole - lvc).norm(dim=(-2, -1)) / whole.norm(dim=(-2, -1))
    assert 0.4 < share.min() < share.max() < 0.65


def test_horizon_part() -> None:
    """∇J_∞ − ∇J_{T,V} = γᵀ E[∇V(s_T)]: V at the end of the T steps is not differentiated."""
    value = exact.value(MDP, POLICIES)
    leaf = POLICIES.clone().requires_grad_()
    columns = exact.value(MDP, leaf)
    slopes = [torch.autograd.grad(columns[:, s].sum(), leaf, retain_graph=True)[0] for s in range(3)]
    chain = torch.linalg.matrix_power(exact.transition_matrix(MDP, POLICIES.softmax(-1)), 5)
    last = (MDP.start_distribution.unsqueeze(-2) @ chain).squeeze(-2)
    wanted = MDP.discount[:, None, None] ** 5 * torch.einsum("ns,snij->nij", last, torch.stack(slopes))
    assert close(exact.gradient(MDP, POLICIES) - exact.gradient(MDP, POLICIES, 5, value), wanted, 1e-12)
    assert wanted.abs().max() > 1e-3


# --- the same through the oracles ----------------------------------------------------------------------------------
def oracle_derivatives(oracle) -> tuple[Tensor, ...]:
    return derivatives(lambda x: oracle.surrogate(gl.Problem(MDP, x), seeded() if oracle.is_random else None), POLICIES)


@pytest.mark.parametrize("horizon", [1, 5])
def test_exact_oracle_with_a_horizon_is_the_target_of_loaded_dice(horizon: int) -> None:
    target = oracle_derivatives(gl.Exact(horizon=horizon))
    expected = oracle_derivatives(gl.Expected(gl.LoadedDiCE(), horizon, baseline=QUIET))
    assert close(expected[1], target[1], 1e-12)
    assert close(expected[2], target[2], 1e-12)
    assert close(target[0], exact.objective(MDP, POLICIES), 1e-12)


def test_exact_oracle_without_bootstrap_is_the_target_of_dice() -> None:
    target = oracle_derivatives(gl.Exact(horizon=5, bootstrap=False))
    for got, wanted in zip(oracle_derivatives(gl.Expected(gl.DiCE(), 5)), target, strict=True):
        assert close(got, wanted, 1e-12)
    assert differ(target[1], oracle_derivatives(gl.Exact(horizon=5))[1])


def test_exact_oracle_without_a_horizon_is_the_objective() -> None:
    value, gradient, hessian = oracle_derivatives(gl.Exact())
    assert close(value, exact.objective(MDP, POLICIES), 1e-13)
    assert close(gradient, exact.gradient(MDP, POLICIES).flatten(-2), 1e-12)
    assert close(hessian, exact.hessian(MDP, POLICIES), 1e-12)


def test_perturbed_hessian_is_off_by_what_was_asked_for() -> None:
    """mean(θ² ⊙ M) adds 2 θ M / (S A) to the gradient and diag(2 M / (S A)) to the Hessian."""
    curvature = normal(3, 2, seed=10)
    clean, wrong = oracle_derivatives(gl.Exact()), oracle_derivatives(gl.Perturbed(gl.Exact(), curvature))
    assert close(wrong[1] - clean[1], (POLICIES * curvature / 3).flatten(-2), 1e-12)
    assert close(wrong[2] - clean[2], (curvature / 3).flatten().diag().expand(4, 6, 6), 1e-12)


def test_expected_oracle_uses_the_noise_of_the_baseline() -> None:
    """A fixed ε: V̂ = V + ε ‖V‖₂ / S, as the one that `Baseline` reports."""
    baseline = gl.Baseline(noise=0.5, seed=3)
    value = baseline.values(gl.Problem(MDP, POLICIES), None).squeeze(-2)
    error = value - exact.value(MDP, POLICIES)
    scale = 0.5 * exact.value(MDP, POLICIES).norm(dim=-1, keepdim=True) / 3
    assert close(error / scale, (error / scale)[:1].expand(4, 3), 1e-12)
    got = oracle_derivatives(gl.Expected(gl.AD(), 5, baseline=baseline))
    assert close(got[2], expected_derivatives(gl.AD(), 5, value)[1], 1e-12)
    assert differ(got[2], oracle_derivatives(gl.Expected(gl.AD(), 5, baseline=gl.Baseline(noise=0.5, seed=4)))[2])


def test_noise_of_each_trajectory_leaves_no_trace_in_the_expectation() -> None:
    """Surrogates are affine in V̂, so that the mean over ε is the surrogate at its mean."""
    each = gl.Expected(gl.AD(), 5, baseline=gl.Baseline(noise=1.0, per="trajectory"))
    assert not each.is_random
    quiet = oracle_derivatives(gl.Expected(gl.AD(), 5, baseline=QUIET))
    for got, wanted in zip(oracle_derivatives(each), quiet, strict=True):
        assert torch.equal(got, wanted)
