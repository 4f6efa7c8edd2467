"""What lesson 06 says in numbers: degree in the Hessian's error, Figure 2(d)'s slopes, how loose the bound is."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from helpers import normal, seeded

import gmrl_lab as gl
from gmrl_lab import bounds

QUIET = gl.Baseline(noise=0.0)
TARGET = gl.Exact(20)
EXPECTED = gl.Expected(gl.LVC(), baseline=QUIET)
ZEROS = torch.zeros(20, 5, dtype=torch.float64)
TASKS = {"MAML": gl.MAML, "LIRPG": lambda mdp: gl.LIRPG(mdp, torch.zeros_like(mdp.rewards))}


def injected(task: gl.Task, curvature: object, k: int, alpha: float) -> float:
    """‖error of the exact meta-gradient‖ with mean(θ² ⊙ M) added to the inner objective's Hessian alone."""
    truth = gl.meta_gradient(task, ZEROS, k, alpha)
    found = gl.meta_gradient(task, ZEROS, k, alpha, hessian=gl.Perturbed(gl.Exact(), curvature))
    return (found - truth).norm(dim=(-2, -1)).mean().item()


@pytest.mark.parametrize(
    ("name", "k", "degree"), [("MAML", 1, 1), ("MAML", 2, 2), ("MAML", 3, 3), ("LIRPG", 2, 1), ("LIRPG", 3, 2)]
)
def test_degree_in_an_injected_error(name: str, k: int, degree: int) -> None:
    """Slopes: 1 for small errors whatever K, K or K − 1 for huge ones."""
    task = TASKS[name](gl.random_mdp(seed=0))
    for size, wanted in ((1e-3, 1), (1e7, degree)):
        low, high = (injected(task, factor * size, k, 3.0) for factor in (1.0, 1.1))
        assert math.log(high / low) / math.log(1.1) == pytest.approx(wanted, abs=0.01)


def test_one_step_of_lirpg_has_no_hessian() -> None:
    assert injected(TASKS["LIRPG"](gl.random_mdp(seed=0)), 1e3, 1, 3.0) < 1e-13


@pytest.mark.parametrize("alpha", [3.0, 4.5])
@pytest.mark.parametrize("name", TASKS)
def test_figure_2d_cannot_show_the_degree(name: str, alpha: float) -> None:
    """K = 2, M = c + 0.3 N(0, 1) with c from ½ to 4: slopes near 1 for MAML (degree 2) and LIRPG (1)."""
    task = TASKS[name](gl.random_mdp(seed=list(range(10))))
    errors = [injected(task, c + 0.3 * normal(20, 5), 2, alpha) for c in (0.5, 1.0, 2.0, 4.0)]
    slopes = [math.log2(high / low) for low, high in itertools.pairwise(errors)]
    assert all(0.93 < slope < 1.13 for slope in slopes)
    assert 1.0 < math.log2(errors[-1] / errors[0]) / 3 < 1.1


def norm(matrix: torch.Tensor) -> float:
    return torch.linalg.matrix_norm(matrix, 2).item()


def test_gap_is_the_product_of_five_directions() -> None:
    """LIRPG at K = 2 on the paper's MDP: α²c₁Δ_Hm₂ over α²‖D ΔH v‖, factor by factor."""
    mdp, alpha = gl.random_mdp(seed=0), 3.0
    task, sampled = gl.LIRPG(mdp, ZEROS), gl.Sampled(gl.LVC(), 32, baseline=QUIET)
    own = {"inner": sampled, "hessian": sampled, "target": TARGET, "n_points": 3, "generator": seeded()}
    constants = bounds.local_constants(task, ZEROS, 2, alpha, **own)
    truth = gl.meta_gradient(task, ZEROS, 2, alpha, TARGET, TARGET, TARGET)
    bias = (gl.meta_gradient(task, ZEROS, 2, alpha, TARGET, EXPECTED, TARGET) - truth).norm().item()
    bound = bounds.theorem(constants, 2, alpha, 32, start_is_phi=False).hessian
    terms = gl.meta_gradient_by_product(task, ZEROS, 2, alpha, terms=True)
    theta, end = terms.path[1], terms.path[2]
    error = gl.estimated_hessian(mdp, theta, EXPECTED) - gl.exact.hessian(mdp, theta, 20, gl.exact.value(mdp, theta))
    v = gl.exact.gradient(mdp, end).flatten()
    steps = [constants.m2 / v.norm().item(), constants.delta_h / norm(error), constants.c1 / norm(terms.jacobians[0])]
    steps += [norm(error) * v.norm().item() / (error @ v).norm().item()]
    steps += [norm(terms.jacobians[0]) * (error @ v).norm().item() / (terms.jacobians[0] @ error @ v).norm().item()]
    assert math.prod(steps) == pytest.approx(bound / bias, rel=0.02)  # the horizon's hundredth
    assert steps[3] == pytest.approx(1.86, abs=0.02)
    assert steps[4] == pytest.approx(2.53, abs=0.02)
    assert bound / bias > 5


