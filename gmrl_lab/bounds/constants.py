"""The constants of Lemma 4.4 and Theorem 4.5: a field for each, and the worst case of any tabular softmax."""

import math
from dataclasses import dataclass, fields

from gmrl_lab._validate import bad, check_choice, check_interval, check_positive


@dataclass(frozen=True)
class Constants:
    """Assumptions 4.1 to 4.3 in numbers; each ≥ 0. Norms of matrices are spectral.

    Raises:
        ValueError: naming the constant, if one is negative or NaN.

    Taught in lessons 04 and 06.
    """

    c2: float
    """‖∇²_θ J^In‖: the inner gradient is c₂-Lipschitz in θ."""
    sigma_in: float
    """E‖ĝ − g‖² ≤ σ²_In/n, for n trajectories."""
    C0: float = 0.0
    """The outer gradient f is C₀-Lipschitz in θ; the same as μ₂ unless another f is meant."""
    C1: float = 0.0
    """∇f is C₁-Lipschitz in θ."""
    rho2: float = 0.0
    """∇²_θ J^In is ρ₂-Lipschitz in θ."""
    c1: float = 0.0
    """‖∇_φ∇_θ J^In‖."""
    rho1: float = 0.0
    """∇_φ∇_θ J^In is ρ₁-Lipschitz in θ."""
    m2: float = 0.0
    """‖∇_θ J^Out‖."""
    mu1: float = 0.0
    """∇_φ J^Out is μ₁-Lipschitz in θ."""
    mu2: float = 0.0
    """∇_θ J^Out is μ₂-Lipschitz in θ."""
    delta_h: float = 0.0
    """‖E Ĥ − H‖."""
    delta_j: float = 0.0
    """‖E D̂ − D‖."""
    sigma_h: float = 0.0
    """(max over unit x of E‖(Ĥ − E Ĥ)x‖²)^½."""
    sigma_j: float = 0.0
    """(max over unit x of E‖(D̂ − E D̂)x‖²)^½."""
    sigma_1: float = 0.0
    """(E‖∇̂_φ J^Out − ∇_φ J^Out‖²)^½."""
    sigma_2: float = 0.0
    """(E‖∇̂_θ J^Out − ∇_θ J^Out‖²)^½."""
    kind: str = "given"
    """Where they come from: "global" ones hold everywhere; "local" ones were measured on finitely many points, which
    makes them estimates and no certificate; "given" ones are the caller's."""

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("given", "global", "local"))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "kind" and not value >= 0:
                raise bad(field.name, value, "a number >= 0")


def global_constants(discount: float, reward_bound: float = 1.0) -> Constants:
    """Worst case over all policies of any tabular softmax with |R| ≤ reward_bound: valid, and astronomically loose.

    Along a direction of length 1 in the logits, the first three derivatives of π(·|s) sum to at most s₁ = 1/√2, s₂ = 1
    and s₃ = 7/√8 in absolute value, and with M = (I − γP)⁻¹, ‖M‖ ≤ m = 1/(1 − γ), those of V = M r follow:

        ‖∇V‖ ≤ s₁m²,   ‖∇²V‖ ≤ 2γs₁²m³ + s₂m²,   ‖∇³V‖ ≤ 6γ²s₁³m⁴ + 6γs₁s₂m³ + s₃m²

    times the bound on rewards. (Agarwal et al. 2021 have m² and 8m³ for the first two.) For MAML and LIRPG, whose D is
    linear in a reward of length at most 1, so that c₁ and ρ₁ are the first two with a bound of 1. σ_In is that of one
    trajectory with V as baseline: scores of length at most √2, advantages of at most 2m.

    Args:
        discount: γ in [0, 1).
        reward_bound: largest |R|.

    Raises:
        ValueError: for numbers out of range.

    Taught in lesson 06.
    """
    check_interval("discount", discount, 0.0, 1.0, open_high=True)
    check_positive("reward_bound", reward_bound)
    g, m = discount, 1 / (1 - discount)
    first, second, third = 1 / math.sqrt(2), 1.0, 7 / math.sqrt(8)
    gradient = first * m**2
    hessian = 2 * g * first**2 * m**3 + second * m**2
    jerk = 6 * g**2 * first**3 * m**4 + 6 * g * first * second * m**3 + third * m**2
    return Constants(
        c2=reward_bound * hessian,
        sigma_in=reward_bound * 2 * math.sqrt(2) * m**2,
        C0=reward_bound * hessian,
        C1=reward_bound * jerk,
        rho2=reward_bound * jerk,
        c1=gradient,
        rho1=hessian,
        m2=reward_bound * gradient,
        mu2=reward_bound * hessian,
        kind="global",
    )
