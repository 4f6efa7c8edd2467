"""Assumptions 4.1 to 4.3 on the tabular softmax, and what happens where they fail (Appendix D)."""

import pytest
import torch
from helpers import close, double, normal, tiny_mdp

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.assumptions import gradient_moments, ratio_second_moment, steepness
from gmrl_lab.bounds import global_constants

MDP = tiny_mdp()
THETA = 0.5 * normal(2, 2, seed=1)
QUIET = gl.Baseline(noise=0.0)
POINTS = torch.cat([scale * normal(40, 20, 5, seed=i) for i, scale in enumerate((0.01, 1.0, 10.0))])


def sampled(estimator, **settings) -> gl.Sampled:
    return gl.Sampled(estimator, **{"n_trajectories": 1, "horizon": 2, "baseline": QUIET} | settings)


# --- 4.1 and 4.2 ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("discount", [0.5, 0.8, 0.95])
def test_policy_gradient_is_bounded_and_lipschitz(discount: float) -> None:
    """‖∇V‖ ≤ 1/(1 − γ)², 8/(1 − γ)³-Lipschitz for rewards in [0, 1] (Agarwal et al. 2021), near and far from 0."""
    mdp = gl.random_mdp(discount=discount)
    gradients = exact.gradient(mdp, POINTS)
    assert gradients.flatten(1).norm(dim=-1).max() <= 1 / (1 - discount) ** 2
    seen = steepness(lambda theta: exact.gradient(mdp, theta), POINTS)
    assert 0 < seen <= 8 / (1 - discount) ** 3


def test_steepness_is_that_of_the_hessian_nearby() -> None:
    """Of a linear field it is the largest singular value along the pairs' directions, and never more."""
    matrix = normal(6, 6)
    points = normal(50, 2, 3)
    seen = steepness(lambda x: (x.flatten(1) @ matrix).view_as(x), points)
    assert seen <= torch.linalg.matrix_norm(matrix, 2) * (1 + 1e-12)
    pair = torch.stack([torch.zeros(6, dtype=torch.float64), torch.linalg.svd(matrix.T).Vh[0]]).view(2, 2, 3)
    top = steepness(lambda x: (x.flatten(1) @ matrix).view_as(x), pair)
    assert close(top, torch.linalg.matrix_norm(matrix, 2), 1e-9)


