"""The exercise of lesson 00: one line, to see how a check answers."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake


def _slope(p: Tensor) -> Tensor:
    return p * (1 - p)


def _probability_cases() -> list[Case]:
    return [Case(f"p = {p}", (torch.tensor(p, dtype=torch.float64),)) for p in (0.5, 0.9, 0.2)]


SLOPE = Exercise(
    id="00.slope",
    reference=_slope,
    cases=_probability_cases,
    hint="The logit of a fair coin has a slope of a quarter. What of p and 1 − p gives a quarter at p = ½?",
    praise="That is it. The slope is steepest for a fair coin, and vanishes when the choice is all but made.",
    mistakes=(
        Mistake(
            "one factor only",
            "You return {got} for {case}; {expected} is expected. Is a choice that is never made (p near 0), or always "
            "made (p near 1), easy to change? So where must the slope vanish: at one end, or at both?",
            (lambda p: 1 - p, lambda p: p),
        ),
        Mistake(
            "sign", "Does p fall when its logit x grows? Which sign must the slope have?", (lambda p: p * (p - 1),)
        ),
        Mistake(
            "derivative in p",
            "1 − 2p is the derivative of p (1 − p). What would you have to differentiate to get p (1 − p) itself?",
            (lambda p: 1 - 2 * p,),
        ),
    ),
)

EXERCISES = (SLOPE,)
