"""Lemma 4.4 and Theorem 4.5 against problems whose constants are known and whose every outcome is listed."""

import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from helpers import normal
from torch import Tensor

from gmrl_lab.bounds import Constants, compositional_bias, geometric_sum, global_constants, path_error, theorem

ALPHA = 0.4


@dataclass
class Problem:
    """g(φ, θ) = A sin(Bθ + Eφ), J^Out = w·sin(Qθ + Rφ), two dimensions, and noise of two outcomes in every place.

    Every derivative is bounded everywhere by products of spectral norms, so that the constants are truly valid.
    """

    a: Tensor
    b: Tensor
    e: Tensor
    q: Tensor
    r: Tensor
    w: Tensor
    u: Tensor  # inner noise, (K, 2)
    shift_h: Tensor  # bias and noise of Ĥ and D̂, (K, 2, 2)
    noise_h: Tensor
    shift_d: Tensor
    noise_d: Tensor
    outer: Tensor  # noise of ∇̂_φ and ∇̂_θ, (2, 2)
    maml: bool

    @classmethod
    def draw(cls, seed: int, k: int, maml: bool, size: float = 1.0, inner: float = 1.0) -> "Problem":
        x = [normal(2, 2, seed=100 * seed + i) for i in range(4)]
        noise = [size * normal(k, 2, 2, seed=100 * seed + i) for i in range(4, 8)]
        if maml:
            x[2], noise[2], noise[3] = torch.zeros(2, 2), torch.zeros(k, 2, 2), torch.zeros(k, 2, 2)
        own = {
            "r": torch.zeros(2, 2) if maml else normal(2, 2, seed=100 * seed + 8),
            "w": normal(2, seed=100 * seed + 9),
        }
        u, outer = inner * normal(k, 2, seed=100 * seed + 10), size * normal(2, 2, seed=100 * seed + 11)
        if maml:
            outer = outer * torch.tensor([[0.0], [1.0]])
        x = [part.double() for part in x]
        return cls(x[0], x[1], x[2], x[3], own["r"].double(), own["w"], u, *[n.double() for n in noise], outer, maml)

    @property
    def k(self) -> int:
        return len(self.u)

    def constants(self) -> Constants:
        a, b, e, q, r = (torch.linalg.matrix_norm(x, 2).item() for x in (self.a, self.b, self.e, self.q, self.r))
        w = self.w.abs().max().item()
        largest = [
            torch.linalg.matrix_norm(x, 2).max().item()
            for x in (self.shift_h, self.noise_h, self.shift_d, self.noise_d)
        ]
        return Constants(
            c2=a * b,
            sigma_in=self.u.norm(dim=-1).max().item(),
            C0=q * q * w,
            C1=q**3 * w,
            rho2=a * b * b,
            c1=a * e,
            rho1=a * b * e,
            m2=q * self.w.norm().item(),
            mu1=q * r * w,
            mu2=q * q * w,
            delta_h=largest[0],
            sigma_h=largest[1],
            delta_j=largest[2],
            sigma_j=largest[3],
            sigma_1=self.outer[0].norm().item(),
            sigma_2=self.outer[1].norm().item(),
        )

    def step(self, phi: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """g, D and H, entries (a, b) = ∂g_b/∂(·)_a; θ (N, 2)."""
        inside = theta @ self.b.T + phi @ self.e.T
        slope = inside.cos().unsqueeze(-2) * self.a  # (N, out, hidden)
        return inside.sin() @ self.a.T, (slope @ self.e).mT, (slope @ self.b).mT

    def estimates(self, phi: Tensor, noisy: bool) -> tuple[Tensor, Tensor]:
        """The estimate in each outcome and the θ^K it ended at; all outcomes are equally likely."""
        signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3 * self.k + 1)), dtype=torch.float64)
        signs = signs if noisy else 0 * signs[:1]
        theta = (phi if self.maml else torch.zeros(2, dtype=torch.float64)).expand(len(signs), 2)
        eye = torch.eye(2, dtype=torch.float64)
        through = (eye if self.maml else 0 * eye).expand(len(signs), 2, 2)
        on = 1.0 if noisy else 0.0
        for k in range(self.k):
            g, d, h = self.step(phi, theta)
            s = signs[:, 3 * k : 3 * k + 3, None, None].unbind(1)
            h = h + on * self.shift_h[k] + s[1] * self.noise_h[k]
            d = d + on * self.shift_d[k] + s[2] * self.noise_d[k]
            through = through @ (eye + ALPHA * h) + ALPHA * d
            theta = theta + ALPHA * (g + s[0][..., 0] * self.u[k])
        outer = (theta @ self.q.T + phi @ self.r.T).cos() * self.w
        last = signs[:, -1:]
        direct, v = outer @ self.r + last * self.outer[0], outer @ self.q + last * self.outer[1]
        return direct + (through @ v.unsqueeze(-1)).squeeze(-1), theta

    def bias_and_variance(self) -> tuple[float, float]:
        phi = normal(2, seed=1)
        found, exact = self.estimates(phi, True)[0], self.estimates(phi, False)[0][0]
        mean = found.mean(0)
        return (mean - exact).norm().item(), (found - mean).square().sum(-1).mean().item()


