"""The K-sample target and its estimator by every sample of a tiny MDP; truncated windows by the proposition's terms."""

import pytest
import torch
from helpers import batch_of_mdps, close, differ, finite_differences, normal, rejects, seeded, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.meta import product_terms
from gmrl_lab.targets import k_sample_gradient, k_sample_objective, truncated_gradient

MDP = tiny_mdp()
PHI = 0.3 * normal(2, 2, seed=1)
TASKS = {"MAML": gl.MAML(MDP), "LIRPG": gl.LIRPG(MDP, PHI), "MGRL": gl.MGRL(MDP, PHI)}
PHIS = {"MAML": PHI, "LIRPG": PHI, "MGRL": gl.MGRL.phi(0.7, 0.9)}
EACH = pytest.mark.parametrize("name", TASKS)
ALPHA = 2.0
EXPECTED = gl.Exact(2, bootstrap=False)
"""The inner objective whose gradient the samples below estimate without bias."""


def samples(n: int, estimator=gl.AD(), **stored) -> gl.Sampled:  # noqa: B008
    return gl.Sampled(estimator, n, 2, baseline=None, **stored)


def target(name: str, n: int, n_inner_steps: int = 1) -> Tensor:
    leaf = PHIS[name].clone().requires_grad_()
    objective = k_sample_objective(TASKS[name], leaf, n_inner_steps, ALPHA, inner=samples(n))
    return torch.autograd.grad(objective, leaf)[0]


def mean_estimate(name: str, n: int, estimator=gl.AD(), **settings) -> Tensor:  # noqa: B008
    """The exact mean over all samples of one step."""
    every, probability = gl.enumerate_samples(MDP, PHI, 2, n)
    inner = samples(n, estimator, trajectories=every)
    trials = {"n_trials": len(probability), "generator": seeded()}
    found = k_sample_gradient(TASKS[name], PHIS[name], 1, ALPHA, inner=inner, **settings, **trials)
    return torch.einsum("m,m...->...", probability, found)


@EACH
@pytest.mark.parametrize("n_inner_steps", [1, 2])
def test_objective_agrees_with_finite_differences(name: str, n_inner_steps: int) -> None:
    def objective(phi: Tensor) -> Tensor:
        return k_sample_objective(TASKS[name], phi, n_inner_steps, ALPHA, inner=samples(1)).detach()

    numeric = finite_differences(objective, PHIS[name], PHIS[name].ndim)
    assert close(target(name, 1, n_inner_steps).flatten(), numeric, 1e-7)


def test_objective_by_hand() -> None:
    """One step: Σ_τ p(τ) J(θ⁰ + α ĝ(τ)), with the library's sampler of samples alone."""
    every, probability = gl.enumerate_samples(MDP, PHI, 2, 2)
    logits = PHI.expand(len(probability), 2, 2).clone().requires_grad_()
    surrogate = samples(2, trajectories=every).surrogate(gl.Problem(MDP, logits))
    (step,) = torch.autograd.grad(surrogate.sum(), logits)
    wanted = (probability * gl.exact.objective(MDP, PHI + ALPHA * step)).sum()
    assert close(k_sample_objective(TASKS["MAML"], PHI, 1, ALPHA, inner=samples(2)), wanted, 1e-13)


@EACH
@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_full_score_is_unbiased_for_the_k_sample_target(name: str, n: int, control: bool) -> None:
    assert close(mean_estimate(name, n, score=1.0, control=control), target(name, n), 1e-11)


def test_anything_else_is_not() -> None:
    """No score, half of it, or a Hessian that is right for the *other* target: each misses this one."""
    wanted = target("MAML", 2)
    for settings in ({"score": 0.0}, {"score": 0.5}, {"estimator": gl.LVC()}, {"estimator": gl.DiCE()}):
        assert differ(mean_estimate("MAML", 2, **settings), wanted)


def test_the_coefficient_moves_the_mean_along_a_line() -> None:
    at = [mean_estimate("MAML", 2, score=score) for score in (0.0, 0.5, 1.0)]
    assert close(at[0] + at[2], 2 * at[1], 1e-12)


def test_one_step_from_a_fixed_start_needs_no_score() -> None:
    """Where θ⁰ is free of φ, so are the first samples: autodiff through them is right, and K = 2 is another matter."""
    for name in ("LIRPG", "MGRL"):
        assert close(mean_estimate(name, 2, score=0.0), target(name, 2), 1e-12)


def test_two_steps_are_unbiased_with_fresh_samples() -> None:
    """20,000 trials, K = 2; false alarm 1e-6. Without the score they are told from the target."""
    task, wanted = TASKS["MAML"], target("MAML", 1, n_inner_steps=2)
    settings = {"inner": samples(1), "n_trials": 20_000, "generator": seeded(1)}
    assert not rejects(k_sample_gradient(task, PHI, 2, ALPHA, control=True, **settings), wanted)
    assert rejects(k_sample_gradient(task, PHI, 2, ALPHA, score=0.0, **settings), wanted)


