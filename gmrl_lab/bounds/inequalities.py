"""Lemma 4.4 and Theorem 4.5 with explicit constants: from numbers about a problem to bounds on its meta-gradient."""

import math
from dataclasses import dataclass, replace

from gmrl_lab._validate import check_choice, check_positive, check_whole
from gmrl_lab.bounds.constants import Constants

ERROR_FORMS = ("published", "rms")
BIAS_FORMS = ("published", "rms", "second_order")


def path_error(
    constants: Constants, n_inner_steps: int, inner_lr: float, n_trajectories: int, form: str = "published"
) -> list[float]:
    """Bounds e_0 … e_K on how far sampled inner steps stray from the exact path, E‖θ̂ᵏ − θᵏ‖ ≤ e_k.

        published:  e_k = α σ_In/√n · Σ_{j<k} bʲ          b = 1 + α c₂   (Lemma 4.4 of the paper)
        rms:        e_k = α σ_In/√n · (Σ_{j<k} b²ʲ)^½     errors add in squares, since their mean is zero

    The second bounds (E‖θ̂ᵏ − θᵏ‖²)^½ as well; it grows like √k, not k, while kαc₂ ≪ 1, and is attained where every
    step stretches all errors alike.

    Args:
        constants: c₂ and σ_In.
        n_inner_steps: K ≥ 0.
        inner_lr: α > 0.
        n_trajectories: n, of each inner step.
        form: "published" or "rms".

    Returns:
        K + 1 numbers, the first zero.

    Raises:
        ValueError: for numbers out of range or an unknown form.

    Taught in lesson 04.
    """
    _check(n_inner_steps, inner_lr, n_trajectories)
    check_choice("form", form, ERROR_FORMS)
    step, b = inner_lr * constants.sigma_in / math.sqrt(n_trajectories), 1 + inner_lr * constants.c2
    if form == "published":
        return [step * geometric_sum(b, k) for k in range(n_inner_steps + 1)]
    return [step * math.sqrt(geometric_sum(b * b, k)) for k in range(n_inner_steps + 1)]


def compositional_bias(
    constants: Constants, n_inner_steps: int, inner_lr: float, n_trajectories: int, form: str = "published"
) -> float:
    """Bound on ‖E f(θ̂^K) − f(θ^K)‖ for the outer gradient f, the compositional bias (Lemma 4.4).

        published, rms:  C₀ e_K
        second_order:    C₀ β_K + ½ C₁ e_K²,   β_{k+1} = b β_k + ½ α ρ₂ e_k²,   e of the rms form:  O(1/n)

    The last one is sharper for large n: the straying itself is O(n^-½), but its mean is only O(1/n), because the noise
    has mean zero and enters through curvature alone. β_K bounds the mean, ‖E θ̂^K − θ^K‖.

    Args:
        constants: c₂, σ_In, C₀, and for the last form ρ₂ and C₁.
        n_inner_steps, inner_lr, n_trajectories: as for `path_error`.
        form: "published", "rms" or "second_order".

    Raises:
        ValueError: as `path_error`.

    Taught in lesson 04.
    """
    check_choice("form", form, BIAS_FORMS)
    if form != "second_order":
        return constants.C0 * path_error(constants, n_inner_steps, inner_lr, n_trajectories, form)[-1]
    errors = path_error(constants, n_inner_steps, inner_lr, n_trajectories, "rms")
    mean = 0.0
    for error in errors[:-1]:
        mean = (1 + inner_lr * constants.c2) * mean + 0.5 * inner_lr * constants.rho2 * error**2
    return constants.C0 * mean + 0.5 * constants.C1 * errors[-1] ** 2


@dataclass(frozen=True)
class TheoremBound:
    """Theorem 4.5's bound on the bias, in the parts that add up to it, and on the variance.

    Taught in lesson 06.
    """

    compositional: float
    """What the sampled path costs: all terms with e_k."""
    hessian: float
    """What biased Hessians cost: (a^r − b^r), zero where Δ_H is."""
    jacobian: float
    """What biased Jacobians cost: Δ_J."""
    spread: float
    """Bound on the standard deviation given the path."""

    @property
    def bias(self) -> float:
        """B̄, bound on the norm of the bias."""
        return self.compositional + self.hessian + self.jacobian

    @property
    def variance(self) -> float:
        """Bound on the variance, B̄² + spread²."""
        return self.bias**2 + self.spread**2


