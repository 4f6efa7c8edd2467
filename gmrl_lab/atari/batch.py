"""A window of experience: what acting for a few steps in many environments gives, and the learner sees."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_finite


@dataclass(frozen=True, eq=False)
class Batch:
    """T steps in each of N environments; there may be batch dimensions B between the two.

    Args:
        observations: s_0 … s_T, `(T + 1, *B, N, *shape)`, bytes or floats.
        actions: whole numbers (torch.int64), `(T, *B, N)`.
        rewards: as the environment gives them, `(T, *B, N)`; the learner clips.
        ended: whether the return ends after the step, `(T, *B, N)`: the game is over, a life is lost, or truncation.
        truncated: those of `ended` at which the environment stopped though the game would go on, `(T, *B, N)`.
        final_observations: the last observation of each truncated step, in the order of `truncated.nonzero()`,
            `(m, *shape)`; `observations` goes on with the next game there.

    Raises:
        ValueError: if shapes or types do not belong together, a truncated step has not ended, a reward is not finite,
            or steps are truncated in a batch with dimensions B.

    Taught in lesson 13.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    ended: Tensor
    truncated: Tensor
    final_observations: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.actions.shape)
        if len(shape) < 2 or self.actions.dtype != torch.long:
            raise bad("actions", f"{self.actions.dtype} of shape {shape}", "torch.int64 of shape (T, ..., N)")
        for name in ("rewards", "ended", "truncated"):
            if tuple(getattr(self, name).shape) != shape:
                raise bad(name, f"shape {tuple(getattr(self, name).shape)}", f"{shape}, as actions")
        for name in ("ended", "truncated"):
            if getattr(self, name).dtype != torch.bool:
                raise bad(name, getattr(self, name).dtype, "torch.bool")
        if tuple(self.observations.shape[: len(shape)]) != (shape[0] + 1, *shape[1:]):
            raise bad(
                "observations", f"shape {tuple(self.observations.shape)}", f"{(shape[0] + 1, *shape[1:])} + (...)"
            )
        check_finite("rewards", self.rewards)
        self._check_truncated()

    def _check_truncated(self) -> None:
        cut = int(self.truncated.sum())
        if bool((self.truncated & ~self.ended).any()):
            raise bad("truncated", "a step that has not ended", "steps of `ended` only")
        wanted = (cut, *self.observations.shape[self.actions.ndim :])
        if tuple(self.final_observations.shape) != wanted:
            raise bad("final_observations", f"shape {tuple(self.final_observations.shape)}", f"shape {wanted}")
        if cut and self.actions.ndim > 2:
            raise bad("truncated", f"{cut} steps in a batch of batches", "none, or a batch of shape (T, N)")

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.actions.shape[0])

    @property
    def size(self) -> int:
        """Environment steps in all."""
        return self.actions.numel()

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


Policy = Callable[[Tensor], Tensor]
"""From observations `(..., N, *shape)` to actions `(..., N)`."""

NextBatch = Callable[[Policy], Batch]
"""Acts with a policy for T steps, going on where it stopped, and returns what it saw.

The policy is called once for each step, in turn, on the observations that the batch then holds: the loss goes on from
what the policy has computed of them.
"""