def test_a_greedy_policy_has_no_lipschitz_gradient() -> None:
    """The assumption is about the softmax: its hard limit jumps, so that closer points look ever steeper."""

    def jump(theta: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(theta.argmax(-1), 2).to(theta.dtype)

    base = torch.zeros(2, 2, 2, dtype=torch.float64)
    base[1, 0, 1] = 1.0
    seen = [steepness(jump, (base - 0.5) * width) for width in (1.0, 1e-3)]
    assert seen[1] > 500 * seen[0]


def test_inner_gradient_is_smooth_in_both() -> None:
    """LIRPG: in the reward as in the policy; D is bounded by what a unit of reward can change."""
    mdp = gl.random_mdp()
    theta = torch.zeros(20, 5, dtype=torch.float64)
    in_phi = steepness(lambda phi: exact.gradient(mdp.replace(rewards=mdp.rewards + phi), theta), POINTS)
    assert 0 < in_phi <= 1 / (1 - 0.8) ** 2


def test_hessian_is_lipschitz_too() -> None:
    """ρ₂ over random pairs stays below the worst case of lesson 06, and above zero."""
    mdp = gl.random_mdp()
    seen = steepness(lambda theta: exact.hessian(mdp, theta), POINTS[:60])
    assert 0 < seen <= global_constants(0.8).rho2


@pytest.mark.parametrize("size", [1.0, 10.0, 100.0])
def test_features_scale_the_constant_by_their_square(size: float) -> None:
    """J = σ(c w): its gradient is c²/(6√3)-Lipschitz and no better, so unbounded features have no constant."""
    w = torch.linspace(-2 / size, 2 / size, 401, dtype=torch.float64).unsqueeze(-1)
    seen = steepness(lambda w: size * (size * w).sigmoid() * (-size * w).sigmoid(), w, event_dims=1)
    assert seen == pytest.approx(size**2 / (6 * 3**0.5), rel=1e-3)
    assert seen <= size**2 / (6 * 3**0.5)


# --- 4.3 --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC(), gl.LoadedDiCE(), gl.TayPO2()], ids=str)
def test_inner_estimate_is_unbiased_with_bounded_variance(estimator) -> None:
    """On-policy, λ = 1, against the T-step objective with the same bootstrap; σ²/n to the last digit."""
    one, three = (
        gradient_moments(MDP, THETA, sampled(estimator, n_trajectories=n), gl.Exact(2), THETA) for n in (1, 3)
    )
    assert one.bias.abs().max() < 1e-13
    assert three.bias.abs().max() < 1e-13
    assert close(3 * three.variance, one.variance, 1e-12)


def test_variance_stays_bounded_near_determinism() -> None:
    """On-policy a score is at most √2 long, however small a probability: no 1/π in the variance."""
    sigma = [
        gradient_moments(MDP, scale * THETA, sampled(gl.AD()), gl.Exact(2), scale * THETA).variance for scale in (1, 50)
    ]
    assert sigma[1] <= 10 * sigma[0]


def test_noise_outlives_the_gradient_near_determinism() -> None:
    """σ is bounded, but the gradient dies out faster: at logits of 16 the ratio is over a thousand, at 0 under one."""
    ratios = []
    for logit in (0.0, 16.0):
        theta = double([[logit, 0.0], [0.0, logit]])
        moments = gradient_moments(MDP, theta, sampled(gl.AD()), gl.Exact(2), theta)
        ratios.append(moments.variance.sqrt() / exact.gradient(MDP, theta, 2, exact.value(MDP, theta)).norm())
    assert ratios[0] < 1
    assert ratios[1] > 1000


def failing() -> dict[str, gl.assumptions.Moments]:
    wrong = gl.Baseline(seed=1)
    other = -3 * THETA
    return {
        "horizon": gradient_moments(MDP, THETA, sampled(gl.AD()), gl.Exact(), THETA),
        "GAE, inexact V": gradient_moments(
            MDP, THETA, sampled(gl.AD(), gae_lambda=0.5, baseline=wrong), gl.Exact(2), THETA
        ),
        "AD off-policy": gradient_moments(MDP, THETA, sampled(gl.AD(), baseline=QUIET), gl.Exact(2), other),
        "LVC off-policy": gradient_moments(MDP, THETA, sampled(gl.LVC(), baseline=QUIET), gl.Exact(2), other),
        "clipped ratios": gradient_moments(MDP, THETA, sampled(gl.LoadedDiCE(), clip=1.0), gl.Exact(2), other),
    }


def test_assumptions_fail_where_appendix_d_says() -> None:
    size = exact.gradient(MDP, THETA, 2, exact.value(MDP, THETA)).norm()
    for name, moments in failing().items():
        assert moments.bias.norm() > 0.01 * size, name


def test_dice_stays_unbiased_off_policy() -> None:
    """The same samples of another policy; what is off-policy is paid in variance."""
    for estimator, target in ((gl.LoadedDiCE(), gl.Exact(2)), (gl.DiCE(), gl.Exact(2, bootstrap=False))):
        on, off = (gradient_moments(MDP, THETA, sampled(estimator), target, acts) for acts in (THETA, -4 * THETA))
        assert off.bias.abs().max() < 1e-12
        assert off.variance > on.variance


def test_gae_is_unbiased_with_exact_values_only() -> None:
    """And then less noisy; with wrong values a short λ is more biased than λ = 1, which has the bootstrap's bias."""

    def moments(gae_lambda: float, baseline: gl.Baseline) -> gl.assumptions.Moments:
        oracle = sampled(gl.AD(), gae_lambda=gae_lambda, baseline=baseline)
        return gradient_moments(MDP, THETA, oracle, gl.Exact(2), THETA)

    short, long = (moments(gae_lambda, QUIET) for gae_lambda in (0.5, 1.0))
    assert short.bias.abs().max() < 1e-13
    assert short.variance < 0.9 * long.variance
    short, long = (moments(gae_lambda, gl.Baseline(seed=1)) for gae_lambda in (0.0, 1.0))
    assert short.bias.norm() > 1.1 * long.bias.norm() > 0.01


# --- ratios -----------------------------------------------------------------------------------------------------------
def test_second_moment_agrees_with_every_trajectory() -> None:
    behaviour = normal(2, 2, seed=3)
    every, probability = gl.enumerate_samples(MDP, behaviour, 3)
    log_pi = THETA.log_softmax(-1)[every.states[:, 0, :-1], every.actions[:, 0]].sum(-1)
    ratio = (log_pi - every.behaviour_log_prob[:, 0].sum(-1)).exp()
    assert close((probability * ratio).sum(), double(1.0), 1e-12)
    found = ratio_second_moment(MDP, THETA, behaviour.softmax(-1), 3)
    assert close(found, (probability * ratio**2).sum(), 1e-12)


def test_second_moment_explodes_with_the_horizon() -> None:
    """On-policy it is 1 at every T; off-policy it grows like a power."""
    behaviour = (-3 * THETA).softmax(-1)
    on = [ratio_second_moment(MDP, THETA, THETA.softmax(-1), horizon).item() for horizon in (1, 20)]
    off = [ratio_second_moment(MDP, THETA, behaviour, horizon).item() for horizon in (10, 20, 40)]
    assert on == pytest.approx([1, 1])
    assert off[2] / off[1] == pytest.approx((off[1] / off[0]) ** 2, rel=0.05)
    assert off[2] > 10 * off[0]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="points: got 1 points, allowed is two or more"):
        steepness(lambda x: x, POINTS[:1])
    with pytest.raises(ValueError, match="oracle: got Baseline"):
        gradient_moments(MDP, THETA, gl.Sampled(gl.AD(), 1, 2), gl.Exact(2), THETA)
    with pytest.raises(ValueError, match="horizon: got 0"):
        ratio_second_moment(MDP, THETA, THETA.softmax(-1), 0)
    with pytest.raises(ValueError, match="behaviour: got 0 at"):
        ratio_second_moment(MDP, THETA, double([[1.0, 0.0], [0.5, 0.5]]), 2)
    with pytest.raises(ValueError, match="200000 samples"):
        gradient_moments(
            gl.random_mdp(4, 2, seed=1, concentration=1.0),
            normal(4, 2),
            sampled(gl.AD(), n_trajectories=4),
            gl.Exact(2),
            normal(4, 2),
        )
