"""At the paper's own scale, through the whole meta-gradient: at K = 1 it is linear in roles II and III.

So E[ESE] = EBE and E[EES] = EEB, while E[SEE] is not BEE: the inner update enters through a curved function.
Each call of `rejects` gives a false alarm with probability 1e-6 over seeds; seeds are fixed.
"""

import pytest
import torch
from helpers import rejects

import gmrl_lab as gl

pytestmark = pytest.mark.slow

TASK = gl.MAML(gl.random_mdp(seed=2))
PHI = torch.zeros(20, 5, dtype=torch.float64)
ESTIMATORS = [gl.AD(), gl.LVC(), gl.LoadedDiCE(), gl.TayPO2(), gl.DiCE()]


def trials(n_trials: int = 1500, **roles: gl.Sampled) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return gl.meta_gradient(TASK, PHI, **roles, n_trials=n_trials, generator=generator)


def sampled(estimator: gl.Estimator) -> gl.Sampled:
    return gl.Sampled(estimator, 128, baseline=gl.Baseline(noise=0.0))


def target(role: str, estimator: gl.Estimator) -> torch.Tensor:
    return gl.meta_gradient(TASK, PHI, **{role: gl.Expected(estimator, baseline=gl.Baseline(noise=0.0))})


@pytest.mark.parametrize("role", ["hessian", "outer"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_sampling_a_linear_role_gives_its_expectation(estimator: gl.Estimator, role: str) -> None:
    assert not rejects(trials(**{role: sampled(estimator)}), target(role, estimator))


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC()], ids=str)
def test_biased_hessians_are_rejected_against_the_unbiased_target(estimator: gl.Estimator) -> None:
    assert rejects(trials(hessian=sampled(estimator)), target("hessian", gl.LoadedDiCE()))


def test_the_compositional_bias_is_seen() -> None:
    """SEE with 4 trajectories against the exact meta-gradient at the estimator's own expected inner update."""
    inner = gl.Sampled(gl.LVC(), 4, baseline=gl.Baseline(noise=0.0))
    assert rejects(trials(4000, inner=inner), target("inner", gl.LVC()))
