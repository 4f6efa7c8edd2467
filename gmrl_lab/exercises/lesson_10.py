"""Exercises of lesson 10: what a detached baseline does, how runs are compared, and what costs what."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _credit(discount: Tensor, gae_lambda: Tensor, distance: Tensor, attached: bool) -> Tensor:
    return (discount if attached else discount * gae_lambda) ** distance


def _credit_cases() -> list[Case]:
    numbers = [torch.tensor(x, dtype=torch.float64) for x in (0.8, 0.9, 3.0, 0.0, 0.5, 1.0)]
    discount, gae_lambda, three, zero, half, one = numbers
    return [
        Case("an attached V̂, three steps ahead", (discount, gae_lambda, three, True)),
        Case("a detached V̂, three steps ahead", (discount, gae_lambda, three, False)),
        Case("a detached V̂, one step ahead", (discount, half, one, False)),
        Case("a detached V̂ and the action's own reward", (discount, gae_lambda, zero, False)),
    ]


CREDIT = Exercise(
    id="10.credit",
    reference=_credit,
    cases=_credit_cases,
    hint="Write the advantage as Σ_l (γλ)^l δ_{t+l} with δ = r + γV̂' − V̂. What of it depends on φ if V̂ is held fixed?",
    praise="So the detached meta-gradient asks for rewards that help a more impatient agent, with discount γλ.",
    mistakes=(
        Mistake(
            "λ in both",
            "With V̂ attached the terms γV̂' − V̂ have a derivative too. What do they add to (γλ)^l?",
            (lambda discount, gae_lambda, distance, attached: (discount * gae_lambda) ** distance,),
        ),
        Mistake(
            "λ in neither",
            "That is the true derivative. Which terms of δ are missing when V̂ is held fixed?",
            (lambda discount, gae_lambda, distance, attached: discount**distance,),
        ),
        Mistake(
            "the wrong way round",
            "You have both formulas. In which of the two cases can autodiff see that V̂ depends on φ?",
            (lambda discount, gae_lambda, distance, attached: _credit(discount, gae_lambda, distance, not attached),),
        ),
        Mistake(
            "λ once",
            "The error δ of l steps ahead has λ to some power. Is it the first?",
            (
                lambda discount, gae_lambda, distance, attached: (
                    discount**distance * (torch.ones_like(discount) if attached else gae_lambda)
                ),
            ),
        ),
        Mistake(
            "one step too many",
            "The action's own reward stands at distance 0. What is anything to the power of 0?",
            (lambda discount, gae_lambda, distance, attached: _credit(discount, gae_lambda, distance + 1, attached),),
        ),
    ),
)


def _standard_error(first: Tensor, second: Tensor) -> Tensor:
    difference = first - second
    return difference.std() / math.sqrt(len(difference))


def _run_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for n in (10, 4):
        common, own, other = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(3))
        cases.append(Case(f"{n} paired runs", (4 + common + 0.2 * own, 3.9 + common + 0.3 * other)))
    return cases


PAIRED = Exercise(
    id="10.paired",
    reference=_standard_error,
    cases=_run_cases,
    hint="Run i of both trainings drew the same random numbers. Which single number does run i give you?",
    praise="What is common to both runs cancels before the spread is taken.",
    mistakes=(
        Mistake(
            "as if independent",
            "This adds the variances of both. Do two runs with the same random numbers vary independently?",
            (lambda first, second: (first.var() / len(first) + second.var() / len(second)) ** 0.5,),
        ),
        Mistake(
            "of one run",
            "This is how far one difference lies from the mean. How far does the mean of n of them lie?",
            (lambda first, second: (first - second).std(),),
        ),
        Mistake(
            "divided by n",
            "A variance falls like 1/n. What does its square root do?",
            (lambda first, second: (first - second).std() / len(first),),
        ),
        Mistake(
            "without Bessel",
            "The mean was estimated from the same runs. By what do you then divide the sum of squares?",
            (lambda first, second: (first - second).std(correction=0) / len(first) ** 0.5,),
        ),
    ),
)

AD_DROPS = Question(
    id="10.ad_drops",
    answer="b",
    why="From 16 to 256 trajectories AD's variance falls to 0.57 of itself, LVC's to 0.07: V̂'s noise is drawn once for "
    "all trajectories, and AD takes it for curvature.",
    hints={
        "a": "Look at the bars at K = 5, |τ| = 256: which part is higher, and whose interval contains 0?",
        "c": "What did sixteen times as many trajectories do to LVC's variance, and what to AD's?",
        "d": "At K = 1 all three have the same Jacobian of φ. Are their accuracies different there?",
    },
)

COST = Question(
    id="10.cost",
    answer="c",
    why="AD's bias alone costs 0.093 of the 0.633 that the exact meta-gradient gains; with samples 0.315 is missing.",
    hints={
        "a": "With AD's bias alone, all else exact, where does the curve end?",
        "b": "DiCE's Hessian has no bias. Where does its curve end?",
        "d": "Is the interval of AD − LVC in the table on both sides of 0?",
    },
)

EXERCISES = (CREDIT, PAIRED, AD_DROPS, COST)
