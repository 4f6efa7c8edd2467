"""Finite Markov decision processes as tensors: the ground that every lesson stands on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._validate import (
    bad,
    check_broadcast,
    check_finite,
    check_interval,
    check_like,
    check_positive,
    check_trailing,
    check_whole,
)
from gmrl_lab.categorical import Alias
from gmrl_lab.toy_text import read_table

if TYPE_CHECKING:
    import gymnasium

ROW_SUM_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


@dataclass(frozen=True, eq=False, init=False)
class TabularMDP:
    """A finite MDP (S, A, P, R, γ, s₀), or a batch of them.

    Args:
        transitions: P(s'|s, a), `(..., S, A, S)`; each row sums to 1 (1e-9 in float64, 1e-5 in float32).
        rewards: R(s, a), `(..., S, A)`, finite. May carry a gradient (LIRPG's intrinsic reward).
        discount: γ in [0, 1), a float or `(...)`. May carry a gradient (MGRL's meta-discount).
        start_state: an index, an integer tensor `(...)`, or a distribution over states `(..., S)` in floating point.

    Leading dimensions broadcast against one another. Tensors decide dtype and device; transitions from lists or
    NumPy arrays become float64, and everything else that is no tensor follows the transitions.

    Raises:
        ValueError: naming the argument, if a shape, dtype, device or value is not as said above.

    Taught in lesson 01.
    """

    transitions: Tensor
    rewards: Tensor
    discount: Tensor
    start_state: Tensor
    batch_shape: torch.Size
    """The leading dimensions of all fields, broadcast together."""

    def __init__(
        self, transitions: Tensor, rewards: Tensor, discount: float | Tensor, start_state: int | Tensor = 0
    ) -> None:
        fields = {"transitions": transitions, "rewards": rewards, "discount": discount, "start_state": start_state}
        self.__dict__.update(self._validated(fields))
        self.__dict__["batch_shape"] = self._batch_shape()

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return int(self.transitions.shape[-1])

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return int(self.transitions.shape[-2])

    @property
    def dtype(self) -> torch.dtype:
        """float64 or float32, shared by all fields."""
        return self.transitions.dtype

    @property
    def device(self) -> torch.device:
        """The device of all fields."""
        return self.transitions.device

    @cached_property
    def start_distribution(self) -> Tensor:
        """The start state as a distribution, `(..., S)`."""
        if self.start_state.is_floating_point():
            return self.start_state
        return torch.nn.functional.one_hot(self.start_state, self.n_states).to(self.dtype)

    @cached_property
    def transition_sampler(self) -> Alias:
        """Alias tables of the transitions, row s·A + a of each MDP in turn; built once."""
        return Alias.of(self.transitions)

    def replace(self, **changes: Any) -> "TabularMDP":
        """A copy with some fields changed; only these are validated, and gradients flow through them.

        Raises:
            ValueError: for an unknown field or a bad value.
        """
        new = object.__new__(TabularMDP)
        new.__dict__.update(self.__dict__)
        if "start_state" in changes:
            new.__dict__.pop("start_distribution", None)
        if "transitions" in changes:
            new.__dict__.pop("transition_sampler", None)
        new.__dict__.update(new._validated(changes))
        new.__dict__["batch_shape"] = new._batch_shape()
        return new

    def to(self, *args: Any, **kwargs: Any) -> "TabularMDP":
        """The same MDP in another dtype or on another device; arguments as for `torch.Tensor.to`."""
        moved: dict[str, Any] = {
            n: getattr(self, n).to(*args, **kwargs) for n in ("transitions", "rewards", "discount")
        }
        start = self.start_state
        moved["start_state"] = (
            start.to(*args, **kwargs) if start.is_floating_point() else start.to(moved["rewards"].device)
        )
        return TabularMDP(**moved)

    def __repr__(self) -> str:
        batch = f", batch {tuple(self.batch_shape)}" if self.batch_shape else ""
        return f"TabularMDP({self.n_states} states, {self.n_actions} actions{batch}, {self.dtype} on {self.device})"

    def _validated(self, fields: dict[str, Any]) -> dict[str, Tensor]:
        """Tensors for `fields`, each checked on its own and against the fields that this MDP already has."""
        unknown = set(fields) - {"transitions", "rewards", "discount", "start_state"}
        if unknown:
            raise bad("replace", sorted(unknown), "transitions, rewards, discount, start_state")
        new: dict[str, Tensor] = {}
        if "transitions" in fields:
            new["transitions"] = _validated_transitions(_as_tensor(fields["transitions"]))
        transitions = new.get("transitions", self.__dict__.get("transitions"))
        assert transitions is not None
        n_actions, n_states = transitions.shape[-2:]
        rewards = fields.get("rewards", self.__dict__.get("rewards"))
        if "rewards" in fields or "transitions" in fields:
            new["rewards"] = _as_tensor(rewards, transitions)
            check_trailing("rewards", new["rewards"], (n_states, n_actions))
            check_like("rewards", new["rewards"], "transitions", transitions)
            check_finite("rewards", new["rewards"])
        if "discount" in fields:
            new["discount"] = _validated_discount(fields["discount"], transitions)
        start = fields.get("start_state", self.__dict__.get("start_state"))
        if "start_state" in fields or "transitions" in fields:
            new["start_state"] = _validated_start(cast(Tensor, start), transitions)
        return new

    def _batch_shape(self) -> torch.Size:
        batch = self.transitions.shape[:-3]
        batch = check_broadcast("rewards", self.rewards.shape[:-2], "transitions", batch)
        batch = check_broadcast("discount", self.discount.shape, "transitions and rewards", batch)
        start = self.start_state.shape[:-1] if self.start_state.is_floating_point() else self.start_state.shape
        return check_broadcast("start_state", start, "the other fields", batch)

    @classmethod
    def from_gymnasium(
        cls, env: "gymnasium.Env[Any, Any] | str", discount: float = 0.99, dtype: torch.dtype = torch.float64
    ) -> "TabularMDP":
        """The model of a Gymnasium toy-text environment (FrozenLake, CliffWalking, Taxi) from its `P` table.

        A state that ends the episode becomes absorbing with zero reward; the initial state distribution is kept.

        Args:
            env: an environment or its id, such as `"FrozenLake-v1"`.
            discount: γ in [0, 1); Gymnasium's tables have none.
            dtype: of the result.

        Raises:
            ValueError: if the environment has no `P` table, or if a state within reach is entered both as an end
                and not.

        Taught in lesson 01.
        """
        import gymnasium

        raw = cast(Any, gymnasium.make(env) if isinstance(env, str) else env).unwrapped
        table = getattr(raw, "P", None)
        if table is None:
            raise bad("env", raw, "an environment with a `P` table, such as FrozenLake-v1, CliffWalking-v1, Taxi-v4")
        start = torch.as_tensor(np.asarray(raw.initial_state_distrib), dtype=dtype)
        transitions, rewards = read_table(table, start.nonzero().flatten().tolist())
        return cls(transitions.to(dtype), rewards.to(dtype), discount, start / start.sum())


def random_mdp(
    n_states: int = 20,
    n_actions: int = 5,
    discount: float = 0.8,
    concentration: float = 0.001,
    seed: int | Sequence[int] = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> TabularMDP:
    """A random MDP as in the paper's tabular experiments (Table 2): Dirichlet transitions, rewards U[0, 1), start 0.

    The Dirichlet is drawn in log space, log Gamma(c) = log Gamma(c + 1) + log(U)/c, so that the tiny concentration
    of the paper (0.001) does not underflow to rows of 0/0.

    Args:
        n_states, n_actions: sizes S and A.
        discount: γ in [0, 1).
        concentration: of the symmetric Dirichlet; small makes transitions nearly deterministic.
        seed: an integer for one MDP; a sequence for a batch, whose i-th MDP is that of seed i alone.

    Raises:
        ValueError: for sizes below 1, a concentration that is not positive, or a negative seed.

    Taught in lesson 02.
    """
    check_whole("n_states", n_states, 1)
    check_whole("n_actions", n_actions, 1)
    check_positive("concentration", concentration)
    seeds = list(seed) if isinstance(seed, Sequence | np.ndarray) else [seed]
    if not seeds:
        raise bad("seed", seeds, "an integer or a non-empty sequence of integers")
    for one in seeds:
        check_whole("seed", one, 0)
    drawn = [_draw_tables(n_states, n_actions, concentration, one) for one in seeds]
    transitions, rewards = (torch.as_tensor(np.stack(part)).to(device, dtype) for part in zip(*drawn, strict=True))
    if not isinstance(seed, Sequence | np.ndarray):
        transitions, rewards = transitions[0], rewards[0]
    return TabularMDP(transitions, rewards, discount)


def _draw_tables(n_states: int, n_actions: int, concentration: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_states)
    log_gamma = np.log(rng.standard_gamma(concentration + 1.0, shape)) + np.log1p(-rng.random(shape)) / concentration
    weights = np.exp(log_gamma - log_gamma.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True), rng.random((n_states, n_actions))


def _as_tensor(value: Any, like: Tensor | None = None) -> Tensor:
    """A tensor as it is; a list or an array like another tensor, or in float64."""
    if isinstance(value, Tensor):
        return value
    tensor = torch.as_tensor(np.asarray(value, dtype=np.float64))
    return tensor if like is None else tensor.to(like)


def _validated_transitions(transitions: Tensor) -> Tensor:
    if transitions.ndim < 3 or transitions.shape[-1] != transitions.shape[-3] or 0 in transitions.shape:
        raise bad("transitions", f"shape {tuple(transitions.shape)}", "shape (..., S, A, S) with S, A >= 1")
    if transitions.dtype not in ROW_SUM_TOLERANCE:
        raise bad("transitions", transitions.dtype, "torch.float64 or torch.float32")
    check_finite("transitions", transitions)
    rows = transitions.detach()
    if bool((rows < 0).any()):
        raise bad("transitions", f"a probability of {rows.min().item():g}", "probabilities >= 0")
    error = (rows.sum(-1) - 1).abs()
    tolerance = ROW_SUM_TOLERANCE[rows.dtype]
    if bool((error > tolerance).any()):
        where = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
        raise bad(
            "transitions", f"a row sum of {rows.sum(-1)[where].item():.12g} at {where}", f"1 within {tolerance:g}"
        )
    return transitions


def _validated_discount(discount: float | Tensor, like: Tensor) -> Tensor:
    if not isinstance(discount, Tensor):
        discount = torch.as_tensor(discount, dtype=like.dtype, device=like.device)
    check_like("discount", discount, "transitions", like)
    check_interval("discount", discount, 0.0, 1.0, open_high=True)
    return discount


def _validated_start(start: int | Tensor, like: Tensor) -> Tensor:
    n_states = like.shape[-1]
    start = start if isinstance(start, Tensor) else torch.as_tensor(np.asarray(start), device=like.device)
    if start.device != like.device:
        raise bad("start_state", f"a tensor on {start.device}", f"one on {like.device}, as transitions")
    if start.is_floating_point():
        check_like("start_state", start, "transitions", like)
        check_trailing("start_state", start, (n_states,))
        check_finite("start_state", start)
        if bool((start < 0).any()) or bool(((start.sum(-1) - 1).abs() > ROW_SUM_TOLERANCE[like.dtype]).any()):
            raise bad("start_state", start.tolist(), "an index or a distribution that sums to 1")
        return start
    if start.dtype == torch.bool or bool((start < 0).any()) or bool((start >= n_states).any()):
        raise bad("start_state", start.tolist(), f"whole numbers from 0 to {n_states - 1}")
    return start.long()
