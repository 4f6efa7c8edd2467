"""Solutions and plausible wrong answers of lesson 02."""

from __future__ import annotations

import torch
from proof import prove
from torch import Tensor

from gmrl_lab.checks import check


def test_splice() -> None:
    right = [
        lambda value, gradient: gradient + (value - gradient).detach(),
        lambda value, gradient: value.detach() + gradient - gradient.detach(),
        lambda value, gradient: value.detach() - (gradient.detach() - gradient),
    ]
    wrong = {
        "sum without subtracting": [
            lambda value, gradient: value + gradient,
            lambda value, gradient: value.detach() + gradient,
        ],
        "detach on the wrong one": [
            lambda value, gradient: gradient.detach() + value - value.detach(),
            lambda value, gradient: value + (gradient - value).detach(),
        ],
        "value returned as it is": [
            lambda value, gradient: value,
            lambda value, gradient: value + gradient - gradient,
        ],
        "gradient returned as it is": [lambda value, gradient: gradient],
        "both derivatives": [lambda value, gradient: value + gradient - gradient.detach()],
        "no derivative": [
            lambda value, gradient: value.detach(),
            lambda value, gradient: (gradient + (value - gradient)).detach(),
        ],
    }
    prove("02.splice", right, wrong)


def _mean_error(estimates: Tensor, exact: Tensor) -> Tensor:
    return ((estimates.mean(0) - exact) ** 2).sum()


def test_squared_bias() -> None:
    def corrected(estimates: Tensor, exact: Tensor) -> Tensor:
        return _mean_error(estimates, exact) - estimates.var(0).sum() / len(estimates)

    def by_pairs(estimates: Tensor, exact: Tensor) -> Tensor:
        products = (estimates - exact) @ (estimates - exact).T
        m = len(estimates)
        return (products.sum() - products.trace()) / (m * (m - 1))

    def by_halves(estimates: Tensor, exact: Tensor) -> Tensor:
        half = len(estimates) // 2
        return (estimates[:half].mean(0) - exact) @ (estimates[half:].mean(0) - exact)

    def a_float(estimates: Tensor, exact: Tensor) -> float:
        return float(by_pairs(estimates, exact))

    def population(estimates: Tensor, exact: Tensor) -> Tensor:
        m = len(estimates)
        return _mean_error(estimates, exact) - ((estimates - estimates.mean(0)) ** 2).sum() / m / m

    wrong = {
        "squared norm of the mean error": [_mean_error, lambda e, g: torch.linalg.vector_norm(e.mean(0) - g) ** 2],
        "mean of squared errors": [lambda e, g: ((e - g) ** 2).sum() / len(e)],
        "variance not divided by M": [
            lambda e, g: _mean_error(e, g) - e.var(0).sum(),
            lambda e, g: _mean_error(e, g) - e.var(0, correction=0).sum(),
        ],
        "population variance": [population],
        "clamped at zero": [lambda e, g: corrected(e, g).clamp(min=0), lambda e, g: max(0.0, float(corrected(e, g)))],
        "absolute value": [lambda e, g: abs(corrected(e, g))],
        "not squared": [lambda e, g: torch.linalg.vector_norm(e.mean(0) - g)],
        "mean over the entries": [lambda e, g: corrected(e, g) / e.shape[1]],
    }
    prove("02.squared_bias", [corrected, by_pairs, by_halves, a_float], wrong)


def test_the_hint_says_what_came_out() -> None:
    message = check("02.squared_bias", _mean_error).message
    assert message.startswith("Your function gives 0.000"), message
    assert "for estimates whose true bias is zero" in message


def test_always_zero_is_not_an_estimate() -> None:
    assert not check("02.squared_bias", lambda estimates, exact: 0.0).passed