def test_sampled_outer_return_has_the_same_mean() -> None:
    """DiCE's value is the return of its trajectories: 40,000 trials against the T-step target, false alarm 1e-6."""
    task = TASKS["MAML"]
    leaf = PHI.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(
        k_sample_objective(task, leaf, 1, ALPHA, inner=samples(1), outer=gl.Exact(4, bootstrap=False)), leaf
    )
    outer = gl.Sampled(gl.DiCE(), 8, 4, baseline=None)
    settings = {"inner": samples(1), "outer": outer, "n_trials": 40_000, "generator": seeded(2)}
    assert not rejects(k_sample_gradient(task, PHI, 1, ALPHA, **settings), wanted)
    assert rejects(k_sample_gradient(task, PHI, 1, ALPHA, score=0.0, **settings), wanted)


def test_control_lowers_the_variance() -> None:
    settings = {"inner": samples(4), "n_trials": 4000, "generator": seeded(3)}
    plain, less = (
        gl.covariance_trace(k_sample_gradient(TASKS["MAML"], PHI, 1, ALPHA, control=control, **settings))
        for control in (False, True)
    )
    assert less < plain / 5


@pytest.mark.parametrize("name", ["MAML", "LIRPG"])
def test_the_two_targets_meet_like_one_over_n(name: str) -> None:
    """‖∇J^{K-sample} − ∇J^K‖ at n = 4, and by 400,000 trajectories at n = 64: a tenth of it or less."""
    expected = gl.meta_gradient(TASKS[name], PHIS[name], 1, ALPHA, inner=EXPECTED, hessian=EXPECTED)
    settings = {"inner": samples(64), "control": True, "n_trials": 6000, "generator": seeded(4)}
    many = gl.bias(k_sample_gradient(TASKS[name], PHIS[name], 1, ALPHA, **settings), expected)
    assert many.squared_norm - 3 * many.standard_error < (target(name, 4) - expected).square().sum() / 50


def test_batches_and_trials() -> None:
    mdp = batch_of_mdps()
    phi = normal(4, 3, 2, seed=2)
    inner = gl.Sampled(gl.AD(), 3, 4, baseline=None)
    found = k_sample_gradient(gl.MAML(mdp), phi, 2, 0.5, inner=inner, n_trials=5, generator=gl.generators(0, 5))
    assert found.shape == (5, 4, 3, 2)
    alone = k_sample_gradient(gl.MAML(mdp), phi, 2, 0.5, inner=inner, n_trials=2, generator=gl.generators(0, 2))
    assert close(found[:2], alone, 1e-12)


# --- truncated windows ------------------------------------------------------------------------------------------------
BATCH = batch_of_mdps()
LIFE = {"LIRPG": gl.LIRPG(BATCH, normal(4, 3, 2, seed=1)), "MAML": gl.MAML(BATCH), "MGRL": gl.MGRL(BATCH, normal(3, 2))}
LIFE_PHI = {"LIRPG": normal(4, 3, 2, seed=2), "MAML": normal(4, 3, 2, seed=2), "MGRL": gl.MGRL.phi(0.7, 0.9)}


@pytest.mark.parametrize("window", range(6))
@pytest.mark.parametrize("name", LIFE)
def test_a_window_keeps_the_last_terms(name: str, window: int) -> None:
    terms = product_terms(LIFE[name], LIFE_PHI[name], 5, 1.0)
    kept = terms.direct + sum(terms.indirect[5 - window :], torch.zeros_like(terms.direct))
    kept = kept + (terms.start if window == 5 else 0)
    found = truncated_gradient(LIFE[name], LIFE_PHI[name], 5, 1.0, window)
    assert (found - kept).abs().max() < 1e-11


def test_the_whole_life_is_the_meta_gradient_and_a_short_window_is_not() -> None:
    task, phi = LIFE["LIRPG"], LIFE_PHI["LIRPG"]
    whole = gl.meta_gradient(task, phi, 5, 1.0)
    assert close(truncated_gradient(task, phi, 5, 1.0, 5), whole, 1e-12)
    assert differ(truncated_gradient(task, phi, 5, 1.0, 2), whole)
    assert truncated_gradient(LIFE["MAML"], phi, 5, 1.0, 4).abs().max() == 0  # the window does not reach φ = θ⁰


def test_bad_input() -> None:
    task = TASKS["MAML"]
    with pytest.raises(ValueError, match="inner: got Sampled"):
        k_sample_gradient(task, PHI, inner=gl.Sampled(gl.AD(), 2), generator=seeded())
    with pytest.raises(ValueError, match="inner: got Exact"):
        k_sample_gradient(task, PHI, inner=gl.Exact(), generator=seeded())
    with pytest.raises(ValueError, match="outer: got Sampled"):
        k_sample_gradient(task, PHI, inner=samples(2), outer=gl.Sampled(gl.LVC(), 2), generator=seeded())
    every, _ = gl.enumerate_samples(MDP, PHI, 2, 1)
    with pytest.raises(ValueError, match="inner: got stored trajectories"):
        k_sample_gradient(task, PHI, 2, inner=samples(1, trajectories=every), n_trials=16, generator=seeded())
    with pytest.raises(ValueError, match="n_inner_steps: got 3876 samples in each of 2 steps"):
        k_sample_objective(task, PHI, 2, ALPHA, inner=samples(4))
    with pytest.raises(ValueError, match="window: got 4, allowed is a whole number from 0 to n_inner_steps = 3"):
        truncated_gradient(task, PHI, 3, 1.0, 4)
    with pytest.raises(ValueError, match="window: got -1"):
        truncated_gradient(task, PHI, 3, 1.0, -1)
    with pytest.raises(ValueError, match="generator: got None"):
        k_sample_gradient(task, PHI, inner=samples(2), generator=None)
