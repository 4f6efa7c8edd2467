"""Solutions and plausible wrong answers of lesson 00."""

from __future__ import annotations

import torch
from proof import prove
from torch import Tensor


def by_autodiff(p: Tensor) -> Tensor:
    x = (p / (1 - p)).log().detach().requires_grad_()
    return torch.autograd.grad(x.sigmoid(), x)[0]


def test_slope() -> None:
    wrong = {
        "one factor only": [lambda p: 1 - p, lambda p: p],
        "sign": [lambda p: p * (p - 1)],
        "derivative in p": [lambda p: 1 - 2 * p],
    }
    prove("00.slope", [lambda p: p * (1 - p), lambda p: p - p**2, by_autodiff], wrong)
