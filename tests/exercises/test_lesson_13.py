"""Solutions and plausible wrong answers of lesson 13."""

from __future__ import annotations

from collections.abc import Callable

import torch
from proof import prove, prove_choice
from torch import Tensor
from torch.autograd import grad

import gmrl_lab as gl
from gmrl_lab.steps import Steps


def test_gae() -> None:
    def loop(
        rewards: Tensor, values: Tensor, ended: Tensor, discount: float, gae_lambda: float, value: int = 1, far: int = 1
    ) -> Tensor:
        found, ahead = rewards.clone(), torch.zeros_like(rewards[0])
        for t in reversed(range(len(rewards))):
            over = bool(ended[t])
            ahead = (
                rewards[t]
                + discount * values[t + 1] * (0 if over and value else 1)
                - values[t]
                + discount * gae_lambda * ahead * (0 if over and far else 1)
            )
            found[t] = ahead
        return found

    def by_the_package(rewards: Tensor, values: Tensor, ended: Tensor, discount: float, gae_lambda: float) -> Tensor:
        following = torch.where(ended, 0.0, values[1:])
        one = [x.unsqueeze(0) for x in (torch.zeros_like(rewards), rewards, values[:-1], following)]
        return Steps(*one, discount=discount, ended=ended.unsqueeze(0), gae_lambda=gae_lambda).advantage[0]

    wrong = {
        "no ends": [lambda *given: loop(*given, value=0, far=0)],
        "value of the next game": [lambda *given: loop(*given, value=0)],
        "advantage of the next game": [lambda *given: loop(*given, far=0)],
        "one error": [lambda r, v, e, g, lam: r + g * torch.where(e, 0.0, v[1:]) - v[:-1]],
        "λ left out": [lambda r, v, e, g, lam: loop(r, v, e, g, 1.0)],
        "target": [lambda r, v, e, g, lam: loop(r, v, e, g, lam) + v[:-1]],
    }
    prove("13.gae", [loop, by_the_package], wrong)


Loss = Callable[[Tensor, Tensor], Tensor]


def test_two_updates() -> None:
    def plain(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float) -> Tensor:
        one = theta - lr * grad(loss(phi, theta), theta, create_graph=True)[0]
        two = one - lr * grad(loss(phi, one), one, create_graph=True)[0]
        return grad(loss(reference, two), phi)[0]

    def product(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float, factor: bool = True) -> Tensor:
        """Proposition 3.1, term by term."""
        path, mixed, hessians = [theta.detach().requires_grad_()], [], []
        for _ in range(2):
            at = path[-1]
            slope = grad(loss(phi, at), at, create_graph=True)[0]
            rows = [grad(x, (phi, at), retain_graph=True, allow_unused=True) for x in slope]
            mixed.append(-torch.stack([row[0] for row in rows], 1))
            hessians.append(-torch.stack([row[1] for row in rows], 1))
            path.append((at - lr * slope).detach().requires_grad_())
        v = grad(loss(reference, path[2]), path[2])[0]
        through = v + lr * hessians[1] @ v if factor else v
        return lr * (mixed[1] @ v + mixed[0] @ through)

    def cut(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float) -> Tensor:
        one = (theta - lr * grad(loss(phi, theta), theta)[0]).detach().requires_grad_()
        return grad(loss(reference, one - lr * grad(loss(phi, one), one, create_graph=True)[0]), phi)[0]

    def once(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float) -> Tensor:
        return grad(loss(reference, theta - lr * grad(loss(phi, theta), theta, create_graph=True)[0]), phi)[0]

    def itself(loss: Loss, phi: Tensor, reference: Tensor, theta: Tensor, lr: float) -> Tensor:
        return plain(loss, phi, phi, theta, lr)

    wrong = {
        "cut between the updates": [cut],
        "without H": [lambda *given: product(*given, factor=False)],
        "one update": [once],
        "uphill": [lambda loss, phi, reference, theta, lr: plain(loss, phi, reference, theta, -lr)],
        "judged by itself": [itself],
    }
    prove("13.two_updates", [plain, product], wrong)


def test_it_is_the_number_on_paper() -> None:
    """The exercise's first case is the lesson's toy, whose meta-gradient is to be maximised: 0.461."""
    exercise = gl.checks.find("13.two_updates")
    assert isinstance(exercise, gl.checks.Exercise)
    assert abs(exercise.reference(*exercise.cases()[0].args).item() + 0.461) < 5e-4


def test_once() -> None:
    prove_choice("13.once", "c")


def test_differences() -> None:
    prove_choice("13.differences", "b")
