"""Solutions and plausible wrong answers of lesson 03."""

from __future__ import annotations

import torch
from proof import prove, prove_choice
from torch import Tensor

import gmrl_lab as gl


def updates(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    """By explicit products, from the left."""
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[i + 1 :]:
            product = product @ factor
        total = total + lr * jacobian @ product @ v
    return total


def recursive(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    """By the recursion of the proof, G ← G X + α D."""
    matrix = torch.zeros_like(jacobians[0])
    for jacobian, factor in zip(jacobians, factors, strict=True):
        matrix = matrix @ factor + lr * jacobian
    return matrix @ v


def own_factor_too(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    matrix = torch.zeros_like(jacobians[0])
    for jacobian, factor in zip(jacobians, factors, strict=True):
        matrix = (matrix + lr * jacobian) @ factor
    return matrix @ v


def reversed_order(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[i + 1 :]:
            product = factor @ product
        total = total + lr * jacobian @ product @ v
    return total


def factors_before(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[:i]:
            product = factor @ product
        total = total + lr * jacobian @ product @ v
    return total


def test_through_updates() -> None:
    wrong = {
        "own factor too": [own_factor_too],
        "factors reversed": [reversed_order],
        "factors before the step": [factors_before],
        "no step size": [lambda d, x, v, lr: updates(d, x, v, 1.0), lambda d, x, v, lr: recursive(d, x, v, lr) / lr],
        "no factors": [lambda d, x, v, lr: lr * sum(d) @ v],
        "last step alone": [lambda d, x, v, lr: lr * (d[-1] @ v)],
    }
    prove("03.through_updates", [updates, recursive], wrong)


def joint(theta_1: Tensor, theta_2: Tensor) -> Tensor:
    """As logits, the way the package does it."""
    first, _ = gl.IPD().problems(theta_1, theta_2)
    return first.logits.softmax(-1)


def by_hand(theta_1: Tensor, theta_2: Tensor) -> Tensor:
    """State by state, by names."""
    names = ("start", "CC", "CD", "DC", "DD")
    mine, theirs = (dict(zip(names, theta.sigmoid().tolist(), strict=True)) for theta in (theta_1, theta_2))
    rows = []
    for state in names:
        p, q = mine[state], theirs[state if state == "start" else state[::-1]]
        rows.append([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)])
    return torch.tensor(rows, dtype=theta_1.dtype)


def unmirrored(theta_1: Tensor, theta_2: Tensor) -> Tensor:
    p, q = theta_1.sigmoid(), theta_2.sigmoid()
    return torch.stack([torch.outer(x, y).flatten() for x, y in zip(both(p), both(q), strict=True)])


def both(p: Tensor) -> Tensor:
    return torch.stack([p, 1 - p], -1)


def test_joint_policy() -> None:
    swap = [0, 1, 3, 2, 4]
    wrong = {
        "no mirror": [unmirrored, lambda a, b: joint(a, b[swap])],
        "mirrored the wrong player": [lambda a, b: joint(a[swap], b[swap])],
        "columns of the other player": [lambda a, b: by_hand(a, b)[:, [0, 2, 1, 3]]],
        "actions in reverse": [lambda a, b: by_hand(a, b).flip(-1), lambda a, b: joint(-a, -b)],
        "logits, not probabilities": [lambda a, b: gl.IPD().problems(a, b)[0].logits],
    }
    prove("03.joint_policy", [joint, by_hand], wrong)


def test_learned_reward() -> None:
    prove_choice("03.learned_reward", "c")


def test_naive() -> None:
    prove_choice("03.naive", "c")
