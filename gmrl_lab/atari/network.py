"""The actor-critic network as functions of a dictionary of parameters, so that θᵏ may carry the graph to φ."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gmrl_lab._validate import bad, check_choice, check_whole
from gmrl_lab.atari.convolution import convolve
from gmrl_lab.atari.settings import NETWORKS
from gmrl_lab.learners.optimisers import Parameters

EMBEDDING = 16
"""Units of the embedding of γ."""


@dataclass(frozen=True)
class Network:
    """Shared features, a policy on them, and a critic on them and on the discount.

        x = features(s),   π(·|s) = softmax(W_π x),   V(s; γ) = w · relu(W [x, E γ])

    The critic is conditioned on γ by 16 units, so that one critic serves the changing γ_φ and the γ of the outer loss.
    A2C has the same network. With vectors of observations all parameters may have leading batch dimensions.

    Args:
        kind: "full" or "small" (convolutions, for frames `(C, H, W)` of bytes), "mlp" or "linear" (for vectors). With
            one-hot states "linear" is the tabular softmax policy.
        observation_shape: of one observation.
        n_actions: A.

    Raises:
        ValueError: for an unknown kind, or observations that it cannot take.

    Taught in lesson 13.
    """

    kind: str
    observation_shape: tuple[int, ...]
    n_actions: int

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, NETWORKS)
        check_whole("n_actions", self.n_actions, 2)
        sees = 3 if self.convolutions else 1
        if len(self.observation_shape) != sees:
            allowed = "(channels, height, width)" if self.convolutions else "(size,)"
            raise bad("observation_shape", self.observation_shape, f"{allowed} for the {self.kind!r} network")
        if self.convolutions and min(self._after_convolutions[1:]) < 1:
            raise bad("observation_shape", self.observation_shape, f"larger frames for the {self.kind!r} network")

    @property
    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """(channels, kernel, stride) of each."""
        return _LAYERS[self.kind][0]

    @property
    def n_features(self) -> int:
        """Size of x."""
        return _LAYERS[self.kind][1] or self.observation_shape[0]

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        """Orthogonal weights, zero biases; the policy's are small, so that it starts close to uniform.

        The gains are √2 under a rectifier, 0.01 for the policy and 1 elsewhere, as is usual for A2C.
        """
        parameters = {}
        for name, (shape, gain) in self._shapes().items():
            weight = torch.empty(shape, dtype=dtype, device=generator.device)
            torch.nn.init.orthogonal_(weight, gain, generator)
            layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
            parameters[f"{name}.weight"] = weight.contiguous(memory_format=layout)
            parameters[f"{name}.bias"] = torch.zeros(shape[0], dtype=dtype, device=generator.device)
        return parameters

    def features(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """x of observations `(..., *observation_shape)`: `(..., n_features)`."""
        dtype = parameters["policy.weight"].dtype
        if not self.convolutions:
            x = observations.to(dtype)
            return _linear(parameters, "hidden", x).tanh() if _LAYERS[self.kind][1] else x
        x = _pixel_by_pixel(observations.flatten(0, -4), dtype)
        scale = 1 / 255  # scaling the first weights is cheaper than scaling every frame
        for i, (_, _, stride) in enumerate(self.convolutions):
            weight, bias = parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"]
            x, scale = convolve(x, scale * weight, stride).add_(bias[:, None, None]).relu_(), 1.0
        x = _linear(parameters, "hidden", x.permute(0, 2, 3, 1).flatten(1)).relu_()
        return x.reshape(*observations.shape[:-3], -1)

    def logits(self, parameters: Parameters, features: Tensor) -> Tensor:
        """Policy logits `(..., A)`."""
        return _linear(parameters, "policy", features)

    def value(self, parameters: Parameters, features: Tensor, discount: Tensor) -> Tensor:
        """V(s; γ), `(...)`, for a discount `(*batch)` where parameters are batched."""
        embedding = _linear(parameters, "embedding", discount[..., None, None])
        embedding = embedding.expand(*features.shape[:-1], EMBEDDING)
        mixed = _linear(parameters, "mix", torch.cat([features, embedding], -1)).relu()
        return _linear(parameters, "value", mixed).squeeze(-1)

    @property
    def _after_convolutions(self) -> tuple[int, int, int]:
        _, height, width = self.observation_shape
        for _, kernel, stride in self.convolutions:
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        return self.convolutions[-1][0], height, width

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Shape and gain of each weight."""
        shapes: dict[str, tuple[tuple[int, ...], float]] = {}
        size = self.n_features
        if self.convolutions:
            channels = self.observation_shape[0]
            for i, (out, kernel, _) in enumerate(self.convolutions):
                shapes[f"conv{i}"] = (out, channels, kernel, kernel), 2**0.5
                channels = out
            shapes["hidden"] = (size, torch.Size(self._after_convolutions).numel()), 2**0.5
        elif _LAYERS[self.kind][1]:
            shapes["hidden"] = (size, *self.observation_shape), 2**0.5
        shapes["policy"] = (self.n_actions, size), 0.01
        shapes["embedding"] = (EMBEDDING, 1), 1.0
        shapes["mix"] = (size, size + EMBEDDING), 2**0.5
        shapes["value"] = (1, size), 1.0
        return shapes


_LAYERS: dict[str, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "full": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),
    "small": (((16, 8, 4), (32, 4, 2)), 128),
    "mlp": ((), 64),
    "linear": ((), 0),
}
"""Convolutions and the size of the fully connected layer; 0 for none."""


def _pixel_by_pixel(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Frames `(n, C, H, W)` as numbers with the C of a pixel side by side; copied plane by plane, which is faster."""
    n, channels, height, width = frames.shape
    x = frames.new_empty((n, height, width, channels), dtype=dtype).permute(0, 3, 1, 2)
    for there, plane in zip(x.unbind(1), frames.unbind(1), strict=True):
        there.copy_(plane)
    return x


def _linear(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    """W x + b for x `(..., *batch, rows, n)` and a weight `(*batch, m, n)`."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return F.linear(x, weight, bias) if weight.ndim == 2 else x @ weight.mT + bias.unsqueeze(-2)
