"""MGRL: discount and GAE λ as meta-parameters, with the full derivative and with the return's alone."""

import pytest
import torch
from helpers import ESTIMATORS, close, differ, double, finite_differences, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

MDP = gl.random_mdp(4, 3, discount=0.9, concentration=0.5, seed=range(3))
THETA_0 = normal(3, 4, 3, seed=1)
GAMMA, LAMBDA = double([0.7, 0.8, 0.95]), 0.6
PHI = gl.MGRL.phi(GAMMA, LAMBDA)
FORMS = pytest.mark.parametrize("derivative", ["full", "return"])
QUIET = gl.Baseline(noise=0.0)


def task(derivative: str = "full", mdp: gl.TabularMDP = MDP, theta_0: Tensor = THETA_0) -> gl.MGRL:
    return gl.MGRL(mdp, theta_0, derivative)


def update(phi: Tensor, weights: Tensor, theta: Tensor, horizon: int | None = None) -> Tensor:
    """The inner gradient with one discount in the return and one in the weights: d(weights) · π · A(return)."""
    of_return = MDP.replace(discount=phi[..., 0].sigmoid())
    terminal = None if horizon is None else exact.value(of_return, theta)
    chains = [exact.chain_of(mdp, theta) for mdp in (of_return, MDP.replace(discount=weights))]
    visits = chains[1].occupancy().unsqueeze(0) if horizon is None else chains[1].visits(horizon)
    return (visits.unsqueeze(-1) * chains[0].policy * chains[0].advantage(horizon, terminal)).sum(0)


def meta_objective(phi: Tensor, derivative: str, n_inner_steps: int, inner_lr: float) -> Tensor:
    """J^K(φ); in the "return" form the weights keep the discount of PHI when φ moves."""
    theta = THETA_0
    for _ in range(n_inner_steps):
        weights = phi[..., 0].sigmoid() if derivative == "full" else GAMMA
        theta = theta + inner_lr * update(phi, weights, theta)
    return exact.objective(MDP, theta)


@FORMS
@pytest.mark.parametrize("n_inner_steps", range(6))
def test_product_agrees_with_autodiff(derivative: str, n_inner_steps: int) -> None:
    product = gl.meta_gradient_by_product(task(derivative), PHI, n_inner_steps, 2.0)
    assert product.shape == (3, 2)
    assert close(gl.meta_gradient(task(derivative), PHI, n_inner_steps, 2.0), product, 1e-10)


@FORMS
@pytest.mark.parametrize("n_inner_steps", [1, 2, 4])
def test_meta_gradient_agrees_with_finite_differences(derivative: str, n_inner_steps: int) -> None:
    """The return form too, though its field is no gradient once φ has moved: at φ its θ-derivative is the Hessian."""
    found = gl.meta_gradient(task(derivative), PHI, n_inner_steps, 2.0)
    numeric = finite_differences(lambda phi: meta_objective(phi, derivative, n_inner_steps, 2.0), PHI, n_dims=1)
    assert close(found, numeric, 1e-6)


def test_the_exact_lambda_column_is_zero() -> None:
    for derivative in ("full", "return"):
        found = gl.meta_gradient(task(derivative), PHI, 3, 2.0)
        assert found[:, 1].abs().max() == 0
        assert found[:, 0].abs().min() > 1e-3


def test_lambda_matters_where_values_are_wrong() -> None:
    """With exact values every λ has the same expected update; with noisy ones its derivative is not zero."""
    quiet = gl.meta_gradient(task(), PHI, 1, 2.0, hessian=gl.Expected(gl.LVC(), baseline=QUIET))
    noisy = gl.meta_gradient(task(), PHI, 1, 2.0, hessian=gl.Expected(gl.LVC(), baseline=gl.Baseline(seed=1)))
    assert quiet[:, 1].abs().max() < 1e-12
    assert noisy[:, 1].abs().min() > 1e-5


def test_both_forms_step_to_the_same_place_and_differentiate_differently() -> None:
    """On these three MDPs the return form keeps 3% of the full one at most, and on two of them its sign turns."""
    full, returns = (gl.meta_gradient(task(form), PHI, 1, 2.0)[:, 0] for form in ("full", "return"))
    paths = [gl.meta_gradient_by_product(task(form), PHI, 2, 2.0, terms=True).path for form in ("full", "return")]
    assert all(close(a, b, 1e-12) for a, b in zip(*paths, strict=True))
    assert full.min() > 0.3
    assert close(returns / full, double([-0.0051, 0.0304, -0.0006]), 0.01)
    assert ((full - returns).norm() / full.norm()).item() == pytest.approx(0.991, abs=0.001)


def test_paper_size_gap_of_the_two_forms() -> None:
    """Ten MDPs of the paper's kind at γ_φ = 0.8, α = 10: the return form keeps 1% to 13% of the full one."""
    mdp, zeros = gl.random_mdp(seed=range(10)), torch.zeros(20, 5, dtype=torch.float64)
    phi = gl.MGRL.phi(0.8, 0.95)
    full, returns = (gl.meta_gradient(gl.MGRL(mdp, zeros, form), phi)[:, 0] for form in ("full", "return"))
    kept = returns / full
    assert kept.min().item() == pytest.approx(0.0065, abs=0.0005)
    assert kept.max().item() == pytest.approx(0.128, abs=0.001)


