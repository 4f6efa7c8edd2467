"""An LSTM that reads a trajectory from its end, with batched weights: the learned target of LPG (Oh et al. 2020)."""

import torch
from torch import Tensor

from gmrl_lab._tensors import split_last, stack
from gmrl_lab._validate import check_whole

N_INPUTS = 3
"""What the LSTM reads at each step: reward, π(a_t|s_t), discount."""


def n_weights(hidden: int) -> int:
    """Number of weights of an LSTM with `hidden` units, N_INPUTS inputs and one linear output."""
    check_whole("hidden", hidden, 1)
    return 4 * hidden * (N_INPUTS + hidden + 1) + hidden + 1


def targets(weights: Tensor, inputs: Tensor, hidden: int) -> Tensor:
    """The output at each step, which has read that step and all later ones.

        i, f, o = σ(·),  c_t = f ⊙ c_{t+1} + i ⊙ tanh(·),  h_t = o ⊙ tanh(c_t),  y_t = w·h_t + b

    where · is W x_t + U h_{t+1} + b for each gate (Hochreiter & Schmidhuber 1997).

    Args:
        weights: flat, `(..., n_weights(hidden))`.
        inputs: x, `(..., n, T, N_INPUTS)`.
        hidden: number of units.

    Returns:
        y, `(..., n, T)`, differentiable in both.

    Taught in lesson 03.
    """
    shapes = [(4 * hidden, N_INPUTS), (4 * hidden, hidden), (4 * hidden,), (hidden,), (1,)]
    parts = weights.split([torch.Size(shape).numel() for shape in shapes], -1)
    w, u, bias, read, shift = (split_last(part, shape) for part, shape in zip(parts, shapes, strict=True))
    seen = torch.einsum("...gd,...ntd->...ntg", w, inputs) + bias[..., None, None, :]
    state = memory = torch.zeros_like(seen[..., 0, :hidden])
    outputs = []
    for now in reversed(seen.unbind(-2)):
        gates = now + torch.einsum("...gh,...nh->...ng", u, state)
        keep_in, forget, out, new = gates.split(hidden, -1)
        memory = forget.sigmoid() * memory + keep_in.sigmoid() * new.tanh()
        state = out.sigmoid() * memory.tanh()
        outputs.append(torch.einsum("...h,...nh->...n", read, state) + shift)
    return stack(outputs[::-1], -1)
