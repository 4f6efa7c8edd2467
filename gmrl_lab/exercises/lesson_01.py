"""Exercises of lesson 01: the score, returns, baselines, and what autodiff makes of an expression, once and twice."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question
from gmrl_lab.exercises.autodiff_01 import HESSIAN_VECTOR, SURROGATE_VALUE_GRADIENT


def _one_hot(theta_s: Tensor, a: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(a), theta_s.shape[-1]).to(theta_s.dtype)


def _score(theta_s: Tensor, a: int) -> Tensor:
    return _one_hot(theta_s, a) - theta_s.softmax(-1)


def _score_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for n_actions, a in ((3, 0), (3, 2), (5, 1)):
        logits = torch.randn(n_actions, generator=generator, dtype=torch.float64)
        cases.append(Case(f"{n_actions} actions and a = {a}", (logits, a)))
    return cases


SOFTMAX_GRADIENT = Exercise(
    id="01.softmax_gradient",
    reference=_score,
    cases=_score_cases,
    hint="Write log π(a) = θ_a − log Σ_b exp θ_b, and differentiate the two terms one after the other.",
    praise="That is it: what was done, minus what was to be expected. The entries sum to zero; why must they?",
    mistakes=(
        Mistake(
            "one-hot only",
            "You have the derivative of θ_a. But raising θ_a also moves the normaliser, log Σ_b exp θ_b: "
            "what is its derivative with respect to each θ_b?",
            (_one_hot,),
        ),
        Mistake(
            "normaliser only",
            "You have the derivative of −log Σ_b exp θ_b. Where in your answer does the chosen action come in?",
            (lambda theta_s, a: -theta_s.softmax(-1),),
        ),
        Mistake(
            "sign",
            "Raise θ_a a little: does the action a become more or less likely? What sign does your entry a have?",
            (lambda theta_s, a: -_score(theta_s, a),),
        ),
        Mistake(
            "gradient of the probability",
            "This is the derivative of π(a), not of log π(a). By which factor do the two differ?",
            (lambda theta_s, a: theta_s.softmax(-1)[a] * _score(theta_s, a),),
        ),
        Mistake(
            "one-hot times probability",
            "Your answer is zero for each action but a. Raise the logit of another action: does log π(a) stay put?",
            (
                lambda theta_s, a: _one_hot(theta_s, a) * theta_s.softmax(-1),
                lambda theta_s, a: _one_hot(theta_s, a) * _score(theta_s, a),
                lambda theta_s, a: _one_hot(theta_s, a) / theta_s.softmax(-1),
            ),
        ),
    ),
)


def _discounted(rewards: Tensor, discount: float, first_lag: int = 0) -> Tensor:
    """Σ_l γ^(l − t) · r_l over l ≥ t + first_lag."""
    times = torch.arange(rewards.shape[-1])
    lag = times[None, :] - times[:, None]
    weight = torch.where(lag >= first_lag, discount ** lag.clamp(min=0).to(rewards.dtype), 0.0)
    return rewards @ weight.mT


def _from_time_zero(rewards: Tensor, discount: float) -> Tensor:
    powers = discount ** torch.arange(rewards.shape[-1], dtype=rewards.dtype)
    return _discounted(rewards * powers, 1.0)


def _full_return(rewards: Tensor, discount: float) -> Tensor:
    return _from_time_zero(rewards, discount)[:, :1].expand_as(rewards)


def _so_far(rewards: Tensor, discount: float) -> Tensor:
    powers = discount ** torch.arange(rewards.shape[-1], dtype=rewards.dtype)
    return (rewards * powers).cumsum(-1)


def _reward_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(1)
    cases = []
    for n, horizon, discount in ((1, 3, 0.5), (2, 4, 0.9), (3, 6, 0.8)):
        rewards = torch.rand(n, horizon, generator=generator, dtype=torch.float64)
        cases.append(Case(f"{n} x {horizon} rewards and a discount of {discount}", (rewards, discount)))
    return cases


RETURNS_TO_GO = Exercise(
    id="01.returns_to_go",
    reference=_discounted,
    cases=_reward_cases,
    hint="Try rewards (0, 0, 1) and a discount of ½ by hand: what is still to come, seen from t = 0, 1 and 2?",
    praise="That is it: an action is judged only by what can follow from it.",
    mistakes=(
        Mistake(
            "full return",
            "Each time step gets the same number. Can the action at time t have changed a reward that came before it?",
            (_full_return, lambda rewards, discount: rewards.sum(-1, keepdim=True).expand_as(rewards)),
        ),
        Mistake(
            "no discount",
            "The discount makes no difference to your answer. What is a reward worth that comes two steps later?",
            (lambda rewards, discount: _discounted(rewards, 1.0),),
        ),
        Mistake(
            "discounted from time zero",
            "Your reward at time l weighs γ^l, whoever asks. Seen from time t, how many steps away is it?",
            (_from_time_zero,),
        ),
        Mistake(
            "starts one step late",
            "Your last entry is always zero. Does the reward of time t itself belong to what follows the action at t?",
            (
                lambda rewards, discount: _discounted(rewards, discount, first_lag=1),
                lambda rewards, discount: _discounted(rewards, discount, first_lag=1) / discount,
            ),
        ),
        Mistake(
            "return so far",
            "Your sum runs from the start up to t. Which rewards can the action at time t still influence?",
            (_so_far, lambda rewards, discount: rewards.cumsum(-1), lambda r, g: _discounted(r.flip(-1), g).flip(-1)),
        ),
    ),
)


def _minus_values(returns: Tensor, states: Tensor, actions: Tensor, policy: Tensor, q: Tensor) -> Tensor:
    return returns - (policy * q).sum(-1)[states]


def _advantage_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(2)
    cases = []
    for n, horizon, n_states, n_actions in ((2, 3, 2, 2), (3, 4, 3, 3)):
        q = torch.randn(n_states, n_actions, generator=generator, dtype=torch.float64)
        policy = torch.randn(n_states, n_actions, generator=generator, dtype=torch.float64).softmax(-1)
        states = torch.randint(n_states, (n, horizon), generator=generator)
        actions = torch.randint(n_actions, (n, horizon), generator=generator)
        returns = 3 + torch.randn(n, horizon, generator=generator, dtype=torch.float64)
        cases.append(Case(f"{n} x {horizon} returns and {n_actions} actions", (returns, states, actions, policy, q)))
    return cases


ADVANTAGES = Exercise(
    id="01.advantages",
    reference=_minus_values,
    cases=_advantage_cases,
    hint="V(s) is the mean of Q(s, a) over the actions of the policy. Which entry of V belongs to each return?",
    praise="That is it: the mean gradient stays, and what every action in that state would have brought is gone.",
    mistakes=(
        Mistake(
            "action value",
            "You subtract Q(s, a), what this very action was expected to bring. Given s and a, what is the mean of "
            "what is left? And so what is the mean of the gradient that you multiply by it?",
            (lambda g, s, a, policy, q: g - q[s, a],),
        ),
        Mistake(
            "mean of the batch",
            "You subtract the mean of the sampled returns. In a batch of a single trajectory, what would be left? "
            "How much of a return hides in a mean that it is part of?",
            (
                lambda g, s, a, policy, q: g - g.mean(0),
                lambda g, s, a, policy, q: g - g.mean(),
                lambda g, s, a, policy, q: g - g.mean(-1, keepdim=True),
            ),
        ),
        Mistake(
            "all actions alike",
            "You give all actions of a state the same weight. How often does the policy take each of them?",
            (lambda g, s, a, policy, q: g - q.mean(-1)[s], lambda g, s, a, policy, q: g - q.sum(-1)[s]),
        ),
        Mistake(
            "best action",
            "You subtract what the best action would bring. The mean gradient survives that, but is the state worth "
            "so much to *this* policy?",
            (lambda g, s, a, policy, q: g - q.max(-1).values[s],),
        ),
        Mistake(
            "only the action taken",
            "You subtract π(a|s) Q(s, a) of the action that was taken. What happened to the other terms of the mean?",
            (lambda g, s, a, policy, q: g - (policy * q)[s, a],),
        ),
        Mistake(
            "sign",
            "Check a sign: an action that brings more than the state is worth, should it become more or less likely?",
            (
                lambda g, s, a, policy, q: g + (policy * q).sum(-1)[s],
                lambda g, s, a, policy, q: (policy * q).sum(-1)[s] - g,
            ),
        ),
    ),
)


Q1 = Question(
    id="01.q1",
    answer="c",
    why="exp(0) = 1, and the derivative of exp at 0 is 1, so that what is left is the derivative of x itself.",
    hints={
        "a": "x − x.detach() is 0 in value, true. What is exp of 0?",
        "b": "Autodiff takes x.detach() for a constant. Does the other x still move?",
        "d": "The derivative is right. And the value: what does the exp do to the 0 inside?",
    },
)

Q2 = Question(
    id="01.q2",
    answer="a",
    why="Given the state, ∇log π(a|s) has mean zero, so any number that does not depend on the action averages out. "
    "A wrong one only costs variance.",
    hints={
        "b": "Given s and a, what is the mean of G − Q(s, a)? So what is the mean of the gradient that it multiplies?",
        "c": "In a batch of one, what is left of G? How much of G is in a mean that G is part of?",
        "d": "The next reward depends on the action. Which part of its effect would the gradient never hear of?",
    },
)

EXERCISES = (SOFTMAX_GRADIENT, RETURNS_TO_GO, ADVANTAGES, SURROGATE_VALUE_GRADIENT, HESSIAN_VECTOR, Q1, Q2)
