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


def test_bad_input() -> None:
    task = gl.MAML(MDP)
    with pytest.raises(ValueError, match="n_inner_steps: got 3876 samples in each of 2 steps"):
        every_end(task, PHI, 2, 1.0, gl.Sampled(gl.LVC(), 4, 2, baseline=QUIET))
    with pytest.raises(ValueError, match="inner: got Baseline"):
        every_end(task, PHI, 1, 1.0, gl.Sampled(gl.LVC(), 1, 2))
    with pytest.raises(ValueError, match="generator: got None"):
        inner_path(task, PHI, inner=gl.Sampled(gl.LVC(), 1, 2))