@FORMS
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_expected_agrees_with_enumeration(derivative: str, estimator) -> None:
    """Every sample of a tiny MDP: first order, Hessian and mixed derivative, with φ in discount, λ and V̂."""
    tiny = gl.random_mdp(2, 2, concentration=1.0, seed=3)
    theta = 0.3 * normal(2, 2, seed=1)
    phi = gl.MGRL.phi(0.7, 0.4)
    own = task(derivative, tiny, theta)
    samples, probability = gl.enumerate_samples(tiny, theta, 3)
    settings = {"horizon": 3, "gae_lambda": 1.0, "baseline": gl.Baseline(seed=2)}

    def derivatives(oracle, weights: Tensor) -> tuple[Tensor, ...]:
        copies = [x.expand(len(weights), *x.shape).clone().requires_grad_() for x in (phi, theta)]
        step = torch.autograd.grad(
            (oracle.surrogate(own.inner(*copies), seeded()) * weights).sum(), copies[1], create_graph=True
        )[0]
        direction = normal(2, 2, seed=4)
        second = torch.autograd.grad((step * direction).sum(), copies, materialize_grads=True)
        return step.detach().sum(0), second[0].sum(0), second[1].sum(0)

    sampled = derivatives(gl.Sampled(estimator, 1, trajectories=samples, **settings), probability)
    expected = derivatives(gl.Expected(estimator, **settings), torch.ones(1, dtype=torch.float64))
    assert all(close(a, b, 1e-11) for a, b in zip(sampled, expected, strict=True))
    if estimator == gl.DiCE():  # no λ, and no φ but in the weights, which the return form holds fixed
        assert sampled[1][1] == 0
        assert (sampled[1][0] == 0) == (derivative == "return")
    else:
        assert sampled[1].abs().min() > 1e-6


@FORMS
def test_unbiased_estimators_have_the_exact_mixed_derivative(derivative: str) -> None:
    """K = 1 with exact values: D₀ needs no Hessian, so that AD is right too, against the same horizon."""
    wanted = gl.meta_gradient(task(derivative), PHI, 1, 2.0, hessian=gl.Exact(5))
    for estimator in (gl.AD(), gl.LVC(), gl.LoadedDiCE()):
        oracle = gl.Expected(estimator, 5, baseline=QUIET)
        assert close(gl.meta_gradient(task(derivative), PHI, 1, 2.0, hessian=oracle), wanted, 1e-11)


def test_two_steps_see_the_hessian() -> None:
    """K = 1 hides what K = 2 shows: AD's Hessian is not the true one."""
    exactly = gl.meta_gradient(task(), PHI, 2, 2.0, hessian=gl.Exact(5))
    assert differ(gl.meta_gradient(task(), PHI, 2, 2.0, hessian=gl.Expected(gl.AD(), 5, baseline=QUIET)), exactly)
    loaded = gl.Expected(gl.LoadedDiCE(), 5, baseline=QUIET)
    assert close(gl.meta_gradient(task(), PHI, 2, 2.0, hessian=loaded), exactly, 1e-10)


@FORMS
def test_trials_and_batches(derivative: str) -> None:
    phi = gl.MGRL.phi(double([[0.5], [0.9]]), 0.9)  # (2, 1, 2): two φ on three MDPs
    oracle = gl.Sampled(gl.LVC(), 4)
    own = task(derivative)
    found = gl.meta_gradient(own, phi, 2, 2.0, oracle, oracle, oracle, n_trials=5, generator=gl.generators(0, 5))
    assert found.shape == (5, 2, 3, 2)
    for hessian in (gl.Exact(), gl.Expected(gl.LVC(), 5, baseline=gl.Baseline(seed=1))):
        together = gl.meta_gradient(own, phi, 2, 2.0, hessian=hessian)
        for i in range(3):
            alone = task(derivative, gl.random_mdp(4, 3, discount=0.9, concentration=0.5, seed=i), THETA_0[i])
            assert close(together[1, i], gl.meta_gradient(alone, phi[1, 0], 2, 2.0, hessian=hessian), 1e-12)


def test_phi_is_made_of_a_discount_and_a_lambda() -> None:
    assert close(PHI.sigmoid(), torch.stack([GAMMA, torch.full((3,), LAMBDA, dtype=torch.float64)], -1), 1e-14)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="derivative: got 'half', allowed is one of 'full', 'return'"):
        task("half")
    with pytest.raises(ValueError, match=r"initial_theta: got shape \(3, 4, 2\)"):
        gl.MGRL(MDP, THETA_0[..., :2])
    with pytest.raises(ValueError, match=r"phi: got shape \(3,\)"):
        gl.meta_gradient(task(), normal(3))
    with pytest.raises(ValueError, match=r"discount: got 1\.2, allowed is the interval \(0, 1\)"):
        gl.MGRL.phi(1.2, 0.5)
    with pytest.raises(ValueError, match=r"gae_lambda: got 0\.0, allowed is the interval \(0, 1\)"):
        gl.MGRL.phi(0.9, double([0.5, 0.0]))
    with pytest.raises(ValueError, match=r"discount: got 1\.0"):
        gl.meta_gradient(task(), double([50.0, 0.0]))
