"""Sampled surrogates against their expectations: a test of the mean with a stated false-alarm rate, and its power.

Each call of `rejects` gives a false alarm with probability 1e-6 (`helpers.FALSE_ALARM`) over seeds; seeds are fixed.
The power checks put wrong estimators, and right ones against wrong targets, through the very same function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from helpers import ESTIMATORS, derivatives, double, normal, rejects, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

MDP = gl.random_mdp(3, 2, concentration=0.5, seed=1)
THETA, BEHAVIOUR = normal(3, 2, seed=1), normal(3, 2, seed=1) + 0.5 * normal(3, 2, seed=2)
HORIZON, TRIALS, N = 4, 500, 400
SAME_STATE = torch.block_diag(*[torch.ones(2, 2)] * 3).bool()
"""The Hessian's blocks of a state with itself. In the others AD and LVC are zero in each sample: too easy a target."""
QUIET = gl.Baseline(noise=0.0)


def trials(estimator, seed: int = 0, **settings) -> tuple[Tensor, Tensor]:
    """Gradients `(TRIALS, d)` and Hessians `(TRIALS, d, d)` of independent samples of N trajectories."""
    oracle = gl.Sampled(estimator, N, HORIZON, **settings)
    theta = THETA.expand(TRIALS, 3, 2)
    return derivatives(lambda x: oracle.surrogate(gl.Problem(MDP, x), seeded(seed)), theta)[1:]


def expected(estimator, **settings) -> tuple[Tensor, Tensor]:
    oracle = gl.Expected(estimator, HORIZON, **{"baseline": QUIET, **settings})
    return derivatives(lambda x: oracle.surrogate(gl.Problem(MDP, x)), THETA)[1:]


def true_derivatives(bootstrap: bool = True) -> tuple[Tensor, Tensor]:
    terminal = exact.value(MDP, THETA) if bootstrap else None
    return exact.gradient(MDP, THETA, HORIZON, terminal).flatten(), exact.hessian(MDP, THETA, HORIZON, terminal)


def stored(seed: int = 0) -> gl.Trajectories:
    """Trajectories of another policy than THETA."""
    return gl.sample(MDP, BEHAVIOUR.expand(TRIALS, 3, 2), N, HORIZON, generator=seeded(seed))


# --- the test of a mean itself --------------------------------------------------------------------------------------
def test_false_alarm_rate_is_not_exceeded() -> None:
    """At 5%, on 2,000 true targets of ten coordinates that depend on one another: at most 6.5% (5% and 3 sigma)."""
    mix = normal(10, 10, seed=3)
    alarms = [rejects(normal(200, 10, seed=i) @ mix + 1.0, double([1.0] * 10), 0.05) for i in range(2000)]
    assert 0.01 < sum(alarms) / 2000 < 0.065


def test_a_shift_of_nine_standard_errors_is_seen() -> None:
    """1 − Φ(5.3 − 9) > 0.9999 for each; and so is a constant that is not the target."""
    for i in range(20):
        shifted = normal(400, 10, seed=i)
        assert not rejects(shifted, double([0.0] * 10))
        shifted[:, 3] += 9 / 20
        assert rejects(shifted, double([0.0] * 10))
    constant = torch.ones(50, 2, dtype=torch.float64)
    assert not rejects(constant, constant[0])
    assert rejects(constant, double([1.0, 1.0 + 1e-9]))


# --- sampled = expected ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("noise", "gae_lambda"), [("none", 1.0), ("call", 0.9), ("trajectory", 0.5)])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_sampled_mean_is_the_expected_surrogates(estimator, noise: str, gae_lambda: float) -> None:
    """Gradient and Hessian. Noise redrawn per call or per trajectory averages out: surrogates are affine in V̂."""
    baseline = QUIET if noise == "none" else gl.Baseline(noise=1.0, per=noise)
    found = trials(estimator, baseline=baseline, gae_lambda=gae_lambda)
    for estimates, target in zip(found, expected(estimator, gae_lambda=gae_lambda), strict=True):
        assert not rejects(estimates, target)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_sampled_mean_given_the_noise_is_the_expected_surrogates_given_it(estimator) -> None:
    baseline = gl.Baseline(noise=1.0, seed=5)
    found, target = trials(estimator, baseline=baseline), expected(estimator, baseline=baseline)
    assert not rejects(found[0], target[0])
    assert not rejects(found[1], target[1])


def test_value_noise_biases_the_hessian_of_autodiff() -> None:
    """Given ε, it is off its noiseless expectation (zero); without noise it is not."""
    zero = torch.zeros(6, 6, dtype=torch.float64)
    assert rejects(trials(gl.AD(), baseline=gl.Baseline(noise=1.0, seed=5))[1], zero)
    assert not rejects(trials(gl.AD(), baseline=QUIET)[1], zero)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_sampled_mean_without_baseline_is_the_expected_surrogates(estimator) -> None:
    found, target = trials(estimator, baseline=None), expected(estimator, baseline=None)
    assert not rejects(found[0], target[0])
    assert not rejects(found[1], target[1])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_stored_trajectories_of_another_policy(estimator) -> None:
    """The sampled mean off-policy, against the closed form with μ; and per call fresh noise on V̂."""
    found = trials(estimator, trajectories=stored(), baseline=gl.Baseline(noise=0.5))
    value = exact.value(MDP, THETA)
    target = derivatives(lambda x: estimator.expected_surrogate(MDP, x, BEHAVIOUR.softmax(-1), value, HORIZON), THETA)[
        1:
    ]
    assert not rejects(found[0], target[0])
    assert not rejects(found[1], target[1])