CASES = [(seed, k, maml) for seed in range(60) for k in (1, 2, 3) for maml in (False, True)]


@pytest.mark.parametrize("form", ["published", "rms"])
@pytest.mark.parametrize("size", [0.03, 1.0])
def test_theorem_is_never_violated(form: str, size: float) -> None:
    """360 problems, every outcome of each: bias and variance stay below the bound."""
    for seed, k, maml in CASES:
        problem = Problem.draw(seed, k, maml, size, inner=size)
        bound = theorem(problem.constants(), k, ALPHA, 1, start_is_phi=maml, form=form)
        bias, variance = problem.bias_and_variance()
        assert bias <= bound.bias * (1 + 1e-9)
        assert variance <= bound.variance * (1 + 1e-9)


@pytest.mark.parametrize("forgotten", ["delta_h", "delta_j", "mu1", "mu2", "rho1"])
def test_theorem_without_one_constant_is_violated(forgotten: str) -> None:
    """Power: where all other effects are switched off, a bound that forgets one is caught."""
    caught = 0
    for seed in range(60):
        problem = Problem.draw(
            seed, 2, maml=False, size=0.02, inner=0.5 if forgotten in ("mu1", "mu2", "rho1") else 0.0
        )
        keep = {"delta_h": "shift_h", "delta_j": "shift_d"}.get(forgotten)
        for name in ("shift_h", "shift_d", "noise_h", "noise_d"):
            if name != keep:
                setattr(problem, name, 0 * getattr(problem, name))
        constants = replace(problem.constants(), **{forgotten: 0.0})
        if forgotten in ("mu1", "mu2", "rho1"):
            others = {name: 0.0 for name in ("mu1", "mu2", "rho1", "rho2") if name != forgotten}
            constants = replace(constants, **others)
        caught += problem.bias_and_variance()[0] > theorem(constants, 2, ALPHA, 1, start_is_phi=False).bias * (1 + 1e-6)
    assert caught > 10


def test_variance_without_the_noise_of_the_hessian_is_violated() -> None:
    caught = 0
    for seed in range(60):
        problem = Problem.draw(seed, 2, maml=True, size=0.0, inner=0.0)
        problem.noise_h = 0.5 * normal(2, 2, 2, seed=seed)
        bound = theorem(replace(problem.constants(), sigma_h=0.0), 2, ALPHA, 1, start_is_phi=True)
        caught += problem.bias_and_variance()[1] > bound.variance + 1e-12
    assert caught == 60


def test_lemma_is_never_violated() -> None:
    """Path error and bias of the outer gradient, in all three forms."""
    for seed, k, maml in CASES:
        for inner in (0.05, 1.0):
            problem = Problem.draw(seed, k, maml, 0.0, inner)
            phi, constants = normal(2, seed=1), problem.constants()
            ends, end = problem.estimates(phi, True)[1], problem.estimates(phi, False)[1][0]
            strayed = (ends - end).norm(dim=-1)
            errors = [path_error(constants, k, ALPHA, 1, form)[-1] for form in ("published", "rms")]
            assert strayed.square().mean().sqrt() <= errors[1] * (1 + 1e-9)
            assert errors[1] <= errors[0] * (1 + 1e-12)
            outer = [((x @ problem.q.T + phi @ problem.r.T).cos() * problem.w) @ problem.q for x in (ends, end)]
            bias = (outer[0].mean(0) - outer[1]).norm()
            for form in ("published", "rms", "second_order"):
                assert bias <= compositional_bias(constants, k, ALPHA, 1, form) * (1 + 1e-9)


