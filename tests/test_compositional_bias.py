"""The compositional bias without Monte Carlo: every possible sample of a tiny MDP, and then with Monte Carlo.

Lemma 4.4's subject: the outer gradient at a sampled θ¹ is biased although the inner gradient is not, since
E f(θ̂¹) ≠ f(E θ̂¹). On two states, two actions and T = 2 there are 16 trajectories, and E is a sum.
"""

import pytest
import torch
from helpers import close, differ, normal, seeded, tiny_mdp
from torch import Tensor

import gmrl_lab as gl

MDP = tiny_mdp()
PHI = 0.3 * normal(2, 2, seed=1)
TASKS = {"MAML": gl.MAML(MDP), "LIRPG": gl.LIRPG(MDP, PHI)}  # θ⁰ = PHI in both: the same trajectories
BOTH = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
QUIET = gl.Baseline(noise=0.0)
TARGETS = {gl.LVC(): gl.Exact(2), gl.LoadedDiCE(): gl.Exact(2), gl.DiCE(): gl.Exact(2, bootstrap=False)}
"""The exact inner oracle that each estimator is unbiased for."""
ESTIMATORS = pytest.mark.parametrize("estimator", TARGETS, ids=str)
ALPHA = 0.5


def meta(task: gl.Task, **settings) -> Tensor:
    return gl.meta_gradient(task, PHI, 1, ALPHA, **settings)


def exact_bias(task: gl.Task, estimator, n: int) -> Tensor:
    """E[meta-gradient with n sampled inner trajectories] − the one with the exact inner gradient; outer exact."""
    samples, probability = gl.enumerate_samples(MDP, PHI, 2, n)
    inner = gl.Sampled(estimator, n, horizon=2, baseline=QUIET, trajectories=samples)
    found = meta(task, inner=inner, n_trials=len(probability))
    return torch.einsum("m,msa->sa", probability, found) - meta(task, inner=TARGETS[estimator])


def test_the_inner_gradient_itself_is_unbiased() -> None:
    """So that what follows is bias of the composition alone."""
    for estimator, target in TARGETS.items():
        samples, probability = gl.enumerate_samples(MDP, PHI, 2, 2)
        logits = PHI.expand(len(probability), 2, 2).clone().requires_grad_()
        oracle = gl.Sampled(estimator, 2, horizon=2, baseline=QUIET, trajectories=samples)
        (found,) = torch.autograd.grad(oracle.surrogate(gl.Problem(MDP, logits)).sum(), logits)
        leaf = PHI.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(target.surrogate(gl.Problem(MDP, leaf)), leaf)
        assert close(torch.einsum("m,msa->sa", probability, found), wanted, 1e-12)


@BOTH
@ESTIMATORS
def test_composition_is_biased_and_its_bias_falls_like_one_over_n(task, estimator) -> None:
    """b(n) = b₁/n + O(1/n²): it falls, n b(n) settles, and √n b(n) does not."""
    bias = [exact_bias(task, estimator, n) for n in (1, 2, 3, 4)]
    size = [b.norm().item() for b in bias]
    assert size[0] > 1e-4
    assert size[0] > size[1] > size[2] > size[3]
    scaled = [n * b for n, b in enumerate(bias, 1)]
    steps = [(scaled[i + 1] - scaled[i]).norm().item() for i in range(3)]
    assert steps[0] > steps[1] > steps[2]
    assert steps[2] < 0.05 * scaled[3].norm().item()
    assert 2 * size[3] < 0.6 * size[0]


@BOTH
def test_the_one_over_n_constant_is_the_curvature_of_the_outer_gradient(task) -> None:
    """n b(n) → ½ α² Σ_{ij} Cov(ĝ)_{ij} ∂²f/∂θ_i∂θ_j, f(θ) = (I + αH) ∇J(θ) or αD₀ ∇J(θ), by finite differences."""
    samples, probability = gl.enumerate_samples(MDP, PHI, 2, 1)
    logits = PHI.expand(len(probability), 2, 2).clone().requires_grad_()
    oracle = gl.Sampled(gl.LVC(), 1, horizon=2, baseline=QUIET, trajectories=samples)
    mdp = task.inner(PHI, PHI).mdp
    (gradients,) = torch.autograd.grad(oracle.surrogate(gl.Problem(mdp, logits)).sum(), logits)
    centre = torch.einsum("m,msa->sa", probability, gradients)

    class Jump:
        """An inner oracle whose update is any given table."""

        is_random = False

        def __init__(self, update: Tensor) -> None:
            self.update = update

        def surrogate(self, problem: gl.Problem, generator=None) -> Tensor:
            return (problem.logits * self.update).sum((-1, -2))

    def f(update: Tensor) -> Tensor:
        return meta(task, inner=Jump(update), n_trials=len(probability))

    h = 1e-3
    shift = gradients - centre
    second = (f(centre + h * shift) + f(centre - h * shift) - 2 * f(centre)) / h**2
    constant = torch.einsum("m,msa->sa", probability, second) / 2
    scaled = {n: n * exact_bias(task, gl.LVC(), n) for n in (2, 4)}
    limit = 2 * scaled[4] - scaled[2]  # Richardson: n b(n) = b₁ + b₂/n + O(1/n²)
    assert close(limit, constant, 1e-3)


