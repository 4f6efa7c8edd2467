"""The differentiable optimisers: step for step those of torch, and a derivative through all of their steps."""

import pytest
import torch
from helpers import close, normal

from gmrl_lab.learners.optimisers import SGD, Adam, Optimiser, clip_by_norm, linear_decay, root

SHAPES = {"a": (3, 2), "b": (5,)}


def tensors(seed: int) -> dict[str, torch.Tensor]:
    return {name: normal(*shape, seed=seed + i) for i, (name, shape) in enumerate(SHAPES.items())}


@pytest.mark.parametrize("ours", [Adam(0.8, 0.95, 1e-5), Adam(), SGD()], ids=str)
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_step_for_step_as_torch(ours: Optimiser, max_norm: float) -> None:
    """Twenty steps with a falling rate; gradients between 10⁻³ and 10 times normal; clipped as torch clips."""
    parameters = tensors(0)
    theirs = {name: x.clone().requires_grad_() for name, x in parameters.items()}
    if isinstance(ours, Adam):
        options = {"lr": 0.1, "betas": (ours.beta_1, ours.beta_2), "eps": ours.eps}
        optimiser: torch.optim.Optimizer = torch.optim.Adam(theirs.values(), **options)
    else:
        optimiser = torch.optim.SGD(theirs.values(), lr=0.1)
    state = ours.init(parameters)
    for k in range(20):
        lr = linear_decay(0.1, k, 25)
        gradients = {name: 10.0 ** (k % 5 - 3) * x for name, x in tensors(10 * k + 7).items()}
        clipped, norm = clip_by_norm(gradients, max_norm)
        parameters, state = ours.step(parameters, clipped, state, lr)
        for name, x in theirs.items():
            x.grad = gradients[name].clone()
        assert close(norm, torch.nn.utils.clip_grad_norm_(theirs.values(), max_norm), 1e-12)
        optimiser.param_groups[0]["lr"] = lr
        optimiser.step()
        assert all(close(parameters[name], theirs[name].detach(), 1e-12) for name in SHAPES)
    assert state.step == 20


@pytest.mark.parametrize("optimiser", [Adam(eps=1e-3), SGD()], ids=str)
def test_derivative_through_four_clipped_steps(optimiser: Optimiser) -> None:
    def end(size: torch.Tensor) -> torch.Tensor:
        parameters = tensors(0)
        state = optimiser.init(parameters)
        for k in range(4):
            gradients = {name: size[k] * x**2 + parameters[name] for name, x in tensors(10 * k).items()}
            gradients, _ = clip_by_norm(gradients, 2.0)
            parameters, state = optimiser.step(parameters, gradients, state, 0.1)
        return sum((x**3).sum() for x in parameters.values())

    size = torch.tensor([0.3, 1.0, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(end, size)


def test_a_parameter_without_gradient_stays_and_makes_no_nan() -> None:
    """A dead unit: its second moment is zero, where a square root has no derivative."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    parameters = {"dead": normal(3), "live": normal(3, seed=1)}
    gradients = {"dead": 0.0 * scale.expand(3), "live": scale * normal(3, seed=2)}
    gradients, _ = clip_by_norm(gradients, 0.5)
    moved, _ = Adam().step(parameters, gradients, Adam().init(parameters), 0.1)
    assert torch.equal(moved["dead"], parameters["dead"])
    (found,) = torch.autograd.grad(sum(x.sum() for x in moved.values()), scale)
    assert torch.isfinite(found)


def test_root_has_no_infinite_derivative() -> None:
    x = torch.tensor([0.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert root(x).tolist() == [0, 2]
    (slope,) = torch.autograd.grad(root(x).sum(), x)
    assert slope.tolist() == [0, 0.25]


def test_each_element_of_a_batch_is_clipped_by_its_own_norm() -> None:
    together = {name: torch.stack([x, 10 * x]) for name, x in tensors(3).items()}
    clipped, norm = clip_by_norm(together, 2.0, n_batch=1)
    for i in range(2):
        alone, alone_norm = clip_by_norm({name: x[i] for name, x in together.items()}, 2.0)
        assert close(norm[i], alone_norm, 1e-12)
        assert all(close(clipped[name][i], alone[name], 1e-12) for name in SHAPES)


def test_decay_is_linear_and_ends_at_zero() -> None:
    assert [linear_decay(0.8, done, 4) for done in range(6)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0, 0])


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"beta_1: got 1\.0"):
        Adam(beta_1=1.0)
    with pytest.raises(ValueError, match="eps: got 0"):
        Adam(eps=0)
    with pytest.raises(ValueError, match="max_norm: got -1"):
        clip_by_norm(tensors(0), -1)
    with pytest.raises(ValueError, match="gradients: got none"):
        clip_by_norm({}, 1)
