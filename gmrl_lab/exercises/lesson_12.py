"""Exercises of lesson 12: what an old play is worth, what a baseline is fitted to, and how the figures are read."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _share(delta: Tensor, horizon: int) -> Tensor:
    return torch.cosh(delta / 2) ** (-4 * horizon)


def _share_cases() -> list[Case]:
    moves = [torch.tensor(x, dtype=torch.float64) for x in (0.1, -0.2, 1.0)]
    return [
        Case("a play of 100 rounds, logits moved by 0.1", (moves[0], 100)),
        Case("a play of 50 rounds, logits moved by −0.2", (moves[1], 50)),
        Case("a single round, logits moved by 1", (moves[2], 1)),
    ]


SHARE = Exercise(
    id="12.share",
    reference=_share,
    cases=_share_cases,
    praise="That is it. What a play is worth falls geometrically with its length, and both players' moves count.",
    hint="For one move, Σ π²/μ with π = ½ and μ = σ(±δ). How many moves has a play of T rounds?",
    mistakes=(
        Mistake(
            "one player",
            "For {case}: {got}, not {expected}. Whose moves does a joint trajectory have?",
            (lambda delta, horizon: torch.cosh(delta / 2) ** (-2 * horizon),),
        ),
        Mistake(
            "one round",
            "For {case}: {got}, not {expected}. That is one round. What happens to a mean of independent factors?",
            (lambda delta, horizon: torch.cosh(delta / 2) ** -4,),
        ),
        Mistake(
            "upside down",
            "For {case}: {got}, not {expected}. A share above one: of E ρ² and its inverse, which is it?",
            (lambda delta, horizon: torch.cosh(delta / 2) ** (4 * horizon),),
        ),
        Mistake(
            "the whole δ",
            "For {case}: {got}, not {expected}. σ(δ) σ(−δ) = 1 / (2 + 2 cosh δ). What is that in half angles?",
            (lambda delta, horizon: torch.cosh(delta) ** (-4 * horizon),),
        ),
        Mistake(
            "for small δ",
            "For {case}: {got}, not {expected}. The rule of thumb is near it. Which term of log cosh did it leave out?",
            (lambda delta, horizon: torch.exp(-horizon * delta**2 / 2),),
        ),
    ),
)


def _targets(rewards: Tensor, discount: float) -> Tensor:
    ahead, found = torch.zeros_like(rewards[..., 0]), []
    for now in reversed(rewards.unbind(-1)):
        ahead = now + discount * ahead
        found.append(ahead)
    return torch.stack(found[::-1], -1)


def _from_the_start(rewards: Tensor, discount: float) -> Tensor:
    """Σ_{l≥t} γˡ r_l: with the weight of round t already in it."""
    return _targets(rewards, discount) * discount ** torch.arange(rewards.shape[-1], dtype=rewards.dtype)


def _rewards() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    payoffs = torch.randint(-3, 1, (4, 6), generator=generator).double()
    return [
        Case("a play with payoffs 0, −2, −2", (torch.tensor([[0.0, -2.0, -2.0]], dtype=torch.float64), 0.5)),
        Case("four plays of six rounds", (payoffs, 0.96)),
    ]


TARGETS = Exercise(
    id="12.targets",
    reference=_targets,
    cases=_rewards,
    praise="That is it: what a value table has to be fitted to, if it is to stand for V.",
    hint="From the last round backwards: what is still to come after round t, in terms of what is to come after t + 1?",
    mistakes=(
        Mistake(
            "immediate reward",
            "For {case}: {got}, not {expected}. That is what the published code fits to. What is V the mean of?",
            (lambda rewards, discount: rewards,),
        ),
        Mistake(
            "discounted from the start",
            "For {case}: {got}, not {expected}. At round t, which power of γ does the reward of that round have?",
            (_from_the_start,),
        ),
        Mistake(
            "no discount",
            "For {case}: {got}, not {expected}. You add up what is to come. Where is γ?",
            (lambda rewards, discount: _targets(rewards, 1.0),),
        ),
        Mistake(
            "the past",
            "For {case}: {got}, not {expected}. That is what was gained before. Can an action at t still change it?",
            (lambda rewards, discount: _targets(rewards.flip(-1), discount).flip(-1),),
        ),
        Mistake(
            "without this round",
            "For {case}: {got}, not {expected}. You start at t + 1. Does r_t depend on the action at t?",
            (lambda rewards, discount: _targets(rewards, discount) - rewards,),
        ),
    ),
)

STORED = Question(
    id="12.stored",
    answer="c",
    why="With matched budgets both draw 128 plays, some fresh, the others stored: only their age differs. As "
    "published, 1024 stored plays stand against 128 fresh ones, so that a gain may come from their number alone.",
    hints={
        "a": "Between these two, how many things change besides where the plays come from?",
        "b": "What does an exact part say about plays, fresh or old?",
        "d": "That is one number of samples against another. Is any of them stored?",
    },
)

ALIKE = Question(
    id="12.alike",
    answer="b",
    why="Noise whose mean is zero averages out over hundreds of small steps, and Adam's step hardly depends on the "
    "length of a gradient. A single step's correlation counts that noise in full; the return of 500 does not.",
    hints={
        "a": "The look-ahead is exact with both. Which part of the meta-gradient is the baseline in?",
        "c": "Both are compared with the exact meta-gradient, update by update. What would a wrong one change?",
        "d": "The interval is a tenth wide, and naive learners lie 0.9 below. Could it hide that much?",
    },
)

EXERCISES = (SHARE, TARGETS, STORED, ALIKE)
