"""Reused samples: unbiased for a given policy, not along a path, and how their errors add up."""

from dataclasses import replace

import pytest
import torch
from helpers import close, differ, double, normal, rejects, seeded, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.paths import every_end, inner_path
from gmrl_lab.reuse import Reused, effective_sample_size, pooled

MDP = tiny_mdp()
OLD, NOW = normal(2, 2, seed=1), -normal(2, 2, seed=1)
QUIET = gl.Baseline(noise=0.0)
WEIGHTINGS = pytest.mark.parametrize("weighting", ["mixture", "own"])
TASK = gl.MAML(MDP)


def sampled(n: int, horizon: int = 2, estimator=gl.LoadedDiCE()) -> gl.Sampled:  # noqa: B008
    return gl.Sampled(estimator, n, horizon, baseline=QUIET)


def gradient(oracle, theta: Tensor, trials: int = 1, generator=None) -> Tensor:
    leaf = theta.expand(trials, 2, 2).clone().requires_grad_()
    return torch.autograd.grad(oracle.surrogate(gl.Problem(MDP, leaf), generator).sum(), leaf)[0]


def every_pair(n_old: int = 1) -> tuple[gl.Trajectories, gl.Trajectories, Tensor]:
    """Every pair of a sample of OLD and a trajectory of NOW, with its probability."""
    old, p_old = gl.enumerate_samples(MDP, OLD, 2, n_old)
    new, p_new = gl.enumerate_samples(MDP, NOW, 2, 1)
    i, j = (x.flatten() for x in torch.meshgrid(torch.arange(len(p_old)), torch.arange(len(p_new)), indexing="ij"))
    first, second = (
        gl.Trajectories(*(getattr(x, name)[k] for name in ("states", "actions", "behaviour_log_prob")))
        for x, k in ((old, i), (new, j))
    )
    return first, second, p_old[i] * p_new[j]


def every_pool(weighting: str, n_old: int = 1) -> tuple[gl.Trajectories, Tensor]:
    """The same, pooled."""
    old, new, probability = every_pair(n_old)
    return pooled([old, new], [OLD, NOW], weighting), probability


@WEIGHTINGS
def test_a_run_remembers_samples_and_policies(weighting: str) -> None:
    """Its second step, asked at a given policy after a first one at another, is unbiased over every pair."""
    old, new, probability = every_pair()
    run = Reused(sampled(1), weighting).begin()
    for theta, fresh in ((OLD, old), (NOW, new)):
        leaf = theta.expand(len(probability), 2, 2).clone().requires_grad_()
        surrogate = run.surrogate_with(fresh, gl.Problem(MDP, leaf))
    (found,) = torch.autograd.grad(surrogate.sum(), leaf)
    wanted = gl.exact.gradient(MDP, NOW, 2, gl.exact.value(MDP, NOW))
    assert close(torch.einsum("m,msa->sa", probability, found), wanted, 1e-12)


@WEIGHTINGS
@pytest.mark.parametrize("n_old", [1, 2])
def test_reuse_is_unbiased_for_a_given_policy(weighting: str, n_old: int) -> None:
    """Loaded DiCE on every pool of n_old old trajectories and a new one; AD, which knows no ratio, is off."""
    pool, probability = every_pool(weighting, n_old)
    wanted = gl.exact.gradient(MDP, NOW, 2, gl.exact.value(MDP, NOW))
    found = {}
    for estimator in (gl.LoadedDiCE(), gl.AD()):
        oracle = replace(sampled(n_old + 1, estimator=estimator), trajectories=pool)
        found[estimator] = torch.einsum("m,msa->sa", probability, gradient(oracle, NOW, len(probability)))
    assert close(found[gl.LoadedDiCE()], wanted, 1e-12)
    assert differ(found[gl.AD()], wanted)


def test_mixture_is_the_mean_of_the_policies_and_bounds_the_ratio() -> None:
    pool, _ = every_pool("mixture")
    logs = [theta.log_softmax(-1)[pool.states[..., :-1], pool.actions].sum(-1) for theta in (OLD, NOW)]
    assert close(pool.behaviour_log_prob.sum(-1).exp(), (logs[0].exp() + logs[1].exp()) / 2, 1e-12)
    ratio = (logs[1] - pool.behaviour_log_prob.sum(-1)).exp()
    assert ratio.max() <= 2
    own = every_pool("own")[0]
    assert (logs[1] - own.behaviour_log_prob.sum(-1)).exp().max() > 2


def test_first_step_is_the_plain_one() -> None:
    plain = gradient(sampled(4), NOW, 3, gl.generators(0, 3))
    assert torch.equal(gradient(Reused(sampled(4)), NOW, 3, gl.generators(0, 3)), plain)


@WEIGHTINGS
def test_one_inner_step_reuses_nothing(weighting: str) -> None:
    for call in (inner_path, gl.meta_gradient):
        plain, reused = (
            call(TASK, NOW, 1, 2.0, inner=oracle, n_trials=3, generator=gl.generators(0, 3))
            for oracle in (sampled(4), Reused(sampled(4), weighting))
        )
        assert torch.equal(plain, reused)


