"""Exercises of lesson 02: the splice of the inner loop, and a bias measured without mistaking variance for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from gmrl_lab.checks import Answer, Case, Exercise, Mistake, Observation, Question, value_and_derivative


def _splice(theta_value: Tensor, theta_gradient: Tensor) -> Tensor:
    return theta_gradient + (theta_value - theta_gradient).detach()


def _splice_cases() -> list[Case]:
    cases = []
    for seed, n in ((0, 3), (1, 5)):
        generator = torch.Generator().manual_seed(seed)
        phi = torch.randn(n, generator=generator, dtype=torch.float64).requires_grad_()
        cases.append(Case(f"two different updates of {n} parameters φ", (phi, phi.sin(), phi**2 - 1.5 * phi)))
    return cases


SPLICE = Exercise(
    id="02.splice",
    reference=_splice,
    cases=_splice_cases,
    probe=value_and_derivative,
    hint="Compare the value with that of theta_value, the derivative with that of theta_gradient: which one is off?",
    praise="That is it: the loop walks along one estimate and is differentiated along another.",
    mistakes=(
        Mistake(
            "sum without subtracting",
            "Your value is the sum of the two values. What can you subtract that takes one value away again, "
            "and that autodiff does not see?",
            (lambda value, gradient: value + gradient, lambda value, gradient: value.detach() + gradient),
        ),
        Mistake(
            "detach on the wrong one",
            "It is a splice, but the wrong way round: the value is that of theta_gradient, the derivative that of "
            "theta_value. Which of the two should autodiff see?",
            (lambda value, gradient: _splice(gradient, value),),
        ),
        Mistake(
            "value returned as it is",
            "The value is right, but the derivative is that of theta_value too. Where does theta_gradient come in?",
            (lambda value, gradient: value,),
        ),
        Mistake(
            "gradient returned as it is",
            "The derivative is right, the value is that of theta_gradient. What can you add that has no derivative?",
            (lambda value, gradient: gradient,),
        ),
        Mistake(
            "both derivatives",
            "The value is right. The derivative is that of theta_value plus that of theta_gradient: "
            "one of them is still attached. Which one should be a constant?",
            (lambda value, gradient: value + gradient - gradient.detach(),),
        ),
        Mistake(
            "no derivative",
            "The value is right, but the derivative is zero: everything in your answer is a constant for autodiff. "
            "Which part must stay attached?",
            (lambda value, gradient: value.detach(), lambda value, gradient: value.detach() + gradient - gradient),
        ),
    ),
)


def _deviation(estimates: Tensor, exact: Tensor) -> Tensor:
    """Squared norm of the mean error."""
    return (estimates.mean(0) - exact).square().sum()


def _squared_bias(estimates: Tensor, exact: Tensor) -> Tensor:
    return _deviation(estimates, exact) - estimates.var(0).sum() / len(estimates)


def _mean_over_samples(function: Answer, outcomes: Tensor, exact: Tensor, n: int) -> Observation:
    """The exact mean of `function(estimates, exact)` when each of the n estimates is any outcome, equally likely.

    Every sample is visited, so that each unbiased answer has the same mean, whatever its formula.
    """
    results = []
    for rows in product(range(len(outcomes)), repeat=n):
        result = function(outcomes[list(rows)], exact.clone())
        results.append(torch.as_tensor(result, dtype=torch.float64).detach())
    return {"mean over all samples": torch.stack(results).mean(0)}


def _bias_cases() -> list[Case]:
    outcomes = torch.tensor([[0.01, -0.02], [0.03, 0.01], [-0.01, 0.02]], dtype=torch.float64)
    truth = outcomes.mean(0)
    shift = torch.tensor([0.02, -0.01], dtype=torch.float64)
    return [
        Case("estimates whose true bias is zero", (outcomes, truth, 3)),
        Case("estimates whose true bias is (0.02, −0.01)", (outcomes, truth - shift, 4)),
        Case("estimates without any noise", (torch.ones(1, 2, dtype=torch.float64), torch.zeros_like(truth), 3)),
    ]


def _minus(spread: Callable[[Tensor], Tensor]) -> Answer:
    return lambda estimates, exact: _deviation(estimates, exact) - spread(estimates)


SQUARED_BIAS = Exercise(
    id="02.squared_bias",
    reference=_squared_bias,
    cases=_bias_cases,
    probe=_mean_over_samples,
    tolerance=1e-11,
    hint="This is its mean over every possible sample, so no luck is involved. What is the mean of ‖ĝ mean − g‖², "
    "written as bias and variance?",
    praise="That is it. On average it is exact, so a single value may well be negative: leave it so.",
    mistakes=(
        Mistake(
            "squared norm of the mean error",
            "Your function gives {got} for {case}. The mean of M estimates still has variance tr Σ / M; "
            "what is left if you subtract it?",
            (_deviation,),
        ),
        Mistake(
            "mean of squared errors",
            "Your function gives {got} for {case}. You square each error first and take the mean then: that is the "
            "mean squared error, bias² + variance. In which order do the errors get a chance to cancel?",
            (lambda estimates, exact: (estimates - exact).square().sum(-1).mean(),),
        ),
        Mistake(
            "variance not divided by M",
            "Your function gives {got} for {case}: too much is taken away. You subtract the variance of one estimate; "
            "how large is the variance of the mean of M of them?",
            (
                _minus(lambda estimates: estimates.var(0).sum()),
                _minus(lambda estimates: estimates.var(0, correction=0).sum()),
            ),
        ),
        Mistake(
            "population variance",
            "Your function gives {got} for {case}: a little is left. The variance is measured around the sample's own "
            "mean, which lies closer to the estimates than the true one. Should you divide by M, or by what?",
            (_minus(lambda estimates: estimates.var(0, correction=0).sum() / len(estimates)),),
        ),
        Mistake(
            "clamped at zero",
            "Your function gives {got} for {case}, and it is never negative. Can something that is never negative, "
            "and sometimes positive, be zero on average?",
            (lambda estimates, exact: _squared_bias(estimates, exact).clamp(min=0.0),),
        ),
        Mistake(
            "absolute value",
            "Your function gives {got} for {case}. An absolute value folds the negative results over to the "
            "positive side; what does that do to their mean?",
            (lambda estimates, exact: _squared_bias(estimates, exact).abs(),),
        ),
        Mistake(
            "not squared",
            "Your function gives {got} for {case}. Is that the norm of the bias, or its square?",
            (lambda estimates, exact: _deviation(estimates, exact).sqrt(),),
        ),
        Mistake(
            "mean over the entries",
            "Your function gives {got} for {case}. A squared norm is a sum over the entries of the vector; "
            "what did you do with them?",
            (lambda estimates, exact: _squared_bias(estimates, exact) / estimates.shape[-1],),
        ),
    ),
)

SAME_OR_DIFFERENT = Question(
    id="02.same_or_different",
    answer="d",
    why="Only in the Hessian do AD and LVC part ways; I and III use gradients, which are equal sample by sample.",
    hints={
        "a": "Only the inner update is sampled there. Which derivative of the surrogate does it use?",
        "b": "K is larger, but only the outer part is sampled. Which derivative of the surrogate does it use?",
        "c": "Two parts are sampled, and each uses a derivative of the surrogate. Of which order?",
    },
)

EXERCISES = (SPLICE, SAME_OR_DIFFERENT, SQUARED_BIAS)
