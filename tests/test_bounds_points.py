"""How many points make measured constants trustworthy: the bound of order 1/n is tight enough to notice too few."""

import pytest
import torch
from helpers import normal, seeded

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.bounds import compositional_bias, local_constants

QUIET, N = gl.Baseline(noise=0.0), 2


def ratios(seed: int, alpha: float, n_points: int) -> dict[str, float]:
    """Bound over true bias of the outer gradient at K = 1, from every sample of a tiny MDP."""
    mdp, theta = gl.random_mdp(2, 2, concentration=1.0, seed=seed), normal(2, 2, seed=seed)
    inner = gl.Sampled(gl.LVC(), N, 2, baseline=QUIET)
    task, target = gl.MAML(mdp), gl.Exact(2)
    c = local_constants(task, theta, 1, alpha, inner=inner, target=target, n_points=n_points, generator=seeded(7))
    every, probability = gl.enumerate_samples(mdp, theta, 2, N)
    stored = gl.Sampled(gl.LVC(), N, 2, baseline=QUIET, trajectories=every)
    logits = theta.expand(len(probability), 2, 2).clone().requires_grad_()
    step = task.inner_update(theta, logits, stored).detach()
    mean = torch.einsum("m,msa->sa", probability, exact.gradient(mdp, theta + alpha * step))
    end = theta + alpha * exact.gradient(mdp, theta, 2, exact.value(mdp, theta))
    bias = (mean - exact.gradient(mdp, end)).norm().item()
    return {form: compositional_bias(c, 1, alpha, N, form) / bias for form in ("rms", "second_order")}


@pytest.mark.parametrize(("n_points", "fewest", "most"), [(2, 5, 20), (8, 5, 13), (128, 0, 0)])
def test_the_bound_of_order_one_over_n_needs_many_points(n_points: int, fewest: int, most: int) -> None:
    """20 problems: with two or eight points its constants are too small in many, with 128 in none."""
    found = [ratios(seed, alpha, n_points)["second_order"] for seed in range(10) for alpha in (0.5, 4.0)]
    assert fewest <= sum(ratio < 1 for ratio in found) <= most


def test_the_bound_by_the_root_mean_square_does_with_the_default() -> None:
    """It has room to spare: eight points are enough in all 20."""
    assert min(ratios(seed, alpha, 8)["rms"] for seed in range(10) for alpha in (0.5, 4.0)) > 1.5