def test_second_order_without_its_curvatures_is_violated() -> None:
    """Power: C₁ = 0 leaves nothing at K = 1, and the bias is there."""
    caught = 0
    for seed in range(60):
        problem = Problem.draw(seed, 1, False, 0.0, 0.5)
        phi = normal(2, seed=1)
        ends, end = problem.estimates(phi, True)[1], problem.estimates(phi, False)[1][0]
        outer = [((x @ problem.q.T + phi @ problem.r.T).cos() * problem.w) @ problem.q for x in (ends, end)]
        forgetful = compositional_bias(replace(problem.constants(), C1=0.0), 1, ALPHA, 1, "second_order")
        caught += (outer[0].mean(0) - outer[1]).norm().item() > forgetful + 1e-6
    assert caught == 60


# --- where the bounds are attained ------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", range(5))
def test_rms_path_error_is_attained_by_a_linear_field(k: int) -> None:
    """g = c₂θ with steps ±σ: errors add in squares, and each is stretched by b in every later step."""
    c2, sigma, n = 0.7, 1.3, 4
    theta = torch.zeros(1, dtype=torch.float64)
    for _ in range(k):
        noise = torch.tensor([-1.0, 1.0], dtype=torch.float64) * sigma / math.sqrt(n)
        theta = (theta.unsqueeze(-1) * (1 + ALPHA * c2) + ALPHA * noise).flatten()
    bound = path_error(Constants(c2=c2, sigma_in=sigma), k, ALPHA, n, "rms")[-1]
    assert bound == pytest.approx(theta.square().mean().sqrt().item())


def test_second_order_is_attained_at_one_step() -> None:
    """f = ½C₁θ²: the bias is ½C₁α²σ²/n, at every n, where the published bound is σ/√n."""
    constants = Constants(c2=0.7, sigma_in=1.3, C0=5.0, C1=2.0)
    for n in (1, 4, 64):
        assert compositional_bias(constants, 1, ALPHA, n, "second_order") == pytest.approx(ALPHA**2 * 1.3**2 / n)
        assert compositional_bias(constants, 1, ALPHA, n) == pytest.approx(5 * ALPHA * 1.3 / math.sqrt(n))


def test_second_order_is_attained_at_two_steps_of_a_curved_field() -> None:
    """g = c₂θ + ½ρ₂θ² from 0, f = C₀θ: E θ̂² = ½αρ₂(ασ)²/n where θ² = 0, so that ρ₂ alone makes the bias."""
    c2, rho2, sigma, n = 0.7, 0.9, 1.3, 4
    first = ALPHA * sigma / math.sqrt(n) * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    second = first + ALPHA * (c2 * first + 0.5 * rho2 * first**2)  # and fresh noise, whose mean is zero
    constants = Constants(c2=c2, sigma_in=sigma, rho2=rho2, C0=5.0)
    assert compositional_bias(constants, 2, ALPHA, n, "second_order") == pytest.approx(5 * second.mean().item())


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_hessian_part_is_attained_by_constant_hessians(k: int) -> None:
    """H = c₂, Ĥ = c₂ + Δ, v = m₂: MAML's bias is m₂(a^K − b^K), the others' αc₁m₂Σ(a^r − b^r), nothing at K = 1."""
    c = Constants(c2=0.3, sigma_in=0.0, c1=0.8, m2=1.7, delta_h=0.2)
    a, b = 1 + ALPHA * 0.5, 1 + ALPHA * 0.3
    assert theorem(c, k, ALPHA, 1, start_is_phi=True).bias == pytest.approx(1.7 * (a**k - b**k))
    others = ALPHA * 0.8 * 1.7 * sum(a**r - b**r for r in range(k))
    assert theorem(c, k, ALPHA, 1, start_is_phi=False).hessian == pytest.approx(others)
    assert (theorem(c, k, ALPHA, 1, start_is_phi=False).hessian == 0) == (k == 1)


@pytest.mark.parametrize(("maml", "degree"), [(True, 3), (False, 2)])
def test_degree_shows_for_large_errors_and_is_one_for_small(maml: bool, degree: int) -> None:
    """K = 3: log-log slope in Δ_H from 1 to K (MAML) or K − 1."""

    def slope(delta: float) -> float:
        c = Constants(c2=0.3, sigma_in=0.0, c1=0.8, m2=1.7)
        sizes = [theorem(replace(c, delta_h=x), 3, ALPHA, 1, start_is_phi=maml).hessian for x in (delta, 1.01 * delta)]
        return math.log(sizes[1] / sizes[0]) / math.log(1.01)

    assert slope(1e-6) == pytest.approx(1, abs=1e-3)
    assert slope(1e6) == pytest.approx(degree, abs=1e-3)


