"""The constants along a path: what each is on problems where it is known, and that the bounds then hold there."""

import pytest
import torch
from helpers import normal, seeded, tiny_mdp

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.bounds import Constants, compositional_bias, global_constants, local_constants, theorem
from gmrl_lab.bounds.inequalities import BIAS_FORMS
from gmrl_lab.curvature import estimated_hessian

QUIET = gl.Baseline(noise=0.0)
MDP = gl.random_mdp(4, 3, concentration=0.5, seed=1)
ZEROS = torch.zeros(4, 3, dtype=torch.float64)
TASKS = {"MAML": gl.MAML(MDP), "LIRPG": gl.LIRPG(MDP, ZEROS)}


def sampled(n: int = 32, horizon: int = 20, estimator=gl.LVC()) -> gl.Sampled:  # noqa: B008
    return gl.Sampled(estimator, n, horizon, baseline=QUIET)


def measured(name: str, k: int = 2, alpha: float = 2.0, **settings) -> Constants:
    own = {"inner": sampled(), "target": gl.Exact(20), "generator": seeded()} | settings
    return local_constants(TASKS[name], ZEROS, k, alpha, **own)


def test_norms_are_those_of_the_closed_forms() -> None:
    """At K = 1 all paths start at one point: c₂ and c₁ are norms of matrices that are known there."""
    found = measured("LIRPG", k=1, target=gl.Exact())
    assert found.c2 == pytest.approx(torch.linalg.matrix_norm(exact.hessian(MDP, ZEROS), 2).item())
    rewards = MDP.rewards.clone().requires_grad_()
    gradient = exact.gradient(MDP.replace(rewards=rewards), ZEROS).flatten()
    rows = [torch.autograd.grad(x, rewards, retain_graph=True)[0].flatten() for x in gradient]
    assert found.c1 == pytest.approx(torch.linalg.matrix_norm(torch.stack(rows), 2).item())
    assert found.rho1 == found.rho2 == 0
    end = ZEROS + 2.0 * exact.gradient(MDP, ZEROS)
    assert found.m2 >= exact.gradient(MDP, end).norm().item() * (1 - 1e-12)
    assert found.mu2 >= torch.linalg.matrix_norm(exact.hessian(MDP, end), 2).item() * (1 - 1e-12)
    assert found.kind == "local"


def test_maml_has_no_jacobian_and_no_direct_term() -> None:
    found = measured("MAML", hessian=sampled(), outer=sampled())
    assert found.c1 == found.rho1 == found.delta_j == found.sigma_j == found.mu1 == found.sigma_1 == 0
    assert min(found.c2, found.rho2, found.m2, found.mu2, found.C1, found.sigma_h, found.sigma_2) > 0


def test_lola_has_a_direct_term_that_moves() -> None:
    coin = torch.zeros(5, dtype=torch.float64)
    task = gl.LOLA(gl.IPD(0.9), coin)
    oracle = sampled(estimator=gl.LoadedDiCE())
    found = local_constants(task, coin, 2, 1.0, inner=oracle, hessian=oracle, target=gl.Exact(20), generator=seeded())
    assert found.mu1 > 0
    assert found.delta_h < 1e-12  # Loaded DiCE is unbiased
    assert found.sigma_h > 0


def test_hessian_errors_are_those_of_the_expected_surrogate_and_of_many_samples() -> None:
    """Δ_H at θ⁰ exactly; σ_H from 400 samples, of 8 states and actions few enough for its eigenvalue to settle."""
    found = measured("MAML", k=1, hessian=sampled(), n_points=400)
    expected = estimated_hessian(MDP, ZEROS, gl.Expected(gl.LVC(), baseline=QUIET))
    wanted = torch.linalg.matrix_norm(expected - exact.hessian(MDP, ZEROS, 20, exact.value(MDP, ZEROS)), 2)
    assert found.delta_h == pytest.approx(wanted.item(), rel=1e-9)
    trials = estimated_hessian(MDP, ZEROS, sampled(), 2000, seeded(5)) - expected
    sigma = torch.linalg.matrix_norm((trials.mT @ trials).mean(0), 2).sqrt().item()
    assert found.sigma_h == pytest.approx(sigma, rel=0.15)


