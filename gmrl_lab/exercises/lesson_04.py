"""Exercises of lesson 04: the bound's growth, the bias from curvature, and what weighted samples are worth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question
from gmrl_lab.reuse import effective_sample_size


def _growth(inner_lr: float, c2: float, n_inner_steps: int) -> float:
    return inner_lr * math.fsum((1 + inner_lr * c2) ** j for j in range(n_inner_steps))


def _growth_cases() -> list[Case]:
    settings = ((1.0, 0.5, 1), (1.0, 0.5, 3), (10.0, 0.2, 4), (0.5, 1e-13, 3))
    return [Case(f"α = {lr:g}, c₂ = {c2:g}, K = {k}", (lr, c2, k)) for lr, c2, k in settings]


GROWTH = Exercise(
    id="04.growth",
    reference=_growth,
    cases=_growth_cases,
    praise="That is it: a sum of positive numbers, which loses no digit however small c₂ is.",
    hint="e₁ = α·1 and e_{k+1} = (1 + αc₂) e_k + α. What is e₂?",
    mistakes=(
        Mistake(
            "closed form",
            "For {case}: {got}, not {expected}. In exact arithmetic your formula is right. What is left of 1 + "
            "αc₂ − 1 when αc₂ is 1e-13, and sixteen digits are kept?",
            (lambda lr, c2, k: ((1 + lr * c2) ** k - 1) / c2,),
        ),
        Mistake(
            "no growth",
            "For {case}: {got}, not {expected}. You add up K equal errors. What does the next step do to an "
            "error that is there already?",
            (lambda lr, c2, k: lr * k,),
        ),
        Mistake(
            "one step too late",
            "For {case}: {got}, not {expected}. The last step's own error is not stretched by any later step. "
            "Which powers of 1 + αc₂ are in the sum?",
            (lambda lr, c2, k: (1 + lr * c2) * _growth(lr, c2, k),),
        ),
        Mistake(
            "last power alone",
            "For {case}: {got}, not {expected}. That is what is left of the first step's error. And the others?",
            (lambda lr, c2, k: lr * (1 + lr * c2) ** (k - 1),),
        ),
        Mistake(
            "no step size",
            "For {case}: {got}, not {expected}. How far does a step with an error of 1 in its gradient go astray?",
            (lambda lr, c2, k: _growth(lr, c2, k) / lr,),
        ),
    ),
)


def _from_curvature(curvature: float, inner_lr: float, variance: float, n_trajectories: int) -> float:
    return 0.5 * curvature * inner_lr**2 * variance / n_trajectories


FROM_CURVATURE = Exercise(
    id="04.from_curvature",
    reference=_from_curvature,
    cases=lambda: [
        Case(f"f″ = {c:g}, α = {lr:g}, σ² = {v:g}, n = {n}", (c, lr, v, n))
        for c, lr, v, n in ((2.0, 0.5, 0.25, 4), (-3.0, 2.0, 0.5, 9))
    ],
    praise="That is it. Four times the data, a quarter of the bias.",
    hint="Expand f around the mean of θ̂. Which term has a mean that is not zero?",
    mistakes=(
        Mistake(
            "no half",
            "For {case}: {got}, not {expected}. What stands before the second term of Taylor's series?",
            (lambda c, lr, v, n: c * lr**2 * v / n,),
        ),
        Mistake(
            "step size not squared",
            "For {case}: {got}, not {expected}. The gradient's variance is σ²/n. What is the variance of α times it?",
            (lambda c, lr, v, n: 0.5 * c * lr * v / n,),
        ),
        Mistake(
            "standard deviation",
            "For {case}: {got}, not {expected}. The mean of a deviation is zero, the mean of its square is not. "
            "Which of the two does the curvature see?",
            (
                lambda c, lr, v, n: 0.5 * c * lr * math.sqrt(v / n),
                lambda c, lr, v, n: 0.5 * c * lr**2 * math.sqrt(v / n),
            ),
        ),
        Mistake(
            "root of n",
            "For {case}: {got}, not {expected}. What happens to the variance of a mean when n is four times as large?",
            (lambda c, lr, v, n: 0.5 * c * lr**2 * v / math.sqrt(n),),
        ),
        Mistake(
            "sign lost",
            "For {case}: {got}, not {expected}. Throw the coin again with a function that bends down: on which "
            "side of f of the mean is the mean of f?",
            (lambda c, lr, v, n: abs(_from_curvature(c, lr, v, n)),),
        ),
    ),
)


def _cases_of_weights() -> list[Case]:
    def double(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return [
        Case("weights 1, 2, 3", (double([1.0, 2.0, 3.0]).log(),)),
        Case("five equal weights of ½", (double([0.5] * 5).log(),)),
        Case("log-weights 900, 900 and 0", (double([900.0, 900.0, 0.0]),)),
    ]


EFFECTIVE_SIZE = Exercise(
    id="04.effective_size",
    reference=effective_sample_size,
    cases=_cases_of_weights,
    praise="That is it, and safe for products of ratios over a hundred steps, too.",
    hint="The variance of Σwᵢxᵢ/Σwᵢ is that of one x times Σwᵢ²/(Σwᵢ)². How many equal weights have the same?",
    mistakes=(
        Mistake(
            "weights not normalised",
            "For {case}: {got}, not {expected}. Multiply all weights by 10: nothing about the samples has "
            "changed. Does your answer change?",
            (lambda w: 1 / torch.exp(2 * (w - w.max())).sum() if w.max() > 700 else 1 / w.exp().square().sum(),),
        ),
        Mistake(
            "sum over the largest",
            "For {case}: {got}, not {expected}. That counts samples in units of the largest weight. What do the "
            "small ones add to the variance?",
            (lambda w: (w - w.max()).exp().sum(),),
        ),
        Mistake(
            "number of samples",
            "For {case}: {got}, not {expected}. So many samples there are. Are they worth as much as equal ones?",
            (lambda w: torch.tensor(float(len(w)), dtype=w.dtype),),
        ),
    ),
)

CONFIRMATION = Question(
    id="04.confirmation",
    answer="b",
    why="With M trials the curve is (‖bias‖² + tr Σ/M)^½. If it falls by √10 when M grows tenfold, it was variance; "
    "what stays is the bias.",
    hints={
        "a": "tr Σ/10 falls like 1/n and ‖bias‖² like 1/n². Which of the two is left alone as n grows?",
        "c": "Variance falls like 1/n on every MDP. Could the second plot come out differently?",
        "d": "The standard deviation shrinks like α and the bias like α². Which of the two do you make easier to see?",
    },
)

EXERCISES = (GROWTH, FROM_CURVATURE, EFFECTIVE_SIZE, CONFIRMATION)
