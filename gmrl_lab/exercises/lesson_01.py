"""Exercises of lesson 01: the score, returns, baselines, and what autodiff makes of an expression, once and twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question, value_and_derivative


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
