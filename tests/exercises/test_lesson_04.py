"""Solutions and plausible wrong answers of lesson 04."""

from __future__ import annotations

import math

import torch
from proof import prove, prove_choice

from gmrl_lab.checks import check


def double(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def recursion(inner_lr: float, c2: float, n_inner_steps: int) -> float:
    error = 0.0
    for _ in range(n_inner_steps):
        error = (1 + inner_lr * c2) * error + inner_lr
    return error


def by_expm1(inner_lr: float, c2: float, n_inner_steps: int) -> float:
    return math.expm1(n_inner_steps * math.log1p(inner_lr * c2)) / c2


def test_growth() -> None:
    wrong = {
        "closed form": [lambda lr, c2, k: (math.pow(1 + lr * c2, k) - 1) / c2],
        "no growth": [lambda lr, c2, k: k * lr],
        "one step too late": [lambda lr, c2, k: lr * sum((1 + lr * c2) ** j for j in range(1, k + 1))],
        "last power alone": [lambda lr, c2, k: lr * (1 + c2 * lr) ** (k - 1)],
        "no step size": [lambda lr, c2, k: sum((1 + lr * c2) ** j for j in range(k))],
    }
    prove("04.growth", [lambda *args: double(recursion(*args)), recursion, by_expm1], wrong)


def test_from_curvature() -> None:
    wrong = {
        "no half": [lambda c, lr, v, n: c * lr * lr * v / n],
        "step size not squared": [lambda c, lr, v, n: c * lr * v / n / 2],
        "standard deviation": [
            lambda c, lr, v, n: c * lr * (v / n) ** 0.5 / 2,
            lambda c, lr, v, n: c * lr**2 * (v / n) ** 0.5 / 2,
        ],
        "root of n": [lambda c, lr, v, n: c * lr**2 * v / n**0.5 / 2],
        "sign lost": [lambda c, lr, v, n: abs(c) * lr**2 * v / n / 2],
    }

    def right(c: float, lr: float, v: float, n: int) -> float:
        return c / 2 * (lr * math.sqrt(v / n)) ** 2

    prove("04.from_curvature", [lambda *args: double(right(*args)), right], wrong)


def test_effective_size() -> None:
    def shifted(log_weights: torch.Tensor) -> torch.Tensor:
        weights = (log_weights - log_weights.max()).exp()
        return weights.sum() ** 2 / (weights**2).sum()

    def normalised(log_weights: torch.Tensor) -> torch.Tensor:
        return 1 / log_weights.softmax(-1).square().sum()

    wrong = {
        "weights not normalised": [
            lambda w: 1 / (2 * w).exp().sum() if w.max() < 700 else 1 / (2 * (w - w.max())).exp().sum()
        ],
        "sum over the largest": [lambda w: (w - w.max()).exp().sum()],
        "number of samples": [lambda w: torch.ones_like(w).sum()],
    }
    prove("04.effective_size", [shifted, normalised], wrong)


def test_overflow_is_named() -> None:
    verdict = check("04.effective_size", lambda w: w.exp().sum() ** 2 / (w.exp() ** 2).sum())
    assert not verdict.passed
    assert "log-weights 900" in verdict.message
    assert "nan" in verdict.message


def test_confirmation() -> None:
    prove_choice("04.confirmation", "b")
