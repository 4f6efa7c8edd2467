"""Solutions and plausible wrong answers of lesson 01."""

from __future__ import annotations

import torch
from proof import Function, prove, prove_choice
from torch import Tensor
from torch.nn.functional import one_hot

from gmrl_lab.checks import check


def test_softmax_gradient() -> None:
    def formula(theta_s: Tensor, a: int) -> Tensor:
        return torch.eye(len(theta_s), dtype=theta_s.dtype)[a] - theta_s.softmax(-1)

    def by_autodiff(theta_s: Tensor, a: int) -> Tensor:
        theta_s = theta_s.clone().requires_grad_()
        return torch.autograd.grad(theta_s.log_softmax(-1)[a], theta_s)[0]

    def in_place(theta_s: Tensor, a: int) -> Tensor:
        gradient = -theta_s.exp() / theta_s.exp().sum()
        gradient[a] += 1
        return gradient

    def of_the_probability(theta_s: Tensor, a: int) -> Tensor:
        theta_s = theta_s.clone().requires_grad_()
        return torch.autograd.grad(theta_s.softmax(-1)[a], theta_s)[0]

    def indicator(theta_s: Tensor, a: int) -> Tensor:
        return one_hot(torch.tensor(a), len(theta_s)).double()

    wrong = {
        "one-hot only": [indicator],
        "normaliser only": [lambda theta_s, a: -theta_s.softmax(-1)],
        "sign": [lambda theta_s, a: theta_s.softmax(-1) - indicator(theta_s, a)],
        "gradient of the probability": [of_the_probability],
        "one-hot times probability": [
            lambda theta_s, a: indicator(theta_s, a) * theta_s.softmax(-1)[a],
            lambda theta_s, a: indicator(theta_s, a) * (1 - theta_s.softmax(-1)),
            lambda theta_s, a: indicator(theta_s, a) / theta_s.softmax(-1),
        ],
    }
    prove("01.softmax_gradient", [formula, by_autodiff, in_place], wrong)


def test_returns_to_go() -> None:
    def backwards(rewards: Tensor, discount: float) -> Tensor:
        returns, running = torch.zeros_like(rewards), torch.zeros(len(rewards), dtype=rewards.dtype)
        for t in reversed(range(rewards.shape[1])):
            running = rewards[:, t] + discount * running
            returns[:, t] = running
        return returns

    def overwriting(rewards: Tensor, discount: float) -> Tensor:
        for t in reversed(range(rewards.shape[1] - 1)):
            rewards[:, t] += discount * rewards[:, t + 1]
        return rewards

    def by_cumsum(rewards: Tensor, discount: float) -> Tensor:
        powers = discount ** torch.arange(rewards.shape[1])
        return (rewards * powers).flip(1).cumsum(1).flip(1) / powers

    def powers(rewards: Tensor, discount: float) -> Tensor:
        return discount ** torch.arange(rewards.shape[1], dtype=rewards.dtype)

    def undivided(rewards: Tensor, discount: float) -> Tensor:
        return (rewards * powers(rewards, discount)).flip(1).cumsum(1).flip(1)

    def late(rewards: Tensor, discount: float) -> Tensor:
        return backwards(rewards, discount) - rewards

    wrong = {
        "full return": [
            lambda rewards, discount: backwards(rewards, discount)[:, :1].repeat(1, rewards.shape[1]),
            lambda rewards, discount: rewards.sum(1, keepdim=True).expand(rewards.shape),
        ],
        "no discount": [lambda rewards, discount: rewards.flip(1).cumsum(1).flip(1)],
        "discounted from time zero": [undivided],
        "starts one step late": [late, lambda rewards, discount: late(rewards, discount) / discount],
        "return so far": [
            lambda rewards, discount: rewards.cumsum(1),
            lambda rewards, discount: (rewards * powers(rewards, discount)).cumsum(1),
        ],
    }
    prove("01.returns_to_go", [backwards, by_cumsum, overwriting], wrong)


