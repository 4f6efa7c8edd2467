"""Exercises of lesson 13: advantages across the end of a game, a derivative through two updates, and what it proves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _gae(
    rewards: Tensor, values: Tensor, ended: Tensor, discount: float, gae_lambda: float, see: str = "neither"
) -> Tensor:
    """By recursion; `see` says what of the next game is mixed in: its "value", its "advantage", "both" or "neither"."""
    going_on, ahead, found = (~ended).to(rewards.dtype), torch.zeros_like(rewards[0]), []
    after = values[1:] * (1.0 if see in ("value", "both") else going_on)
    carry = discount * gae_lambda * (torch.ones_like(going_on) if see in ("advantage", "both") else going_on)
    for t in range(len(rewards) - 1, -1, -1):
        ahead = rewards[t] + discount * after[t] - values[t] + carry[t] * ahead
        found.append(ahead)
    return torch.stack(found[::-1])


def _gae_cases() -> list[Case]:
    def double(*numbers: float) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64)

    never = torch.zeros(3, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (5, 6))
    ended = torch.tensor([False, True, False, False, True])
    return [
        Case("rewards 0, 0, 2 and V̂ = 1", (double(0, 0, 2), double(1, 1, 1, 1), never, 0.5, 0.5)),
        Case("a game that ends after the second of five steps", (rewards, values, ended, 0.9, 0.8)),
    ]


GAE = Exercise(
    id="13.gae",
    reference=_gae,
    cases=_gae_cases,
    praise="That is it: where a game ends, nothing follows, neither a value nor an advantage.",
    hint="Go backwards from the last step. Which two terms are what comes after step t, and when does nothing come?",
    mistakes=(
        Mistake(
            "no ends",
            "For {case}: {got}, not {expected}. You never look at `ended`. Whose value is values[t + 1] after an end?",
            (partial(_gae, see="both"),),
        ),
        Mistake(
            "value of the next game",
            "For {case}: {got}, not {expected}. The advantage stops at the end. What is a game worth that is over?",
            (partial(_gae, see="value"),),
        ),
        Mistake(
            "advantage of the next game",
            "For {case}: {got}, not {expected}. No value follows an end, but can the next game's errors be your doing?",
            (partial(_gae, see="advantage"),),
        ),
        Mistake(
            "one error",
            "For {case}: {got}, not {expected}. That is δ_t alone, as for λ = 0. Where do the later errors come in?",
            (lambda rewards, values, ended, discount, gae_lambda: _gae(rewards, values, ended, discount, 0.0),),
        ),
        Mistake(
            "λ left out",
            "For {case}: {got}, not {expected}. Later errors fade with γ alone here. With what should they fade?",
            (lambda rewards, values, ended, discount, gae_lambda: _gae(rewards, values, ended, discount, 1.0),),
        ),
        Mistake(
            "target",
            "For {case}: {got}, not {expected}. You added V̂(s_t): that is what the critic is fitted to. What is Â?",
            (lambda *given: _gae(*given) + given[1][:-1],),
        ),
    ),
)

Loss = Callable[[Tensor, Tensor], Tensor]


def _two_updates(
    loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float, cut: str = "nowhere", n_steps: int = 2
) -> Tensor:
    """`cut` says where the graph is cut: "between" the updates, inside the "gradient" only, or "nowhere"."""
    for _ in range(n_steps):
        at = theta.detach().requires_grad_() if cut in ("between", "gradient") else theta
        (slope,) = torch.autograd.grad(loss(phi, at), at, create_graph=True)
        theta = (at if cut == "between" else theta) - lr * slope
    (found,) = torch.autograd.grad(loss(reference, theta), phi)
    return found


def _judged_by_phi(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float) -> Tensor:
    for _ in range(2):
        (slope,) = torch.autograd.grad(loss(phi, theta), theta, create_graph=True)
        theta = theta - lr * slope
    (found,) = torch.autograd.grad(loss(phi, theta), phi)
    return found


def _two_updates_cases() -> list[Case]:
    def now_or_later(phi: Tensor, theta: Tensor) -> Tensor:
        return -(theta.sigmoid() * phi + (1 - theta.sigmoid()) * 0.6).sum()

    def bowl(phi: Tensor, theta: Tensor) -> Tensor:
        return (phi * (theta**2 + 0.3 * theta**3)).sum() + theta.prod() - theta[0] * phi[1]

    def leaf(*numbers: float) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)

    judge = [leaf(0.9).detach(), leaf(1.0, 0.5).detach()]
    return [
        Case("now or later", (now_or_later, leaf(0.9), judge[0], leaf(-1.386294361), 14.44)),
        Case("a bowl of two dimensions", (bowl, leaf(0.7, 0.8), judge[1], leaf(0.5, -0.4), 0.2)),
    ]


TWO_UPDATES = Exercise(
    id="13.two_updates",
    reference=_two_updates,
    cases=_two_updates_cases,
    praise="That is it: 0.461 for now or later, as on paper. Every learner of this lesson is this, with batches.",
    hint="theta = theta − lr · ∇, twice, each with create_graph=True; then differentiate the judge's loss once.",
    mistakes=(
        Mistake(
            "cut between the updates",
            "For {case}: {got}, not {expected}. Only the last update's share is there. What cut θ¹ from φ?",
            (partial(_two_updates, cut="between"),),
        ),
        Mistake(
            "without H",
            "For {case}: {got}, not {expected}. Both D are there. Does the second step not depend on where it starts?",
            (partial(_two_updates, cut="gradient"),),
        ),
        Mistake(
            "one update",
            "For {case}: {got}, not {expected}. That is K = 1. How many steps were asked for?",
            (partial(_two_updates, n_steps=1),),
        ),
        Mistake(
            "uphill",
            "For {case}: {got}, not {expected}. It is a loss. In which direction does one step?",
            (lambda loss, phi, reference, theta, lr: _two_updates(loss, phi, reference, theta, -lr),),
        ),
        Mistake(
            "judged by itself",
            "For {case}: {got}, not {expected}. Your judge moves along with φ. At which γ does it have to stay?",
            (_judged_by_phi,),
        ),
    ),
)

ONCE = Question(
    id="13.once",
    answer="c",
    why="The batch was drawn by θ⁰, which does not depend on φ. So nothing is forgotten when it is held fixed, and no "
    "Hessian is in the meta-gradient: only D₀. From the second update on φ has a part in which actions are drawn.",
    hints={
        "a": "Make α ten times as large: is K = 1 wrong then?",
        "b": "With an untrained critic it is far from zero. Where in the formula for K = 1 does it stand?",
        "d": "It does not, directly. But is that what makes K = 1 differ from K = 3?",
    },
)

DIFFERENCES = Question(
    id="13.differences",
    answer="b",
    why="The differences keep the batches. That another θ would have drawn others is in neither, so that they agree "
    "with AD to the last digit, and share its bias.",
    hints={
        "a": "Do the differences draw new batches where θ has moved?",
        "c": "Which of LVC's numbers has to stay behind before differences agree with it?",
        "d": "Nothing was repeated with other batches. What can be said of a variance then?",
    },
)

EXERCISES = (GAE, TWO_UPDATES, ONCE, DIFFERENCES)
