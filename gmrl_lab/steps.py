"""Per-step data of trajectories, and the quantities that every estimator reads from them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gmrl_lab._tensors import stack
from gmrl_lab._validate import bad, check_finite, check_interval


@dataclass(frozen=True, eq=False)
class Steps:
    """Per-step data of n trajectories of T steps; each tensor `(..., n, T)` unless said otherwise.

    Args:
        log_prob: log π_θ(a_t|s_t), with the graph to θ; the joint one in a game.
        reward: r_t; may carry meta-parameters.
        value: V̂(s_t), zero for none; never carries θ.
        next_value: V̂ of the state after step t: zero after termination, V̂ of the last observation at truncation.
        discount: γ, a float or `(...)`; may carry meta-parameters.
        behaviour_log_prob: log μ(a_t|s_t) of the policy that acted, finite; None for on-policy data.
        ended: whether an episode ended after step t; None if none did. Ratios, advantages, traces and γᵗ restart.
        gae_lambda: λ of generalised advantage estimation (Schulman et al. 2016); 1 is the plain return.
        weight: of each step; None for γᵗ.

    Taught in lessons 01 and 02.
    """

    log_prob: Tensor
    reward: Tensor
    value: Tensor
    next_value: Tensor
    discount: Tensor | float
    behaviour_log_prob: Tensor | None = None
    ended: Tensor | None = None
    gae_lambda: Tensor | float = 1.0
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        check_interval("gae_lambda", self.gae_lambda, 0.0, 1.0)
        for name in ("reward", "value", "next_value", "behaviour_log_prob", "ended"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape[-2:] != self.log_prob.shape[-2:]:
                raise bad(
                    name, f"shape {tuple(tensor.shape)}", f"(..., n, T) = (..., {tuple(self.log_prob.shape[-2:])})"
                )
        if self.behaviour_log_prob is not None:
            check_finite("behaviour_log_prob", self.behaviour_log_prob)

    @cached_property
    def log_ratio(self) -> Tensor:
        """log ρ_t."""
        behaviour = self.log_prob.detach() if self.behaviour_log_prob is None else self.behaviour_log_prob
        return self.log_prob - behaviour

    @cached_property
    def ratio(self) -> Tensor:
        """ρ_t."""
        return self.log_ratio.exp()

    @cached_property
    def weights(self) -> Tensor:
        """γᵗ, counted from the last restart, or the given weight."""
        if self.weight is not None:
            return self.weight
        age = self.trace(torch.ones_like(self.log_prob)) - 1 if self.ended is not None else self._time
        return _per_step(self.discount, self.log_prob) ** age

    @cached_property
    def advantage(self) -> Tensor:
        """Â_t = Σ_l (γλ)^{l−t} (r_l + γ V̂(s_{l+1}) − V̂(s_l)), up to the end of the episode or the horizon."""
        discount = _per_step(self.discount, self.log_prob)
        error = self.reward + discount * self.next_value - self.value
        carry = discount * _per_step(self.gae_lambda, self.log_prob)
        if self.ended is not None:
            carry = carry * ~self.ended
        return _recur(error, carry, backward=True)

    def trace(self, x: Tensor, decay: float = 1.0) -> Tensor:
        """y_t = decay · y_{t−1} + x_t, restarted at each new episode."""
        if self.ended is None:
            return x.cumsum(-1) if decay == 1 else _recur(x, torch.as_tensor(decay, dtype=x.dtype, device=x.device))
        going_on = torch.nn.functional.pad(~self.ended[..., :-1], (1, 0), value=True)
        return _recur(x, decay * going_on.to(x.dtype))

    @property
    def _time(self) -> Tensor:
        return torch.arange(self.log_prob.shape[-1], dtype=self.log_prob.dtype, device=self.log_prob.device)


def _per_step(value: Tensor | float, like: Tensor) -> Tensor:
    """A float or a batch `(...)` as something that broadcasts against `(..., n, T)`."""
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return tensor[..., None, None] if tensor.ndim else tensor


def _recur(x: Tensor, decay: Tensor, *, backward: bool = False) -> Tensor:
    """y_t = decay_t · y_{t−1} + x_t along the last dimension, from y = 0; `backward` starts at the last t."""
    length = x.shape[-1]
    parts, decays = x.unbind(-1), decay.expand(*decay.shape[:-1], length).unbind(-1)
    order = range(length - 1, -1, -1) if backward else range(length)
    steps = [parts[order[0]]]
    for t in order[1:]:
        steps.append(decays[t] * steps[-1] + parts[t])
    return stack(steps[::-1] if backward else steps, -1)