def theorem(
    constants: Constants,
    n_inner_steps: int,
    inner_lr: float,
    n_trajectories: int,
    *,
    start_is_phi: bool,
    form: str = "rms",
) -> TheoremBound:
    """Theorem 4.5 with explicit constants: bias and variance of the K-step estimate (Eq. 4).

        B̄ = μ₁e_K + α Σ_i {m₂a^{r_i}(ρ₁e_i + Δ_J) + m₂c₁[(a^{r_i} − b^{r_i}) + αρ₂ Σ_{l>i} a^{l−i−1}b^{K−1−l}e_l]
                             + c₁μ₂b^{r_i}e_K},      a = 1 + α(c₂ + Δ_H),  b = 1 + αc₂,  r_i = K − 1 − i

    and where the start is φ (MAML) m₂[(a^K − b^K) + αρ₂ Σ_{l<K} a^l b^{K−1−l}e_l] + b^Kμ₂e_K on top. The variance is at
    most B̄² + (σ₁ + α Σ_i {[(c₁ + Δ_J)² + σ_J²]A^{2r_i}(m₂² + σ₂²) − (c₁ + Δ_J)²a^{2r_i}m₂²}^½ [+ the like for the
    start])², A² = a² + α²σ_H². Samples for Hessians, Jacobians and outer gradient are fresh, given the path.

    Args:
        constants: all of them; σ_In per trajectory, the other σ per estimate as it is used.
        n_inner_steps, inner_lr, n_trajectories: K, α, and the n of each inner step.
        start_is_phi: whether θ⁰ = φ, with D = 0 elsewhere, as in MAML; else θ⁰ is free of φ.
        form: of the path errors e_k, "rms" or "published".

    Raises:
        ValueError: as `path_error`.

    Taught in lesson 06.
    """
    e = path_error(constants, n_inner_steps, inner_lr, n_trajectories, form)
    if start_is_phi:
        own = replace(constants, c1=0.0, rho1=0.0, delta_j=0.0, sigma_j=0.0, mu1=0.0, sigma_1=0.0)
        return _from_start(own, inner_lr, e)
    total = TheoremBound(constants.mu1 * e[-1], 0.0, 0.0, constants.sigma_1)
    for i in range(n_inner_steps):
        total = _plus(total, _from_update(constants, inner_lr, e, i))
    return total


def geometric_sum(ratio: float, n_terms: int) -> float:
    """Σ_{j<n} ratioʲ, term by term: (ratioⁿ − 1)/(ratio − 1) loses all digits where the ratio is near 1.

    Taught in lesson 04.
    """
    return math.fsum(ratio**j for j in range(n_terms))


def _from_start(c: Constants, inner_lr: float, e: list[float]) -> TheoremBound:
    k, a, b, big_a2 = _growth(c, inner_lr, e)
    curved = c.m2 * inner_lr * c.rho2 * math.fsum(a**step * b ** (k - 1 - step) * e[step] for step in range(k))
    spread = _root(big_a2**k * (c.m2**2 + c.sigma_2**2) - a ** (2 * k) * c.m2**2)
    return TheoremBound(curved + b**k * c.mu2 * e[-1], c.m2 * _difference(a, b, k), 0.0, spread)


def _from_update(c: Constants, inner_lr: float, e: list[float], i: int) -> TheoremBound:
    k, a, b, big_a2 = _growth(c, inner_lr, e)
    r = k - 1 - i
    curved = math.fsum(a ** (step - i - 1) * b ** (k - 1 - step) * e[step] for step in range(i + 1, k))
    path = c.m2 * a**r * c.rho1 * e[i] + c.m2 * c.c1 * inner_lr * c.rho2 * curved + c.c1 * c.mu2 * b**r * e[-1]
    seen = (c.c1 + c.delta_j) ** 2
    spread = _root((seen + c.sigma_j**2) * big_a2**r * (c.m2**2 + c.sigma_2**2) - seen * a ** (2 * r) * c.m2**2)
    parts = (path, c.m2 * c.c1 * _difference(a, b, r), c.m2 * a**r * c.delta_j, spread)
    return TheoremBound(*(inner_lr * part for part in parts))


def _growth(c: Constants, inner_lr: float, e: list[float]) -> tuple[int, float, float, float]:
    """K, a, b and A²."""
    a = 1 + inner_lr * (c.c2 + c.delta_h)
    return len(e) - 1, a, 1 + inner_lr * c.c2, a * a + (inner_lr * c.sigma_h) ** 2


def _difference(a: float, b: float, power: int) -> float:
    """a^r − b^r as (a − b) Σ_l a^l b^{r−1−l}, without cancellation."""
    return (a - b) * math.fsum(a**step * b ** (power - 1 - step) for step in range(power))


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


def _plus(x: TheoremBound, y: TheoremBound) -> TheoremBound:
    names = ("compositional", "hessian", "jacobian", "spread")
    return TheoremBound(*(getattr(x, name) + getattr(y, name) for name in names))


def _check(n_inner_steps: int, inner_lr: float, n_trajectories: int) -> None:
    check_whole("n_inner_steps", n_inner_steps, 0)
    check_positive("inner_lr", inner_lr)
    check_whole("n_trajectories", n_trajectories, 1)
