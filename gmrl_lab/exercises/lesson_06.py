"""Exercises of lesson 06: a product telescoped, a variance taken apart, and two readings of the bound."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Answer, Case, Exercise, Mistake, Question


def _chain(factors: Tensor) -> Tensor:
    product = torch.eye(factors.shape[-1], dtype=factors.dtype)
    for factor in factors:
        product = product @ factor
    return product


def _telescope(estimates: Tensor, exact: Tensor) -> Tensor:
    """Row l: X̂_0 … X̂_{l−1} (X̂_l − X_l) X_{l+1} … X_{K−1}."""
    terms = [
        _chain(estimates[:step]) @ (estimates[step] - exact[step]) @ _chain(exact[step + 1 :])
        for step in range(len(exact))
    ]
    return torch.stack(terms)


def _around(before: str, after: str) -> Answer:
    """Terms with estimated ("estimates"), exact or no ("none") factors before and after the difference."""

    def terms(estimates: Tensor, exact: Tensor) -> Tensor:
        source = {"estimates": estimates, "exact": exact, "none": exact[:0]}
        return torch.stack(
            [
                _chain(source[before][:step]) @ (estimates[step] - exact[step]) @ _chain(source[after][step + 1 :])
                for step in range(len(exact))
            ]
        )

    return terms


def _turned(estimates: Tensor, exact: Tensor) -> Tensor:
    return _telescope(estimates.mT, exact.mT).mT


def _factor_cases() -> list[Case]:
    """Factors I + αH and I + αĤ that do not commute."""
    cases = []
    for k, size in ((1, 2), (2, 2), (4, 3)):
        generator = torch.Generator().manual_seed(k)
        hessians, errors = (torch.randn(k, size, size, generator=generator, dtype=torch.float64) for _ in range(2))
        exact = torch.eye(size, dtype=torch.float64) + 0.4 * hessians
        cases.append(Case(f"K = {k} factors of {size}×{size}", (exact + 0.1 * errors, exact)))
    return cases


TELESCOPE = Exercise(
    id="06.telescope",
    reference=_telescope,
    cases=_factor_cases,
    hint="Write out K = 2: X̂₀X̂₁ − X₀X₁. Add and subtract X̂₀X₁. Which two products are left, and what stands before "
    "and after each difference?",
    praise="They add up to the difference of the two products, and each holds one error only.",
    mistakes=(
        Mistake(
            "estimates after, exact before",
            "These add up to the right difference too: it telescopes from either end. In the proof, the factors "
            "*before* the difference are bounded by a = 1 + α(c₂ + Δ_H). Which factors need the Δ_H?",
            (_around("exact", "estimates"),),
        ),
        Mistake(
            "exact on both sides",
            "Add up your terms for K = 2 and compare with the difference of the products: what about the product of "
            "two errors? That is where a degree above 1 comes from.",
            (_around("exact", "exact"),),
        ),
        Mistake(
            "estimates on both sides",
            "Add up your terms for K = 2: is the product of the two errors counted once, or twice?",
            (_around("estimates", "estimates"),),
        ),
        Mistake(
            "differences alone",
            "That is X̂_l − X_l, and the other factors are gone. What do the factors before it do to an error?",
            (_around("none", "none"),),
        ),
        Mistake(
            "sign",
            "Each term has the right size. Estimate minus exact, or exact minus estimate?",
            (lambda estimates, exact: -_telescope(estimates, exact),),
        ),
        Mistake(
            "order of the matrices",
            "Matrices do not commute, and yours stand in the opposite order. Is factor 0 the first from the left?",
            (_turned,),
        ),
    ),
)


def _total_variance(means: Tensor, variances: Tensor, probability: Tensor) -> Tensor:
    centre = probability @ means
    return probability @ (variances + (means - centre).square().sum(-1))


def _path_cases() -> list[Case]:
    cases = []
    for n_paths, size in ((2, 1), (5, 3)):
        generator = torch.Generator().manual_seed(n_paths)
        means = 1.0 + torch.randn(n_paths, size, generator=generator, dtype=torch.float64)
        variances, weights = (torch.rand(n_paths, generator=generator, dtype=torch.float64) for _ in range(2))
        cases.append(
            Case(f"{n_paths} paths and a gradient of length {size}", (means, variances, weights / weights.sum()))
        )
    means = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    cases.append(Case("two paths with the same mean", (means, half, half)))
    return cases


def _unweighted(means: Tensor, variances: Tensor, probability: Tensor) -> Tensor:
    return _total_variance(means, variances, torch.full_like(probability, 1 / len(probability)))


TOTAL_VARIANCE = Exercise(
    id="06.total_variance",
    reference=_total_variance,
    cases=_path_cases,
    hint="Two things vary: the path, and what is drawn once the path is known. Which of your terms is which?",
    praise="Within the paths plus between them: the theorem bounds the first by spread², the second by B̄².",
    mistakes=(
        Mistake(
            "within paths alone",
            "That is the mean of the variances given the path. Two paths with no noise at all but different means: "
            "is their variance zero?",
            (lambda means, variances, probability: probability @ variances,),
        ),
        Mistake(
            "between paths alone",
            "That is the variance of the means. What if all paths have the same mean, as in one of the cases?",
            (lambda means, variances, probability: _total_variance(means, 0 * variances, probability),),
        ),
        Mistake(
            "not centred",
            "For {case} you give {got}. You square the means themselves. Around which point does a variance measure?",
            (lambda means, variances, probability: probability @ (variances + means.square().sum(-1)),),
        ),
        Mistake(
            "all paths alike",
            "You count each path once. How often does each occur?",
            (
                _unweighted,
                lambda means, variances, probability: (
                    variances.mean() + (means - probability @ means).square().sum(-1).mean()
                ),
            ),
        ),
        Mistake(
            "mean of standard deviations",
            "You average standard deviations and square at the end. Which of the two adds up, deviations or variances?",
            (
                lambda means, variances, probability: (
                    (probability @ variances.sqrt()) ** 2 + _total_variance(means, 0 * variances, probability)
                ),
            ),
        ),
    ),
)

SMALL_ERRORS = Question(
    id="06.small_errors",
    answer="a",
    why="a⁵ − b⁵ ≈ 5αb⁴Δ_H while αΔ_H ≪ b: linear, whatever K is. The degree shows only where αΔ_H ≫ b.",
    hints={
        "b": "K − 1 is LIRPG's degree, and a degree says how a polynomial grows for large arguments. What is left of "
        "(b + x)⁵ − b⁵ when x is a hundredth of b?",
        "c": "5 is the degree of a⁵ − b⁵ in Δ_H. Which of its terms is the largest when αΔ_H is a hundredth of b?",
        "d": "The exact Hessian's error is squared nowhere. Expand (b + x)⁵ − b⁵: which power of x comes first?",
    },
)

FOUR_TIMES = Question(
    id="06.four_times",
    answer="c",
    why="The bound has e_K ∝ n^(−½) and halves. The bias is O(1/n), lesson 04: the quotient doubles.",
    hints={
        "a": "The bound falls as e_K does, by a half. By how much does the bias itself fall?",
        "b": "Both fall, but not at the same rate. How does the compositional bias go with n in lesson 04, and how "
        "does e_K?",
        "d": "That would need a bias of order n^(−3/2). What power of n did lesson 04 measure?",
    },
)

EXERCISES = (TELESCOPE, TOTAL_VARIANCE, SMALL_ERRORS, FOUR_TIMES)
"""Solutions and plausible wrong answers of lesson 06."""