@BOTH
@ESTIMATORS
def test_exact_inner_gradient_leaves_no_bias(task, estimator) -> None:
    """With an outer estimator that is unbiased at its own horizon: outer samples are linear in the result."""
    inner = TARGETS[estimator]
    leaf = PHI.clone().requires_grad_()
    theta = task.theta_0(leaf)
    theta = theta if theta.requires_grad else theta.clone().requires_grad_()
    theta_1 = (theta + ALPHA * task.inner_update(leaf, theta, inner)).detach()
    samples, probability = gl.enumerate_samples(MDP, theta_1, 2, 2)
    outer = gl.Sampled(estimator, 2, horizon=2, baseline=QUIET, trajectories=samples)
    found = meta(task, inner=inner, outer=outer, n_trials=len(probability))
    mean = torch.einsum("m,msa->sa", probability, found)
    wanted = meta(task, inner=inner, outer=TARGETS[estimator])
    assert close(mean, wanted, 1e-11)
    assert (found - wanted).flatten(1).norm(dim=-1).max() > 0.1 * wanted.norm()


@pytest.mark.parametrize("estimator", [gl.LoadedDiCE(), gl.TayPO2()], ids=str)
def test_an_unbiased_hessian_leaves_no_bias_with_one_step(estimator) -> None:
    """MAML, K = 1: fresh samples for the Hessian are linear in the result. LVC's and AD's are not unbiased."""
    samples, probability = gl.enumerate_samples(MDP, PHI, 2, 2)

    def mean(used) -> Tensor:
        hessian = gl.Sampled(used, 2, horizon=2, baseline=QUIET, trajectories=samples)
        found = meta(TASKS["MAML"], inner=gl.Exact(2), hessian=hessian, n_trials=len(probability))
        return torch.einsum("m,msa->sa", probability, found)

    wanted = meta(TASKS["MAML"], inner=gl.Exact(2), hessian=gl.Exact(2))
    assert close(mean(estimator), wanted, 1e-11)
    assert differ(mean(gl.LVC()), wanted)
    assert differ(mean(gl.AD()), wanted)


def test_shared_samples_add_a_covariance() -> None:
    """E[(I + αĤ) f(θ̂¹)] ≠ (I + αEĤ) E[f(θ̂¹)] with the same trajectories in both: a gap that falls like 1/n too."""

    def gap(n: int) -> Tensor:
        samples, probability = gl.enumerate_samples(MDP, PHI, 2, n)
        stored = gl.Sampled(gl.LoadedDiCE(), n, horizon=2, baseline=QUIET, trajectories=samples)
        shared, fresh = (
            meta(TASKS["MAML"], inner=stored, hessian=hessian, n_trials=len(probability))
            for hessian in (stored, gl.Exact(2))
        )
        return torch.einsum("m,msa->sa", probability, shared - fresh)

    assert gap(1).norm() > 0.05 * exact_bias(TASKS["MAML"], gl.LoadedDiCE(), 1).norm()
    assert close(2 * gap(2), gap(1), 0.25)


# --- Monte Carlo ------------------------------------------------------------------------------------------------------
REPEATS, TRIALS = 2000, 10


@pytest.fixture(scope="module")
def monte_carlo() -> tuple[Tensor, Tensor, float]:
    """2,000 experiments of ten trials each, n = 2, their target, and the true squared bias from all samples."""
    inner = gl.Sampled(gl.LoadedDiCE(), 2, horizon=2, baseline=QUIET)
    found = meta(TASKS["MAML"], inner=inner, n_trials=REPEATS * TRIALS, generator=seeded(1))
    truth = exact_bias(TASKS["MAML"], gl.LoadedDiCE(), 2).square().sum().item()
    return found, meta(TASKS["MAML"], inner=gl.Exact(2)), truth


def test_many_trials_find_the_exact_bias(monte_carlo) -> None:
    """Within four standard errors, and far enough from zero to say so."""
    found, target, truth = monte_carlo
    bias = gl.bias(found, target)
    assert abs(bias.squared_norm - truth) < 4 * bias.standard_error
    assert bool(bias.resolved)
    assert bias.squared_norm > 4 * bias.standard_error


def test_few_trials_find_it_on_average_and_the_plain_norm_does_not(monte_carlo) -> None:
    """Over experiments of ten trials the debiased estimate is right; ‖ḡ − g‖² is off by tr Σ / 10."""
    found, target, truth = monte_carlo
    groups = found.unflatten(0, (REPEATS, TRIALS)).transpose(0, 1)
    debiased = gl.bias(groups, target, event_dims=2).squared_norm
    plain = (groups.mean(0) - target).square().sum((-1, -2))

    def z(estimates: Tensor) -> float:
        return ((estimates.mean() - truth) / (estimates.std() / REPEATS**0.5)).item()

    assert abs(z(debiased)) < 4
    assert z(plain) > 20
    wanted = truth + gl.covariance_trace(found).item() / TRIALS
    assert abs(plain.mean().item() - wanted) < 4 * plain.std().item() / REPEATS**0.5


def test_stored_and_fresh_samples_have_the_same_mean(monte_carlo) -> None:
    """The enumeration and the sampler agree on E[ĝ] in every coordinate, within 4.5 standard errors."""
    found, target, _ = monte_carlo
    bias = exact_bias(TASKS["MAML"], gl.LoadedDiCE(), 2)
    z = ((found - target).mean(0) - bias) / (found.std(0) / len(found) ** 0.5)
    assert z.abs().max() < 4.5
