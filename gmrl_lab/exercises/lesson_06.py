"""Exercises of lesson 06: the Hessian part of the bound, the variance of a product, and what no term covers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _hessian_part(k: int, inner_lr: float, c1: float, c2: float, m2: float, delta: float, start_is_phi: bool) -> float:
    a, b = 1 + inner_lr * (c2 + delta), 1 + inner_lr * c2
    if start_is_phi:
        return m2 * (a**k - b**k)
    return inner_lr * m2 * c1 * sum(a**r - b**r for r in range(k))


def _through_updates_only(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    return _hessian_part(k, lr, c1, c2, m2, delta, False)


def _hessian_in_every_term(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    if start:
        return _hessian_part(k, lr, c1, c2, m2, delta, True)
    return _hessian_part(k + 1, lr, c1, c2, m2, delta, False)


def _leading_power(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    return m2 * (lr * delta) ** k if start else lr * m2 * c1 * (lr * delta) ** (k - 1)


def _first_order(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    b = 1 + lr * c2
    if start:
        return m2 * k * lr * delta * b ** (k - 1)
    return lr * m2 * c1 * sum(r * lr * delta * b ** (r - 1) for r in range(1, k))


def _power_of_the_difference(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    return m2 * (lr * delta) ** k if start else lr * m2 * c1 * sum((lr * delta) ** r for r in range(1, k))


def _no_curvature(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    return _hessian_part(k, lr, c1, 0.0, m2, delta, start)


def _no_step_size_in_front(k: int, lr: float, c1: float, c2: float, m2: float, delta: float, start: bool) -> float:
    return _hessian_part(k, lr, c1, c2, m2, delta, start) / (1.0 if start else lr)


def _hessian_cases() -> list[Case]:
    cases = []
    for k in (1, 2, 3, 4):
        for start, name in ((True, "MAML"), (False, "LIRPG")):
            cases.append(Case(f"{name} at K = {k}", (k, 0.5, 0.8, 0.6, 1.5, 0.4, start)))
    return cases


HESSIAN_PART = Exercise(
    id="06.hessian_part",
    reference=_hessian_part,
    cases=_hessian_cases,
    praise="That is it. At K = 1 MAML has one factor to get wrong, and LIRPG has none.",
    hint="Take K = 1 first. How many factors I + αH does MAML's only product have, and how many has LIRPG's?",
    mistakes=(
        Mistake(
            "no start term",
            "For {case}: {got}, not {expected}. In MAML φ is the start itself; how many factors lie behind it?",
            (_through_updates_only,),
        ),
        Mistake(
            "a factor too many",
            "For {case}: {got}, not {expected}. Nothing follows the D of the last step: where does r end?",
            (_hessian_in_every_term,),
        ),
        Mistake(
            "leading power",
            "For {case}: {got}, not {expected}. That power of Δ_H is what wins when Δ_H is huge. What is left when it "
            "is not?",
            (_leading_power, _power_of_the_difference),
        ),
        Mistake(
            "first order",
            "For {case}: {got}, not {expected}. That is the tangent at Δ_H = 0; what of the products of two errors?",
            (_first_order,),
        ),
        Mistake(
            "no curvature",
            "For {case}: {got}, not {expected}. An error is stretched by the other factors too: what bounds those?",
            (_no_curvature,),
        ),
        Mistake(
            "no step size in front",
            "For {case}: {got}, not {expected}. How much of D does one update add to the path?",
            (_no_step_size_in_front,),
        ),
    ),
)


def _variance(a: float, sigma: float, k: int) -> float:
    return (a * a + sigma * sigma) ** k - a ** (2 * k)


def _variance_mistakes() -> tuple[Mistake, ...]:
    wrong: dict[str, tuple[str, tuple[Callable[[float, float, int], float], ...]]] = {
        "sum of variances": (
            "For {case}: {got}, not {expected}. You add up the K variances. What multiplies one factor's noise?",
            (lambda a, s, k: k * s * s,),
        ),
        "first order": (
            "For {case}: {got}, not {expected}. You let one factor be noisy at a time; can two be noisy at once?",
            (lambda a, s, k: k * s * s * a ** (2 * k - 2),),
        ),
        "product of variances": (
            "For {case}: {got}, not {expected}. Is the variance of a product the product of the variances? Try "
            "a factor with none.",
            (lambda a, s, k: s ** (2 * k),),
        ),
        "second moment": (
            "For {case}: {got}, not {expected}. That is the mean of the square; what is to be taken off?",
            (lambda a, s, k: (a * a + s * s) ** k,),
        ),
        "one factor for all": (
            "For {case}: {got}, not {expected}. You drew one factor and raised it to the power K, or nearly so. Is "
            "each factor drawn anew?",
            (_same_factor,),
        ),
    }
    return tuple(Mistake(name, hint, answers) for name, (hint, answers) in wrong.items())


def _same_factor(a: float, sigma: float, k: int) -> float:
    outcomes = torch.tensor([a - sigma, a + sigma], dtype=torch.float64) ** k
    return float(outcomes.var(correction=0))


def _variance_cases() -> list[Case]:
    return [
        Case(f"a = {a:g}, σ = {s:g}, K = {k}", (a, s, k)) for a, s, k in ((2.0, 1.0, 2), (1.5, 0.5, 3), (1.2, 0.3, 4))
    ]


VARIANCE_OF_A_PRODUCT = Exercise(
    id="06.variance_of_a_product",
    reference=_variance,
    cases=_variance_cases,
    praise="That is it: second moments of independent factors multiply, and the squared mean comes off last.",
    hint="The mean of a square is easy for independent factors. What is it for one of them, and for all K?",
    mistakes=_variance_mistakes(),
)

SAME_SAMPLES = Question(
    id="06.same_samples",
    answer="d",
    why="Given the path, the theorem's Ĥ and D̂ have the same mean whatever noise led there. Samples that were used for "
    "the step are correlated with where it went, and this covariance is in none of the constants. On the lesson's two "
    "states, with Loaded DiCE, it moves the mean by 0.36 of the compositional bias.",
    hints={
        "a": "Δ_H is about the mean of Ĥ at a given point. Is the point given, if the same samples chose it?",
        "b": "σ_H is about spread. Can a correlation between two factors move the mean of their product?",
        "c": "e_k grows with n falling, but each e_k is a distance between paths. Which term has Ĥ and path together?",
    },
)

MEASURED = Question(
    id="06.measured",
    answer="b",
    why="A maximum over sampled points is at most the supremum, so a bound with measured constants may lie below the "
    "true one, and an observed violation speaks of the constants before it speaks of the theorem.",
    hints={
        "a": "The theorem was held against problems whose constants are known in closed form. Were yours?",
        "c": "Ten standard errors: how often is a normal number that far out?",
        "d": "The debiased bias has no variance left in it on average. What else stands on the bound's side?",
    },
)

EXERCISES = (HESSIAN_PART, VARIANCE_OF_A_PRODUCT, SAME_SAMPLES, MEASURED)
