"""Exercises of lesson 09: the mean of a squared mean, what debiasing subtracts, and a line on a logarithmic axis."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _reading(bias_squared: float, trace: float, n_trials: int) -> float:
    return bias_squared + trace / n_trials


def _reading_cases() -> list[Case]:
    return [
        Case("bias² 0.01, tr Σ = 1, ten trials", (0.01, 1.0, 10)),
        Case("no bias, tr Σ = 4, ten trials", (0.0, 4.0, 10)),
        Case("bias² 2, tr Σ = 3, five trials", (2.0, 3.0, 5)),
    ]


READING = Exercise(
    id="09.reading",
    reference=_reading,
    cases=_reading_cases,
    hint="Write the mean of the trials as E + noise. What is the variance of a mean of M independent trials?",
    praise="That is it: the second term falls like 1/|τ| and grows with K and α whatever the bias does.",
    mistakes=(
        Mistake(
            "bias alone",
            "That is what one would like to read. Is the mean of M trials already the expectation?",
            (lambda b, trace, m: b,),
        ),
        Mistake(
            "one trial",
            "That is the mean squared error of a single trial. What does averaging over M of them change?",
            (lambda b, trace, m: b + trace,),
        ),
        Mistake(
            "square root",
            "The standard deviation of a mean falls like 1/√M. Is a squared norm of that order, or of its square?",
            (lambda b, trace, m: b + trace / m**0.5,),
        ),
        Mistake(
            "M − 1",
            "M − 1 belongs into the estimate of Σ. Is Σ not given here, so that only a mean of M trials is left?",
            (lambda b, trace, m: b + trace / (m - 1),),
        ),
    ),
)


def _debiased(estimates: Tensor, exact: Tensor) -> Tensor:
    m = len(estimates)
    total, each = (estimates - exact).sum(0), (estimates - exact).square().sum()
    return (total.square().sum() - each) / (m * (m - 1))


def _squared_mean(estimates: Tensor, exact: Tensor) -> Tensor:
    return (estimates.mean(0) - exact).square().sum()


def _scatter(estimates: Tensor) -> Tensor:
    return (estimates - estimates.mean(0)).square().sum()


def _debiased_cases() -> list[Case]:
    rows = torch.tensor([[1.0, 0.0], [3.0, 2.0], [2.0, -2.0]], dtype=torch.float64)
    exact = torch.tensor([1.0, 0.5], dtype=torch.float64)
    return [
        Case("three trials around (2, 0), the truth at (1, ½)", (rows, exact)),
        Case("the same trials, the truth at their mean", (rows, rows.mean(0))),
    ]


DEBIASED = Exercise(
    id="09.debiased",
    reference=_debiased,
    cases=_debiased_cases,
    hint="Two different trials have independent noise. What is the mean of the scalar product of their errors?",
    praise="That is it. It may be negative, and must be able to: only so is its mean the squared bias, zero included.",
    mistakes=(
        Mistake(
            "squared mean",
            "That is the published reading. Which of the products of two errors in it are a trial's with itself?",
            (_squared_mean,),
        ),
        Mistake(
            "variance of one trial",
            "You subtract the variance of a single trial. How large is the variance of the mean?",
            (lambda x, exact: _squared_mean(x, exact) - _scatter(x) / (len(x) - 1),),
        ),
        Mistake(
            "biased variance",
            "You divide the scatter by M before you divide by M again. Around which centre is it measured, and "
            "what does that cost?",
            (lambda x, exact: _squared_mean(x, exact) - _scatter(x) / len(x) ** 2,),
        ),
        Mistake(
            "cut off at zero",
            "For trials around the truth you return 0. If every negative result becomes 0, where does the mean of many "
            "results end up?",
            (lambda x, exact: _debiased(x, exact).clamp(min=0.0),),
        ),
    ),
)

LOG_AXIS = Question(
    id="09.log_axis",
    answer="b",
    why="Right: ln(sx) = ln s + ln x is concave in x for every slope s. Only a log-log slope tells a degree.",
    hints={
        "a": "That needs a slope of ½ in a picture with two logarithmic axes. What is the slope in panel (d)?",
        "c": "A square has log-log slope 2. What does panel (d) have, and how far must the error grow to show 2?",
        "d": "The points bend even where all is exact and nothing is sampled. What does ln x do as x grows?",
    },
)

EXERCISES = (READING, DEBIASED, LOG_AXIS)
