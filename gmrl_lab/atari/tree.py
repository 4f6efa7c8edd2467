"""All windows of T steps from fixed start states of a deterministic game, as a graph: the truth without sampling.

Without sticky actions an emulator is deterministic, so that from a start state there are Aᵀ windows, and far fewer
states. Equal states at the same depth are one node. On this graph expectations are sums from layer to layer.

    tree = grow(EmulatorSource.load("runs/qbert/checkpoint.pt"))        # gmrl_lab.atari.grow
    expected_meta_gradients(tree, n_inner=5, inner_lr=…)                # gmrl_lab.atari.recursion
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._files import replacing
from gmrl_lab._validate import bad, check_whole
from gmrl_lab.atari.layers import Layer, LayeredFlow
from gmrl_lab.atari.network import Network
from gmrl_lab.atari.windows import KnownSource, Windows
from gmrl_lab.estimators import ExpectedEstimator
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.seeding import Generators


class GameTree(KnownSource):
    """The layered graph of a game's next T steps, with the policy and the critic of a checkpoint.

    Args:
        network, parameters: the policy's.
        discount: γ of the outer objective.
        observations: all that differ, bytes `(m, *shape)`.
        layers: T + 1 of them; the first holds the start states.
        starts: their places in the first layer, of equal probability.
        made: what it was grown from, plain values by name.

    Taught in lesson 14.
    """

    batched = False

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        discount: float,
        observations: Tensor,
        layers: list[Layer],
        starts: Tensor,
        made: Mapping[str, Any],
    ) -> None:
        self.network, self.parameters, self.discount = network, parameters, discount
        self.observations, self.layers, self.starts, self.made = observations, layers, starts, dict(made)

    @property
    def horizon(self) -> int:
        """T."""
        return len(self.layers) - 1

    @property
    def n_states(self) -> list[int]:
        """Distinct states after 0 … T steps."""
        return [layer.n_states for layer in self.layers]

    def to(self, dtype: torch.dtype) -> "GameTree":
        """The same with parameters and numbers of another type."""
        parameters = {name: x.to(dtype) for name, x in self.parameters.items()}
        layers = [layer.to(dtype) for layer in self.layers]
        return GameTree(self.network, parameters, self.discount, self.observations, layers, self.starts, self.made)

    def expected(
        self, estimators: Mapping[str, ExpectedEstimator], parameters: Parameters, phi: Tensor
    ) -> dict[str, Tensor]:
        """From layer to layer, by the estimators' own closed forms."""
        flow = LayeredFlow(self.layers, self.starts, self._logits(parameters), *phi.unbind())
        return {name: flow.expectation(estimator) for name, estimator in estimators.items()}

    def objective(self, parameters: Parameters, discount: Tensor) -> Tensor:
        """J(γ, θ), backwards: U_T = V̂, U_t(s) = Σ_a π(a|s) [r(s, a) + γ U_{t+1}(s')]."""
        policy = self._logits(parameters).softmax(-1)
        value = self.layers[-1].values
        for layer in self.layers[-2::-1]:
            value = (policy[layer.seen] * (layer.rewards + discount * value[layer.children])).sum(-1)
        return value[self.starts].mean()

    @torch.no_grad()
    def draw(self, parameters: Parameters, n: int, generator: Generators) -> Windows:
        """n walks from start states drawn uniformly, as the emulator would play them."""
        check_whole("n", n, 1)
        assert isinstance(generator, torch.Generator)
        state = self.starts[torch.randint(len(self.starts), (n,), generator=generator)]
        seen, actions, rewards, alive = [], [], [], []
        values = [self.layers[0].values[state]]
        for layer, after in zip(self.layers[:-1], self.layers[1:], strict=True):
            alive.append(state < layer.n_states)
            seen.append(layer.seen[state])
            own, place = seen[-1].unique(return_inverse=True)
            policy = self._logits(parameters, own).softmax(-1)[place]
            actions.append(torch.multinomial(policy, 1, generator=generator).squeeze(-1))
            rewards.append(layer.rewards[state, actions[-1]])
            state = layer.children[state, actions[-1]]
            values.append(after.values[state])
        rewarded, living = torch.stack(rewards, -1), torch.stack(alive, -1).to(rewards[0].dtype)
        looks = torch.stack(seen, -1), torch.stack(actions, -1)
        return Windows(self.observations, *looks, rewarded, torch.stack(values, -1), living)

    def save(self, path: Path) -> None:
        """Write it to one compressed file, aside and renamed."""
        arrays = {"observations": self.observations, "starts": self.starts}
        arrays |= {f"parameter {name}": x for name, x in self.parameters.items()}
        arrays |= {f"layer {t} {name}": x for t, layer in enumerate(self.layers) for name, x in vars(layer).items()}
        about = {"network": self.network.kind, "discount": self.discount, "layers": len(self.layers), "made": self.made}
        contents: dict[str, Any] = {name: x.numpy() for name, x in arrays.items()}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, about=json.dumps(about), **contents)

    @classmethod
    def load(cls, path: Path) -> "GameTree":
        """Read what `save` wrote.

        Raises:
            ValueError: if the file is missing, no tree, or damaged.
        """
        try:
            with np.load(path) as file:
                about = json.loads(str(file["about"]))
                arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "about"}
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise bad(
                "source", f"{path} ({type(error).__name__})", "a tree that `GameTree.save` has written"
            ) from error
        parameters = {name.removeprefix("parameter "): x for name, x in arrays.items() if name.startswith("parameter ")}
        names = [field.name for field in fields(Layer)]
        layers = [Layer(*(arrays[f"layer {t} {name}"] for name in names)) for t in range(about["layers"])]
        observations, n_actions = arrays["observations"], len(parameters["policy.bias"])
        network = Network(about["network"], tuple(observations.shape[1:]), n_actions)
        return cls(network, parameters, about["discount"], observations, layers, arrays["starts"], about["made"])

    def _logits(self, parameters: Parameters, which: Tensor | None = None) -> Tensor:
        """Of all observations, or of some, `(m, A)`."""
        seen = self.observations if which is None else self.observations[which]
        return self.network.logits(parameters, self.network.features(parameters, seen))
