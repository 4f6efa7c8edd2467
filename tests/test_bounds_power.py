"""Each term of Theorem 4.5 is needed: on a problem where only its effect is at work, the bound without it is zero."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from gmrl_lab.bounds import Constants, theorem

K, ALPHA, NOISE = 2, 0.5, 0.8
Curve = Callable[[Tensor], Tensor]


def flat(value: float) -> Curve:
    return lambda theta: torch.full_like(theta, value)


NOTHING = flat(0.0)


@dataclass(frozen=True)
class Scalar:
    """A problem on a line from θ⁰ = 0: curves in θ at one φ, a shift of Ĥ and D̂, and noise of two outcomes."""

    constants: Constants
    maml: bool = False
    update: Curve = NOTHING
    curvature: Curve = NOTHING
    jacobian: Curve = NOTHING
    outer: Curve = NOTHING
    direct: Curve = NOTHING

    def estimates(self, noisy: bool) -> Tensor:
        """The estimate of every outcome, all equally likely; the exact one without noise and shifts."""
        c, on = self.constants, float(noisy)
        signs = on * torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3 * K + 1)), dtype=torch.float64).T
        theta, through = torch.zeros_like(signs[0]), torch.full_like(signs[0], float(self.maml))
        for step, bend, move in signs[:-1].chunk(K):
            curvature = self.curvature(theta) + on * c.delta_h + bend * c.sigma_h
            through = through * (1 + ALPHA * curvature)
            through = through + ALPHA * (self.jacobian(theta) + on * c.delta_j + move * c.sigma_j)
            theta = theta + ALPHA * (self.update(theta) + step * c.sigma_in)
        outer = self.outer(theta) + signs[-1] * c.sigma_2
        return self.direct(theta) + signs[-1] * c.sigma_1 + through * outer

    def bias_and_variance(self) -> tuple[float, float]:
        found, exact = self.estimates(True), self.estimates(False)
        return (found.mean() - exact[0]).abs().item(), found.var(correction=0).item()

    def bound(self, **changes: float) -> tuple[float, float]:
        found = theorem(replace(self.constants, **changes), K, ALPHA, 1, start_is_phi=self.maml)
        return found.bias, found.variance


STRAYS = Constants(c2=0.0, sigma_in=NOISE)
STILL = Constants(c2=0.0, sigma_in=0.0)
FROM_UPDATE = replace(STRAYS, c1=1.0, m2=1.0)
FROM_START = replace(STRAYS, m2=1.0)

BIASED = {
    "mu1": Scalar(replace(STRAYS, mu1=1.0), direct=torch.cos),
    "rho1": Scalar(replace(FROM_UPDATE, rho1=1.0), jacobian=torch.cos, outer=flat(1.0)),
    "mu2": Scalar(replace(FROM_UPDATE, mu2=1.0), jacobian=flat(1.0), outer=torch.cos),
    "rho2": Scalar(
        replace(FROM_UPDATE, c2=1.0, rho2=1.0),
        update=torch.sin,
        curvature=torch.cos,
        jacobian=flat(1.0),
        outer=flat(1.0),
    ),
    "delta_h": Scalar(replace(FROM_UPDATE, sigma_in=0.0, delta_h=0.3), jacobian=flat(1.0), outer=flat(1.0)),
    "delta_j": Scalar(replace(STILL, m2=1.0, delta_j=0.3), outer=flat(1.0)),
    "mu2 of the start": Scalar(replace(FROM_START, mu2=1.0), True, outer=torch.cos),
    "rho2 of the start": Scalar(
        replace(FROM_START, c2=1.0, rho2=1.0), True, update=torch.sin, curvature=torch.cos, outer=flat(1.0)
    ),
    "delta_h of the start": Scalar(replace(FROM_START, sigma_in=0.0, delta_h=0.3), True, outer=flat(1.0)),
}
SPREAD = {
    "sigma_1": Scalar(replace(STILL, sigma_1=0.3)),
    "sigma_2": Scalar(replace(STILL, c1=1.0, sigma_2=0.3), jacobian=flat(1.0)),
    "sigma_j": Scalar(replace(STILL, m2=1.0, sigma_j=0.3), outer=flat(1.0)),
    "sigma_h": Scalar(replace(STILL, c1=1.0, m2=1.0, sigma_h=0.3), jacobian=flat(1.0), outer=flat(1.0)),
    "sigma_2 of the start": Scalar(replace(STILL, sigma_2=0.3), True),
    "sigma_h of the start": Scalar(replace(STILL, m2=1.0, sigma_h=0.3), True, outer=flat(1.0)),
}


@pytest.mark.parametrize("term", BIASED)
def test_the_bias_needs_each_term(term: str) -> None:
    problem, name = BIASED[term], term.split()[0]
    bias, variance = problem.bias_and_variance()
    assert bias <= problem.bound()[0] * (1 + 1e-12)
    assert variance <= problem.bound()[1] * (1 + 1e-12)
    assert problem.bound(**{name: 0.0})[0] == 0.0
    assert bias > 1e-3


@pytest.mark.parametrize("term", SPREAD)
def test_the_variance_needs_each_term(term: str) -> None:
    problem, name = SPREAD[term], term.split()[0]
    bias, variance = problem.bias_and_variance()
    assert bias == pytest.approx(0.0, abs=1e-12)
    assert variance <= problem.bound()[1] * (1 + 1e-12)
    assert problem.bound(**{name: 0.0})[1] == 0.0
    assert variance > 1e-3


def test_the_variance_needs_the_square_of_the_bias_bound() -> None:
    """Exact derivatives along sampled paths: nothing is spread given the path, and the estimate still varies."""
    problem = replace(BIASED["mu1"], direct=torch.sin)
    bias, variance = problem.bias_and_variance()
    assert bias == pytest.approx(0.0, abs=1e-12)
    assert theorem(problem.constants, K, ALPHA, 1, start_is_phi=False).spread == 0.0
    assert 0.5 * problem.bound()[1] < variance <= problem.bound()[1]


@pytest.mark.parametrize("term", ["delta_h", "delta_j", "delta_h of the start"])
def test_shifts_alone_attain_the_bias_bound(term: str) -> None:
    assert BIASED[term].bias_and_variance()[0] == pytest.approx(BIASED[term].bound()[0])


@pytest.mark.parametrize("term", ["sigma_1", "sigma_2 of the start", "sigma_h of the start"])
def test_single_terms_attain_the_variance_bound(term: str) -> None:
    assert SPREAD[term].bias_and_variance()[1] == pytest.approx(SPREAD[term].bound()[1])