def test_each_call_starts_with_an_empty_memory_and_other_roles_keep_their_numbers() -> None:
    oracle = Reused(sampled(4))
    first, again = (
        gl.meta_gradient(TASK, NOW, 3, 2.0, oracle, n_trials=2, generator=gl.generators(0, 2)) for _ in "ab"
    )
    assert torch.equal(first, again)
    outer = sampled(8)
    for inner in (sampled(4), oracle):
        found = gl.meta_gradient(TASK, NOW, 1, 2.0, inner, outer=outer, n_trials=2, generator=gl.generators(0, 2))
        assert torch.equal(
            found,
            gl.meta_gradient(TASK, NOW, 1, 2.0, sampled(4), outer=outer, n_trials=2, generator=gl.generators(0, 2)),
        )


def test_shared_samples_are_shared_with_reuse_too() -> None:
    """Two Reused with equal settings see the same trajectories, fresh and old; unequal ones are refused."""

    def found(hessian, inner=None) -> Tensor:
        settings = {"n_trials": 2, "generator": gl.generators(0, 2), "share_samples": True}
        return gl.meta_gradient(TASK, NOW, 3, 2.0, inner or hessian, hessian, **settings)

    one = Reused(sampled(4))
    assert close(found(one), found(Reused(sampled(4)), one), 1e-12)
    assert differ(found(one), found(sampled(4), one))
    with pytest.raises(ValueError, match=r"share_samples: got True with \(n, horizon\) = \[\(4, 2\), \(8, 2\)\]"):
        found(Reused(sampled(8)), one)


def test_effective_size_is_n_on_policy_and_falls_off_policy() -> None:
    assert effective_sample_size(torch.zeros(3, 7)).tolist() == pytest.approx([7] * 3)
    assert effective_sample_size(double([5.0, 5.0, 5.0])).item() == pytest.approx(3)
    assert effective_sample_size(double([0.0, -100.0])).item() == pytest.approx(1)
    weights = double([1.0, 2.0, 3.0])
    assert effective_sample_size(weights.log()).item() == pytest.approx(36 / 14)
    run = Reused(sampled(8), "own").begin()
    for theta in (OLD, NOW, -3 * NOW):
        gradient(run, theta, 1, seeded())
    sizes = [size.item() for size in run.effective_sizes]
    assert sizes[0] == pytest.approx(8)
    assert 1 <= sizes[2] < 24


def test_errors_of_reused_samples_do_not_cancel() -> None:
    """Small steps: the variance of the path is (2K − H_K) α²σ²/n, not K α²σ²/n; exact, by every sequence of samples.

    And K n trajectories drawn before the first step, all used in each, are worth what fresh ones are: K² σ²/(K n).
    """
    start, alpha = torch.zeros(2, 2, dtype=torch.float64), 1e-5
    one = gl.assumptions.gradient_moments(MDP, start, sampled(1), gl.Exact(2), start).variance

    def factor(ends: Tensor, chance: Tensor) -> float:
        mean = torch.einsum("m,msa->sa", chance, ends)
        return ((chance * (ends - mean).square().sum((-1, -2))).sum() / (alpha**2 * one)).item()

    for k in (1, 2, 3):
        found = {}
        for name, oracle in (("fresh", sampled(1)), ("reused", Reused(sampled(1))), ("own", Reused(sampled(1), "own"))):
            found[name] = factor(*every_end(TASK, start, k, alpha, oracle))
        every, chance = gl.enumerate_samples(MDP, start, 2, k)
        before = replace(sampled(k), trajectories=every)
        found["before"] = factor(inner_path(TASK, start, k, alpha, before, len(chance))[-1], chance)
        reused = 2 * k - sum(1 / i for i in range(1, k + 1))
        assert found == pytest.approx({"fresh": k, "reused": reused, "own": reused, "before": k}, rel=1e-4)


def test_a_large_buffer_helps() -> None:
    """Ten times the trajectories from before the first step: a smaller error, for more data."""
    start = torch.zeros(2, 2, dtype=torch.float64)
    exact = inner_path(TASK, start, 4, 1.0, gl.Exact(2))[-1]
    errors = [
        (inner_path(TASK, start, 4, 1.0, oracle, 4000, seeded(2))[-1] - exact).square().sum((-1, -2)).mean()
        for oracle in (sampled(4), Reused(sampled(4), buffer=40))
    ]
    assert errors[1] < 0.7 * errors[0]


def test_reuse_along_a_path_is_biased() -> None:
    """E θ̂² with old samples against fresh ones, K = 2, n = 1: told apart by 40,000 paths; fresh ones meet every end."""
    start, settings = torch.zeros(2, 2, dtype=torch.float64), (2, 2.0)
    ends, probability = every_end(TASK, start, *settings, sampled(1))
    wanted = torch.einsum("m,msa->sa", probability, ends)
    fresh, reused = (
        inner_path(TASK, start, *settings, oracle, 40_000, seeded(3))[-1] for oracle in (sampled(1), Reused(sampled(1)))
    )
    assert not rejects(fresh, wanted)
    assert rejects(reused, wanted)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="weighting: got 'best', allowed is one of 'mixture', 'own'"):
        Reused(sampled(4), "best")
    with pytest.raises(ValueError, match="buffer: got -1"):
        Reused(sampled(4), buffer=-1)
    every, _ = gl.enumerate_samples(MDP, NOW, 2)
    with pytest.raises(ValueError, match="sampled: got stored trajectories"):
        Reused(replace(sampled(1), trajectories=every))
    with pytest.raises(ValueError, match="generator: got None"):
        gradient(Reused(sampled(4)), NOW)
    with pytest.raises(ValueError, match=r"log_ratio: got shape \(0,\)"):
        effective_sample_size(torch.zeros(0))
