"""The network of Table 4 as functions of a dictionary, and its convolution to second order."""

import pytest
import torch
from helpers import close, normal, seeded

from gmrl_lab.atari.convolution import convolve
from gmrl_lab.atari.network import Network

DISCOUNT = torch.tensor(0.9, dtype=torch.float64)


def test_parameters_of_table_4() -> None:
    """Convolutions 32@8x8, 64@4x4, 64@3x3 and 512 units, as published; the critic mixes in 16 units for γ."""
    shapes = {name: tuple(x.shape) for name, x in Network("full", (4, 84, 84), 6).init(seeded()).items()}
    assert {name: shape for name, shape in shapes.items() if name.endswith("weight")} == {
        "conv0.weight": (32, 4, 8, 8),
        "conv1.weight": (64, 32, 4, 4),
        "conv2.weight": (64, 64, 3, 3),
        "hidden.weight": (512, 3136),
        "policy.weight": (6, 512),
        "embedding.weight": (16, 1),
        "mix.weight": (512, 528),
        "value.weight": (1, 512),
    }


def test_frames_agree_with_plain_convolutions() -> None:
    network = Network("small", (4, 42, 42), 5)
    parameters = network.init(seeded(), torch.float64)
    frames = torch.randint(256, (2, 3, 4, 42, 42), dtype=torch.uint8, generator=seeded(1))
    x = frames.flatten(0, 1).double() / 255
    for i, stride in enumerate((4, 2)):
        x = torch.conv2d(x, parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"], stride).relu()
    flat = x.permute(0, 2, 3, 1).flatten(1)
    wanted = (flat @ parameters["hidden.weight"].T + parameters["hidden.bias"]).relu().reshape(2, 3, -1)
    assert close(network.features(parameters, frames), wanted, 1e-12)


def test_convolution_and_both_its_derivatives() -> None:
    """Against finite differences to second order; the stride leaves a column of pixels over."""
    x, weight = normal(2, 2, 7, 8).requires_grad_(), normal(3, 2, 3, 3, seed=1).requires_grad_()

    def f(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return convolve(x, weight, 2)

    assert close(f(x, weight).detach(), torch.conv2d(x, weight, stride=2).detach(), 1e-12)
    assert torch.autograd.gradcheck(f, (x, weight))
    assert torch.autograd.gradgradcheck(f, (x, weight))


def test_only_the_critic_sees_the_discount() -> None:
    network = Network("mlp", (6,), 3)
    parameters = network.init(seeded(), torch.float64)
    features = network.features(parameters, normal(7, 6))
    low, high = (network.value(parameters, features, torch.tensor(x).double()) for x in (0.5, 0.99))
    assert (high - low).std() > 1e-3  # not only by a constant: the embedding is mixed with the features
    assert network.logits(parameters, features).softmax(-1).sub(1 / 3).abs().max() < 0.02


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_batched_parameters_are_one_network_each(kind: str) -> None:
    network = Network(kind, (6,), 3)
    each = [network.init(seeded(i), torch.float64) for i in range(2)]
    both = {name: torch.stack([one[name] for one in each]) for name in each[0]}
    seen, discount = normal(5, 2, 4, 6), torch.tensor([0.5, 0.9], dtype=torch.float64)
    features = network.features(both, seen)
    for i, one in enumerate(each):
        alone = network.features(one, seen[:, i])
        assert close(network.logits(both, features)[:, i], network.logits(one, alone), 1e-12)
        assert close(network.value(both, features, discount)[:, i], network.value(one, alone, discount[i]), 1e-12)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="kind: got 'huge'"):
        Network("huge", (4, 84, 84), 6)
    with pytest.raises(ValueError, match=r"observation_shape: got \(6,\), allowed is \(channels, height, width\)"):
        Network("full", (6,), 3)
    with pytest.raises(ValueError, match="larger frames for the 'full' network"):
        Network("full", (4, 20, 20), 3)
    with pytest.raises(ValueError, match="n_actions: got 1"):
        Network("mlp", (6,), 1)