@pytest.mark.parametrize("name", TASKS)
def test_gap_grows_with_the_steps(name: str) -> None:
    """The Hessian part alone, exact paths: bound over bias at K = 2, 4, 6."""
    task, start = TASKS[name](gl.random_mdp(5, 3, concentration=0.3, seed=0)), torch.zeros(5, 3, dtype=torch.float64)
    sampled, gaps = gl.Sampled(gl.LVC(), 32, baseline=QUIET), []
    for k in (2, 4, 6):
        own = {"inner": sampled, "hessian": sampled, "target": TARGET, "n_points": 4, "generator": seeded()}
        constants = replace(bounds.local_constants(task, start, k, 1.0, **own), sigma_in=0.0)
        truth = gl.meta_gradient(task, start, k, 1.0, TARGET, TARGET, TARGET)
        bias = (gl.meta_gradient(task, start, k, 1.0, TARGET, EXPECTED, TARGET) - truth).norm().item()
        gaps.append(bounds.theorem(constants, k, 1.0, 32, start_is_phi=name == "MAML").hessian / bias)
    assert 1 < gaps[0] < gaps[1] < gaps[2]
    assert gaps[2] > 3 * gaps[0]


def test_product_telescopes_and_errors_of_steps_hardly_cancel() -> None:
    """MAML at K = 6: one summand for each step, they add up to the bias, and their lengths to little more."""
    mdp, start, eye = gl.random_mdp(5, 3, concentration=0.3, seed=0), torch.zeros(5, 3).double(), torch.eye(15).double()
    path = gl.meta_gradient_by_product(gl.MAML(mdp), start, 6, 1.0, terms=True).path
    right = [eye + gl.exact.hessian(mdp, x, 20, gl.exact.value(mdp, x)) for x in path[:-1]]
    wrong = [eye + gl.estimated_hessian(mdp, x, EXPECTED) for x in path[:-1]]
    v = gl.exact.gradient(mdp, path[-1]).flatten()
    summands = []
    for i in range(6):
        factors = [*wrong[:i], wrong[i] - right[i], *right[i + 1 :]]
        summands.append(torch.linalg.multi_dot([*factors, v]))
    bias = torch.linalg.multi_dot([*wrong, v]) - torch.linalg.multi_dot([*right, v])
    torch.testing.assert_close(sum(summands), bias, rtol=1e-10, atol=1e-14)
    assert bias.norm() > 0.95 * sum(x.norm() for x in summands)
    sizes = [norm(x - y) for x, y in zip(wrong, right, strict=True)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("n", [1, 2])
def test_samples_used_twice_move_the_mean_and_fresh_ones_obey_the_bound(n: int) -> None:
    """Every sample of a tiny MDP at K = 1: the covariance of Ĥ with the end of its own path is in no constant."""
    mdp, alpha = gl.random_mdp(2, 2, concentration=1.0, seed=3), 4.0
    theta, eye = torch.zeros(2, 2, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    every, probability = gl.enumerate_samples(mdp, theta, 2, n)
    logits = theta.expand(len(probability), 2, 2).clone().requires_grad_()
    stored = gl.Sampled(gl.LoadedDiCE(), n, 2, baseline=QUIET, trajectories=every)
    (step,) = torch.autograd.grad(stored.surrogate(gl.Problem(mdp, logits)).sum(), logits, create_graph=True)
    rows = [torch.autograd.grad(x, logits, retain_graph=True)[0].flatten(1) for x in step.flatten(1).sum(0)]
    factors = eye + alpha * torch.stack(rows, -1)
    ends = gl.exact.gradient(mdp, theta + alpha * step.detach()).flatten(1)
    fresh = torch.einsum("m,mij->ij", probability, factors) @ (probability @ ends)
    twice = torch.einsum("m,mij,mj->i", probability, factors, ends)
    value = gl.exact.value(mdp, theta)
    right = eye + alpha * gl.exact.hessian(mdp, theta, 2, value)
    torch.testing.assert_close(torch.einsum("m,mij->ij", probability, factors), right, rtol=1e-9, atol=1e-12)
    exact = right @ gl.exact.gradient(mdp, theta + alpha * gl.exact.gradient(mdp, theta, 2, value)).flatten()
    own = {"inner": gl.Sampled(gl.LVC(), n, 2, baseline=QUIET), "target": gl.Exact(2), "n_points": 64}
    constants = bounds.local_constants(gl.MAML(mdp), theta, 1, alpha, **own, generator=seeded())
    bound = bounds.theorem(constants, 1, alpha, n, start_is_phi=True).bias
    assert (fresh - exact).norm() <= bound
    assert (twice - fresh).norm() / (fresh - exact).norm() == pytest.approx(0.36, abs=0.02)