def test_sigma_is_per_trajectory() -> None:
    """Four times the trajectories leave it, and it is the root of the trace of one trajectory's covariance."""
    few, many = (measured("MAML", k=1, inner=sampled(n), n_points=2000).sigma_in for n in (8, 32))
    assert few == pytest.approx(many, rel=0.1)
    one = gl.assumptions.gradient_moments(
        tiny_mdp(),
        torch.zeros(2, 2, dtype=torch.float64),
        sampled(1, 2),
        gl.Exact(2),
        torch.zeros(2, 2, dtype=torch.float64),
    )
    task, zeros = gl.MAML(tiny_mdp()), torch.zeros(2, 2, dtype=torch.float64)
    found = local_constants(
        task, zeros, 1, 1.0, inner=sampled(4, 2), target=gl.Exact(2), n_points=4000, generator=seeded()
    )
    assert found.sigma_in == pytest.approx(one.variance.sqrt().item(), rel=0.05)


@pytest.mark.parametrize("alpha", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_exact_bias_stays_below_all_three_forms(n: int, alpha: float) -> None:
    """All samples of a tiny MDP at K = 1: the true bias of the outer gradient, and bounds with measured constants."""
    mdp = tiny_mdp()
    theta = 0.3 * normal(2, 2, seed=1)
    task = gl.MAML(mdp)
    constants = local_constants(
        task, theta, 1, alpha, inner=sampled(n, 2), target=gl.Exact(2), n_points=64, generator=seeded()
    )
    every, probability = gl.enumerate_samples(mdp, theta, 2, n)
    logits = theta.expand(len(probability), 2, 2).clone().requires_grad_()
    stored = gl.Sampled(gl.LVC(), n, 2, baseline=QUIET, trajectories=every)
    (step,) = torch.autograd.grad(stored.surrogate(gl.Problem(mdp, logits)).sum(), logits)
    mean = torch.einsum("m,msa->sa", probability, exact.gradient(mdp, theta + alpha * step))
    target = theta + alpha * exact.gradient(mdp, theta, 2, exact.value(mdp, theta))
    bias = (mean - exact.gradient(mdp, target)).norm().item()
    assert bias > 0
    for form in BIAS_FORMS:
        assert bias <= compositional_bias(constants, 1, alpha, n, form)


def test_theorem_holds_with_measured_constants() -> None:
    """SSS on the paper's MDP, K = 2: the debiased bias less two standard errors, and the variance less a tenth."""
    task, phi = gl.MAML(gl.random_mdp(seed=3)), torch.zeros(20, 5, dtype=torch.float64)
    oracle = sampled()
    own = {"inner": oracle, "hessian": oracle, "outer": oracle}
    constants = local_constants(task, phi, 2, 3.0, **own, target=gl.Exact(20), generator=seeded())
    bound = theorem(constants, 2, 3.0, 32, start_is_phi=True)
    target = gl.Exact(20)
    exact_one = gl.meta_gradient(task, phi, 2, 3.0, inner=target, hessian=target, outer=target)
    found = gl.meta_gradient(task, phi, 2, 3.0, **own, n_trials=200, generator=gl.generators(0, 200))
    bias = gl.bias(found, exact_one)
    assert bias.squared_norm - 2 * bias.standard_error <= bound.bias**2
    assert 0.9 * gl.covariance_trace(found) <= bound.variance


def test_global_constants_are_above_the_local_ones() -> None:
    found, worst = measured("LIRPG", hessian=sampled()), global_constants(0.8)
    for name in ("c1", "c2", "rho1", "rho2", "m2", "mu2", "sigma_in", "C1"):
        assert getattr(found, name) < getattr(worst, name), name
    assert worst.rho2 > 1000 * found.rho2


def test_same_seed_same_constants() -> None:
    assert measured("MAML") == measured("MAML")
    assert measured("MAML") != measured("MAML", generator=seeded(1))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="n_points: got 1"):
        measured("MAML", n_points=1)
    with pytest.raises(ValueError, match="n_inner_steps: got 0"):
        measured("MAML", k=0)
    batch = gl.MAML(gl.random_mdp(4, 3, seed=[0, 1]))
    with pytest.raises(ValueError, match=r"phi: got shape \(4, 3\), task batch \(2,\), allowed is one φ of one task"):
        local_constants(batch, ZEROS, inner=sampled(), generator=seeded())
    with pytest.raises(ValueError, match=r"phi: got shape \(2, 4, 3\)"):
        local_constants(TASKS["MAML"], ZEROS.expand(2, 4, 3), inner=sampled(), generator=seeded())
