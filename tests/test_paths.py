"""Where the inner loop goes: the same path as the meta-gradient's, and every end of it."""

import pytest
import torch
from helpers import batch_of_mdps, close, normal, rejects, seeded, tiny_mdp

import gmrl_lab as gl
from gmrl_lab.meta import product_terms
from gmrl_lab.paths import every_end, inner_path

QUIET = gl.Baseline(noise=0.0)
MDP, PHI = tiny_mdp(), 0.5 * normal(2, 2, seed=1)


def test_exact_path_is_that_of_the_proposition() -> None:
    mdp = batch_of_mdps()
    for task, phi in ((gl.MAML(mdp), normal(4, 3, 2)), (gl.LIRPG(mdp, normal(3, 2)), normal(4, 3, 2))):
        path = inner_path(task, phi, 3, 2.0)
        assert path.shape == (4, 4, 3, 2)
        assert close(path, torch.stack(product_terms(task, phi, 3, 2.0).path), 1e-13)
    assert inner_path(gl.MAML(mdp), normal(4, 3, 2), 0).shape == (1, 4, 3, 2)


def test_sampled_path_is_that_of_the_meta_gradient() -> None:
    """Where the Hessian is taken for zero, MAML's meta-gradient is ∇J at the end of the path."""
    task, inner = gl.MAML(MDP), gl.Sampled(gl.LVC(), 4, 3)
    path = inner_path(task, PHI, 2, 1.0, inner, 3, gl.generators(0, 3))
    flat = gl.Expected(gl.AD(), 3, baseline=QUIET)  # its Hessian is zero: I + αH = I
    found = gl.meta_gradient(task, PHI, 2, 1.0, inner, flat, n_trials=3, generator=gl.generators(0, 3))
    assert close(found, gl.exact.gradient(MDP, path[-1]), 1e-12)


def test_every_end_by_hand_and_by_sampling() -> None:
    task, inner = gl.MAML(MDP), gl.Sampled(gl.LVC(), 2, 2, baseline=QUIET)
    ends, probability = every_end(task, PHI, 1, 2.0, inner)
    every, wanted = gl.enumerate_samples(MDP, PHI, 2, 2)
    assert close(probability, wanted, 1e-12)
    stored = gl.Sampled(gl.LVC(), 2, 2, baseline=QUIET, trajectories=every)
    leaf = PHI.expand(len(wanted), 2, 2).clone().requires_grad_()
    (step,) = torch.autograd.grad(stored.surrogate(gl.Problem(MDP, leaf)).sum(), leaf)
    assert close(ends, PHI + 2.0 * step, 1e-12)
    two, chance = every_end(task, PHI, 2, 2.0, gl.Sampled(gl.LVC(), 1, 2, baseline=QUIET))
    assert len(two) == 256
    assert chance.sum().item() == pytest.approx(1)
    mean = torch.einsum("m,msa->sa", chance, two)
    found = inner_path(task, PHI, 2, 2.0, gl.Sampled(gl.LVC(), 1, 2, baseline=QUIET), 20_000, seeded())[-1]
    assert not rejects(found, mean)
    assert rejects(found, 1.1 * mean)


@pytest.mark.parametrize("weighting", ["mixture", "own"])
@pytest.mark.parametrize("buffer", [0, 1])
@pytest.mark.parametrize("task", [gl.MAML(MDP), gl.LIRPG(MDP, -PHI)], ids=["MAML", "LIRPG"])
def test_every_end_of_reused_samples_is_where_sampled_paths_end(task: gl.Task, weighting: str, buffer: int) -> None:
    """20,000 paths of two steps; the power check is the mean of paths with fresh samples."""
    one = gl.Sampled(gl.LoadedDiCE(), 1, 2, baseline=QUIET)
    oracle = gl.Reused(one, weighting, buffer)
    ends, probability = every_end(task, PHI, 2, 4.0, oracle)
    assert len(ends) == (256, 16 * 136)[buffer]
    assert probability.sum().item() == pytest.approx(1)
    found = inner_path(task, PHI, 2, 4.0, oracle, 20_000, seeded(2))[-1]
    assert not rejects(found, torch.einsum("m,msa->sa", probability, ends))
    fresh, chance = every_end(task, PHI, 2, 4.0, one)
    assert rejects(found, torch.einsum("m,msa->sa", chance, fresh))


def test_reuse_adds_a_bias_that_falls_like_one_over_n_and_ignoring_the_ratios_adds_one_that_stays() -> None:
    """K = 2. AD, which knows no ratio, pulls θ̂² towards where the old policy would go, at every n alike."""
    task, biases = gl.MAML(MDP), {}
    aim = inner_path(task, PHI, 2, 4.0, gl.Exact(2))[-1]
    for estimator in (gl.LoadedDiCE(), gl.AD()):
        for n in (1, 2):
            ends, chance = every_end(task, PHI, 2, 4.0, gl.Reused(gl.Sampled(estimator, n, 2, baseline=QUIET)))
            biases[estimator, n] = (torch.einsum("m,msa->sa", chance, ends) - aim).norm().item()
    assert biases[gl.LoadedDiCE(), 2] < 0.65 * biases[gl.LoadedDiCE(), 1]
    assert biases[gl.AD(), 2] > 0.8 * biases[gl.AD(), 1]
    assert biases[gl.AD(), 2] > 3 * biases[gl.LoadedDiCE(), 2]


def test_a_run_tells_the_effective_size_of_every_end() -> None:
    run = gl.Reused(gl.Sampled(gl.LoadedDiCE(), 1, 2, baseline=QUIET), "own").begin()
    _, probability = every_end(gl.MAML(MDP), PHI, 2, 4.0, run)
    first, second = run.effective_sizes
    assert torch.allclose(first, torch.ones_like(probability))
    assert 1 < (probability * second).sum() < 2


def test_no_step_ends_at_the_start() -> None:
    ends, probability = every_end(gl.MAML(MDP), PHI, 0, 1.0, gl.Sampled(gl.LVC(), 2, 2, baseline=QUIET))
    assert torch.equal(ends, PHI.unsqueeze(0))
    assert probability.tolist() == [1.0]


def test_bad_input() -> None:
    task = gl.MAML(MDP)
    with pytest.raises(ValueError, match="n_inner_steps: got 3876 · 3876 sequences of samples"):
        every_end(task, PHI, 2, 1.0, gl.Sampled(gl.LVC(), 4, 2, baseline=QUIET))
    with pytest.raises(ValueError, match="inner: got Baseline"):
        every_end(task, PHI, 1, 1.0, gl.Sampled(gl.LVC(), 1, 2))
    with pytest.raises(ValueError, match="generator: got None"):
        inner_path(task, PHI, inner=gl.Sampled(gl.LVC(), 1, 2))
