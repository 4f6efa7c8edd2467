"""Two rooms, four trajectories of two steps: what lesson 04's explorer knows about its world without sampling."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import bounds
from gmrl_lab.paths import every_end

HORIZON, MOST_LISTED = 2, 12_000
ESTIMATORS = {"AD": "AD()", "LVC": "LVC()", "Loaded DiCE": "LoadedDiCE()", "DiCE": "DiCE()"}
FORMS = {"published": "Lemma 4.4", "rms": "root mean square", "second_order": "second order"}

ROOMS = """\
stay = torch.eye(2, dtype=torch.float64)
rooms = torch.stack([stay, stay.flip(0)], dim=1)  # action 0 stays, action 1 goes to the other room
pay = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)  # for staying in room 1
mdp = gl.TabularMDP(rooms, pay, discount=0.8)"""
"""The lines that make the MDP, as they are shown."""


@dataclass(frozen=True)
class Point:
    """One place on the axes: what decides where the inner loop can end, and how likely."""

    n_inner_steps: int
    inner_lr: float
    n_trajectories: int
    estimator: str
    samples: str

    @property
    def step(self) -> tuple[int, float]:
        """K and α."""
        return self.n_inner_steps, self.inner_lr

    @property
    def inner(self) -> gl.Sampled | gl.Reused:
        """The sampled inner update."""
        estimator = getattr(gl, ESTIMATORS[self.estimator].removesuffix("()"))()
        fresh = gl.Sampled(estimator, self.n_trajectories, HORIZON, baseline=gl.Baseline(noise=0.0))
        return gl.Reused(fresh) if self.samples == "reused" else fresh

    @property
    def exact(self) -> gl.Exact:
        """What that update is unbiased for: the T-step objective, for DiCE without bootstrap."""
        return gl.Exact(HORIZON, bootstrap=self.estimator != "DiCE")

    @property
    def n_sequences(self) -> int:
        """How many sequences of samples there are; a sample is a multiset of n of four trajectories."""
        return int(math.comb(self.n_trajectories + 3, 3) ** self.n_inner_steps)

    @property
    def bounded(self) -> bool:
        """Whether the bounds speak of it: they need fresh samples."""
        return self.samples == "fresh"


@lru_cache
def task() -> gl.MAML:
    """MAML in the two rooms; the policy starts uniform."""
    stay = torch.eye(2, dtype=torch.float64)
    rooms = torch.stack([stay, stay.flip(0)], dim=1)
    pay = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    return gl.MAML(gl.TabularMDP(rooms, pay, discount=0.8))


def start() -> Tensor:
    """φ = θ⁰ = 0."""
    return torch.zeros(2, 2, dtype=torch.float64)


def outer_gradient(theta: Tensor) -> Tensor:
    """f(θ) = ∇J^Out(θ), whose mean at θ̂^K is compared with its value at θ^K."""
    return gl.exact.gradient(task().mdp, theta)


@lru_cache(maxsize=512)
def target(point: Point) -> Tensor:
    """θ^K of exact steps with the samples' horizon."""
    return gl.inner_path(task(), start(), *point.step, point.exact)[-1]


@lru_cache(maxsize=512)
def horizon_part(point: Point) -> float:
    """‖f after exact T-step updates − f after exact infinite ones‖: no sample size removes it."""
    infinite = gl.inner_path(task(), start(), *point.step)[-1]
    return float(torch.linalg.vector_norm(outer_gradient(target(point)) - outer_gradient(infinite)))


def ends(point: Point, n_trials: int, generator: torch.Generator) -> Tensor:
    """Ends of sampled inner loops, `(M, 2, 2)`."""
    return gl.inner_path(task(), start(), *point.step, point.inner, n_trials, generator)[-1]


def strayed(point: Point, theta: Tensor) -> Tensor:
    """‖θ̂^K − θ^K‖ of each end, `(M,)`."""
    distance: Tensor = torch.linalg.vector_norm((theta - target(point)).flatten(1), dim=-1)
    return distance


@lru_cache(maxsize=512)
def true_bias(point: Point) -> float | None:
    """‖E f(θ̂^K) − f(θ^K)‖ over every sample; None where there are more than MOST_LISTED sequences of samples."""
    if point.n_sequences > MOST_LISTED:
        return None
    theta, probability = every_end(task(), start(), *point.step, point.inner)
    bias = torch.einsum("m,msa->sa", probability, outer_gradient(theta)) - outer_gradient(target(point))
    return float(torch.linalg.vector_norm(bias))


@lru_cache(maxsize=256)
def constants(n_inner_steps: int, inner_lr: float, estimator: str) -> bounds.Constants:
    """Measured on paths of one trajectory a step, which stray farthest, so that they serve every sample size."""
    one = Point(n_inner_steps, inner_lr, 1, estimator, "fresh")
    settings = {"target": one.exact, "n_points": 32, "generator": torch.Generator().manual_seed(0)}
    found = bounds.local_constants(task(), start(), *one.step, inner=one.inner, **settings)  # type: ignore[arg-type]
    return replace(found, sigma_in=max(_variances(one)) ** 0.5)


def _variances(one: Point) -> Iterator[float]:
    """Mean variance of one trajectory's gradient at the θ̂ᵏ of each step: exact, from every path."""
    for k in range(1, one.n_inner_steps + 1):
        theta, probability = (x.unflatten(0, (-1, 4)) for x in every_end(task(), start(), k, one.inner_lr, one.inner))
        weight = probability.unsqueeze(-1).unsqueeze(-1)
        centre = (weight * theta).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        yield (weight * (theta - centre).square()).sum().item() / one.inner_lr**2


def bias_bound(point: Point, form: str) -> float:
    """Bound on ‖E f(θ̂^K) − f(θ^K)‖ in one of its FORMS."""
    found = constants(*point.step, point.estimator)
    return bounds.compositional_bias(found, *point.step, point.n_trajectories, form)


def path_bound(point: Point, form: str) -> float:
    """Bound on E‖θ̂^K − θ^K‖, published or rms."""
    return bounds.path_error(constants(*point.step, point.estimator), *point.step, point.n_trajectories, form)[-1]