def test_no_digit_is_lost_where_the_growth_is_near_one() -> None:
    """α c₂ = 1e-12: (b^K − 1)/c₂ would have four digits; and Δ_H = 1e-13."""
    assert geometric_sum(1 + 1e-12, 3) == pytest.approx(3, rel=1e-11)
    small = Constants(c2=1e-12, sigma_in=1.0, m2=1.0, delta_h=1e-13)
    assert path_error(small, 3, 1.0, 1)[-1] == pytest.approx(3, rel=1e-11)
    assert theorem(small, 3, 1.0, 1, start_is_phi=True).hessian == pytest.approx(3e-13, rel=1e-3)


def test_published_grows_like_k_and_rms_like_its_root() -> None:
    flat = Constants(c2=1e-6, sigma_in=1.0)
    published, rms = (path_error(flat, 9, 1.0, 1, form) for form in ("published", "rms"))
    assert published[9] / published[1] == pytest.approx(9, rel=1e-3)
    assert rms[9] / rms[1] == pytest.approx(3, rel=1e-3)


# --- global constants -------------------------------------------------------------------------------------------------
def test_derivatives_of_a_softmax_stay_below_their_constants() -> None:
    """Σ_a|π⁽ᵏ⁾| along 2,000 random directions of length 1, and along the worst one, at which the first is attained."""
    theta, u = 2 * normal(2000, 4), normal(2000, 4, seed=1)
    u = u / u.norm(dim=-1, keepdim=True)
    theta[0], u[0] = torch.tensor([0.0, 0.0, -60, -60]), torch.tensor([0.5**0.5, -(0.5**0.5), 0, 0])
    policy = theta.softmax(-1)
    x = u - (policy * u).sum(-1, keepdim=True)
    variance, third = ((policy * x**n).sum(-1, keepdim=True) for n in (2, 3))
    sizes = [
        (policy * part).abs().sum(-1).max().item() for part in (x, x**2 - variance, x**3 - 3 * x * variance - third)
    ]
    assert sizes[0] == pytest.approx(1 / math.sqrt(2))
    assert sizes[1] <= 1
    assert sizes[2] <= 7 / math.sqrt(8)


def test_global_constants_are_below_those_in_the_literature() -> None:
    """Agarwal et al. 2021: 1/(1 − γ)² and 8/(1 − γ)³; here they are no larger, and of the same order."""
    for discount in (0.0, 0.5, 0.8, 0.99):
        found, m = global_constants(discount), 1 / (1 - discount)
        assert 0.5 * m**2 < found.m2 < m**2
        assert found.c2 < 8 * m**3
    assert global_constants(0.8, 2.0).c2 == 2 * global_constants(0.8).c2
    assert global_constants(0.8, 2.0).c1 == global_constants(0.8).c1


def test_bad_input() -> None:
    good = Constants(c2=1.0, sigma_in=1.0)
    with pytest.raises(ValueError, match=r"rho2: got -1\.0, allowed is a number >= 0"):
        Constants(c2=1.0, sigma_in=1.0, rho2=-1.0)
    with pytest.raises(ValueError, match="kind: got 'guessed'"):
        Constants(c2=1.0, sigma_in=1.0, kind="guessed")
    with pytest.raises(ValueError, match="c2: got nan"):
        Constants(c2=math.nan, sigma_in=1.0)
    with pytest.raises(ValueError, match="form: got 'sharp', allowed is one of 'published', 'rms'"):
        path_error(good, 1, 1.0, 1, "sharp")
    with pytest.raises(ValueError, match="form: got 'sharp', allowed is one of 'published', 'rms', 'second_order'"):
        compositional_bias(good, 1, 1.0, 1, "sharp")
    with pytest.raises(ValueError, match="n_trajectories: got 0"):
        path_error(good, 1, 1.0, 0)
    with pytest.raises(ValueError, match="inner_lr: got 0"):
        theorem(good, 1, 0, 1, start_is_phi=True)
    with pytest.raises(ValueError, match="n_inner_steps: got -1"):
        compositional_bias(good, -1, 1.0, 1)
    with pytest.raises(ValueError, match=r"discount: got 1\.0"):
        global_constants(1.0)
    with pytest.raises(ValueError, match="reward_bound: got 0"):
        global_constants(0.5, 0)