@pytest.mark.parametrize("per", ["call", "trajectory"])
def test_value_noise_has_the_size_that_was_asked_for(per: str) -> None:
    """(V̂ − V) S / (noise ‖V‖₂) has mean 0 and variance 1 at each state, and is not shared by trials or states."""
    theta = THETA.expand(20_000, 3, 2)
    value = gl.Baseline(noise=0.5, per=per).values(gl.Problem(MDP, theta), seeded(), 2)
    assert value.shape == (20_000, 1 if per == "call" else 2, 3)
    exactly = exact.value(MDP, THETA)
    draws = ((value - exactly) * 3 / (0.5 * exactly.norm())).flatten(1)
    square = torch.einsum("mi,mj->mij", draws, draws)
    assert not rejects(draws, torch.zeros_like(draws[0]))
    assert not rejects(square, torch.eye(draws.shape[1], dtype=torch.float64))
    assert rejects(1.1 * square, torch.eye(draws.shape[1], dtype=torch.float64))


# --- unbiased, or not -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize("estimator", [gl.DiCE(), gl.LoadedDiCE()], ids=str)
def test_dice_and_loaded_dice_are_not_rejected_as_unbiased(estimator, off_policy: bool) -> None:
    """Against the true derivatives of the return of their own horizon."""
    found = trials(estimator, baseline=QUIET, trajectories=stored() if off_policy else None)
    target = true_derivatives(bootstrap=estimator != gl.DiCE())
    assert not rejects(found[0], target[0])
    assert not rejects(found[1], target[1])


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC()], ids=str)
def test_hessians_of_autodiff_and_lvc_are_rejected_as_unbiased(estimator) -> None:
    """Their gradients are not rejected, on the same samples."""
    gradients, hessians = trials(estimator, baseline=QUIET)
    gradient, hessian = true_derivatives()
    assert not rejects(gradients, gradient)
    assert rejects(hessians[:, SAME_STATE], hessian[SAME_STATE])
    assert rejects(hessians, hessian)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC()], ids=str)
def test_off_policy_gradients_of_autodiff_and_lvc_are_rejected(estimator) -> None:
    found = trials(estimator, baseline=QUIET, trajectories=stored())
    assert rejects(found[0], true_derivatives()[0])


def test_the_wrong_horizon_is_rejected() -> None:
    """An unbiased estimator against the target of a return one step longer, and without bootstrap."""
    assert rejects(trials(gl.DiCE())[0], exact.gradient(MDP, THETA, HORIZON + 1).flatten())
    loaded = trials(gl.LoadedDiCE(), baseline=QUIET)
    for estimates, target in zip(loaded, true_derivatives(bootstrap=False), strict=True):
        assert rejects(estimates, target)


# --- wrong estimators are seen --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Wrong:
    """An estimator from a formula per step."""

    terms: Callable[[gl.Steps], Tensor]

    def surrogate(self, steps: gl.Steps) -> Tensor:
        return self.terms(steps).sum(-1).mean(-1)


def lvc(steps: gl.Steps) -> Tensor:
    return steps.weights * steps.advantage * steps.ratio


def taypo(steps: gl.Steps, sign: float = 1.0) -> Tensor:
    change = steps.ratio - 1
    before = steps.trace(change) - change
    return steps.weights * steps.advantage * change * (1 + sign * before)


def test_the_same_formulas_unbroken_pass() -> None:
    for terms, right in ((lvc, gl.LVC()), (taypo, gl.TayPO2())):
        found, target = trials(Wrong(terms), baseline=QUIET), expected(right)
        assert not rejects(found[0], target[0])
        assert not rejects(found[1], target[1])


BROKEN_FIRST_ORDER = {
    "three percent too large": lambda s: 1.03 * lvc(s),
    "discount one step late": lambda s: 0.8 * lvc(s),
    "no discount": lambda s: lvc(s) / s.weights,
    "bootstrap with a wrong sign": lambda s: s.weights * (s.advantage - 2 * s.discount * s.next_value) * s.ratio,
    "reward instead of advantage": lambda s: s.weights * s.reward * s.ratio,
}


@pytest.mark.parametrize("terms", BROKEN_FIRST_ORDER.values(), ids=BROKEN_FIRST_ORDER)
def test_a_broken_gradient_is_rejected(terms: Callable[[gl.Steps], Tensor]) -> None:
    assert rejects(trials(Wrong(terms), baseline=QUIET)[0], expected(gl.LVC())[0])


BROKEN_SECOND_ORDER = {
    "cross terms with a wrong sign": lambda s: taypo(s, -1.0),
    "cross terms twice": lambda s: taypo(s, 2.0),
    "no cross terms": lambda s: taypo(s, 0.0),
    "curvature of the ratio lost": lambda s: s.weights * s.advantage * s.log_prob,
}


@pytest.mark.parametrize("terms", BROKEN_SECOND_ORDER.values(), ids=BROKEN_SECOND_ORDER)
def test_a_broken_hessian_is_rejected_behind_a_right_gradient(terms: Callable[[gl.Steps], Tensor]) -> None:
    gradients, hessians = trials(Wrong(terms), baseline=QUIET)
    gradient, hessian = expected(gl.TayPO2())
    assert not rejects(gradients, gradient)
    assert rejects(hessians, hessian)
