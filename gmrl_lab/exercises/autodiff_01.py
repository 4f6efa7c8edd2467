"""Lesson 01's exercises on autodiff: a surrogate with the right value and derivative, and a Hessian times a vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, value_and_derivative


def _magic(log_prob: Tensor) -> Tensor:
    return (log_prob - log_prob.detach()).exp()


_EPSILONS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


def _with_epsilon(eps: float) -> tuple[Callable[[Tensor], Tensor], ...]:
    return (
        lambda log_prob: log_prob.exp() / (log_prob.exp().detach() + eps),
        lambda log_prob: (log_prob.exp() + eps) / (log_prob.exp().detach() + eps),
        lambda log_prob: ((log_prob.exp() + eps).log() - (log_prob.exp() + eps).log().detach()).exp(),
    )


def _log_prob_cases() -> list[Case]:
    cases = []
    for logits in ((0.0, 1.0, -0.5), (0.0, 14.0, 3.0, 5.0)):
        theta = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        cases.append(Case(f"the log-probabilities of {len(logits)} actions", (theta, theta.log_softmax(-1))))
    return cases


SURROGATE_VALUE_GRADIENT = Exercise(
    id="01.surrogate_value_gradient",
    reference=_magic,
    cases=_log_prob_cases,
    probe=value_and_derivative,
    tolerance=1e-9,
    hint="Two things are wanted of one expression: its value, and what autodiff makes of it. Which one is off?",
    praise="That is it: nothing to see in the forward pass, everything in the backward pass.",
    mistakes=(
        Mistake(
            "zero derivative",
            "The value is 1, but the derivative is zero. A thing divided by itself is 1 whatever θ is, and so is a "
            "constant. Which occurrence of log π must autodiff take for a constant, and which must stay attached?",
            (lambda log_prob: log_prob.exp() / log_prob.exp(), torch.ones_like),
        ),
        Mistake(
            "value zero",
            "The derivative is right, but the value is {got}. Which function turns 0 into 1 and has slope 1 there?",
            (lambda log_prob: log_prob - log_prob.detach(),),
        ),
        Mistake(
            "probability itself",
            "Your value is π(a), and its derivative is π(a) · ∇log π(a). What would you divide by, and how, "
            "so that only the value of the divisor counts?",
            (lambda log_prob: log_prob.exp(),),
        ),
        Mistake(
            "detached numerator",
            "The value is 1, but the derivative has the wrong sign. Which of the two is held constant in yours?",
            (lambda log_prob: (log_prob.detach() - log_prob).exp(),),
        ),
        Mistake(
            "epsilon",
            "Almost. Is there an ε in your answer? The rarest action here has a probability of about a millionth: "
            "how much of its gradient does the ε take away? Is there anything here that could be zero?",
            tuple(answer for eps in _EPSILONS for answer in _with_epsilon(eps)),
        ),
    ),
)


Objective = Callable[[Tensor], Tensor]


def _gradient(objective: Objective, theta: Tensor) -> Tensor:
    return torch.autograd.grad(objective(theta), theta, create_graph=True)[0]


def _hessian_vector(objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
    return torch.autograd.grad(_gradient(objective, theta) @ v, theta)[0]


def _row_sums(objective: Objective, theta: Tensor) -> Tensor:
    return torch.autograd.grad(_gradient(objective, theta).sum(), theta)[0]


def _diagonal(objective: Objective, theta: Tensor) -> Tensor:
    return torch.stack([_hessian_vector(objective, theta, e)[i] for i, e in enumerate(torch.eye(len(theta)).to(theta))])


def _objective_cases() -> list[Case]:
    def point(*numbers: float) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)

    return [
        Case("f(x, y) = x² y", (lambda t: t[0] ** 2 * t[1], point(1.0, 2.0), point(3.0, -1.0).detach())),
        Case("log Σ exp", (lambda t: t.logsumexp(-1), point(0.0, 1.0, 2.0), point(1.0, 0.0, -2.0).detach())),
    ]


HESSIAN_VECTOR = Exercise(
    id="01.hessian_vector",
    reference=_hessian_vector,
    cases=_objective_cases,
    hint="H v is the gradient of one number: of which? It is made of the gradient and of v.",
    praise="That is it: two backward passes, and no matrix anywhere. Meta-gradients are made of this product.",
    mistakes=(
        Mistake(
            "gradient only",
            "This is the gradient itself. Of which number, made of the gradient and v, would you differentiate again?",
            (lambda f, theta, v: _gradient(f, theta),),
        ),
        Mistake(
            "gradient times v",
            "This is the gradient combined with v, differentiated once only. Where does the second derivative come in?",
            (lambda f, theta, v: _gradient(f, theta) * v,),
        ),
        Mistake(
            "row sums",
            "You differentiate the sum of the gradient, which gives H times a vector of ones. Where does v come in?",
            (lambda f, theta, v: _row_sums(f, theta), lambda f, theta, v: _row_sums(f, theta) * v),
        ),
        Mistake(
            "diagonal",
            "Each entry of yours knows ∂²f/∂θᵢ² alone. What happens to the mixed derivatives, ∂²f/∂θᵢ∂θⱼ?",
            (lambda f, theta, v: _diagonal(f, theta) * v, lambda f, theta, v: _diagonal(f, theta)),
        ),
        Mistake(
            "product of gradients",
            "This is g (g·v), made of first derivatives alone. A straight line has a gradient too: what is its H?",
            (lambda f, theta, v: _gradient(f, theta) * (_gradient(f, theta) @ v),),
        ),
        Mistake(
            "zero",
            "Your answer is zero, here and everywhere. Which detach, or which missing create_graph, cuts the gradient "
            "off from θ before you differentiate it again?",
            (lambda f, theta, v: torch.zeros_like(theta),),
        ),
    ),
)