def test_advantages() -> None:
    def values(policy: Tensor, q: Tensor) -> Tensor:
        return (policy * q).sum(1)

    def by_einsum(returns: Tensor, states: Tensor, actions: Tensor, policy: Tensor, q: Tensor) -> Tensor:
        return returns - torch.einsum("nta,nta->nt", policy[states], q[states])

    def by_loop(returns: Tensor, states: Tensor, actions: Tensor, policy: Tensor, q: Tensor) -> Tensor:
        result = returns.clone()
        for i in range(returns.shape[0]):
            for t in range(returns.shape[1]):
                result[i, t] -= sum(policy[states[i, t], a] * q[states[i, t], a] for a in range(q.shape[1]))
        return result

    wrong = {
        "action value": [lambda g, s, a, policy, q: g - q[s].gather(-1, a.unsqueeze(-1)).squeeze(-1)],
        "mean of the batch": [
            lambda g, s, a, policy, q: g - g.mean(0, keepdim=True),
            lambda g, s, a, policy, q: g - g.sum() / g.numel(),
            lambda g, s, a, policy, q: g - g.mean(1)[:, None],
        ],
        "all actions alike": [
            lambda g, s, a, policy, q: g - q[s].mean(-1),
            lambda g, s, a, policy, q: g - q.sum(1)[s],
        ],
        "best action": [lambda g, s, a, policy, q: g - q.amax(1)[s]],
        "only the action taken": [lambda g, s, a, policy, q: g - policy[s, a] * q[s, a]],
        "sign": [
            lambda g, s, a, policy, q: g + values(policy, q)[s],
            lambda g, s, a, policy, q: values(policy, q)[s] - g,
        ],
    }
    prove("01.advantages", [lambda g, s, a, policy, q: g - values(policy, q)[s], by_einsum, by_loop], wrong)


def test_hessian_vector() -> None:
    grad = torch.autograd.grad

    def twice(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        (g,) = grad(f(theta), theta, create_graph=True)
        return grad((g * v).sum(), theta)[0]

    def by_grad_outputs(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        (g,) = grad(f(theta), theta, create_graph=True)
        return grad(g, theta, grad_outputs=v)[0]

    def full(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        return torch.autograd.functional.hessian(f, theta.detach()) @ v

    def first(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        return grad(f(theta), theta)[0]

    def ones(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        return twice(f, theta, torch.ones_like(v))

    wrong = {
        "gradient only": [first],
        "gradient times v": [lambda f, theta, v: first(f, theta, v) * v],
        "row sums": [ones, lambda f, theta, v: ones(f, theta, v) * v],
        "diagonal": [
            lambda f, theta, v: torch.autograd.functional.hessian(f, theta.detach()).diagonal(),
            lambda f, theta, v: torch.autograd.functional.hessian(f, theta.detach()).diagonal() * v,
        ],
        "product of gradients": [lambda f, theta, v: torch.outer(first(f, theta, v), first(f, theta, v)) @ v],
        "zero": [lambda f, theta, v: 0 * v],
    }
    prove("01.hessian_vector", [twice, by_grad_outputs, full], wrong)


def test_a_missing_graph_is_named() -> None:
    def forgetful(f: Function, theta: Tensor, v: Tensor) -> Tensor:
        (g,) = torch.autograd.grad(f(theta), theta)
        return torch.autograd.grad(g @ v, theta)[0]

    assert "does not require grad" in check("01.hessian_vector", forgetful).message


def test_surrogate_value_gradient() -> None:
    right = [
        lambda x: (x - x.detach()).exp(),
        lambda x: x.exp() / x.exp().detach(),
        lambda x: x.exp() / x.detach().exp(),
        lambda x: 1 + x - x.detach(),
    ]
    wrong = {
        "zero derivative": [
            lambda x: x.exp() / x.exp(),
            lambda x: (x - x).exp(),
            lambda x: (x.detach() - x.detach()).exp(),
            torch.ones_like,
        ],
        "value zero": [lambda x: x - x.detach(), lambda x: (x - x.detach()).expm1()],
        "probability itself": [torch.exp],
        "detached numerator": [lambda x: x.exp().detach() / x.exp(), lambda x: (x.detach() - x).exp()],
        "epsilon": [
            lambda x: x.exp() / (x.exp().detach() + 1e-8),
            lambda x: (x.exp() + 1e-6) / (x.exp().detach() + 1e-6),
            lambda x: ((x.exp() + 1e-10).log() - (x.exp() + 1e-10).log().detach()).exp(),
        ],
    }
    prove("01.surrogate_value_gradient", right, wrong)


def test_choices() -> None:
    prove_choice("01.q1", "c")
    prove_choice("01.q2", "a")
