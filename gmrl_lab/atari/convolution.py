"""A convolution whose second derivatives cost no more than they must.

    ⟨w ∗ x, y⟩ is linear in the input x, in the weight w and in y, which has the shape of the output.

Its gradient in y is the convolution itself; in x, and in w, it is what backpropagation computes. Each of these three is
bilinear, and its own derivatives are the other two: the three classes below, to every order. PyTorch's own second
derivative also computes the gradient of frames that need none, and gradients of weights in a slow layout.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Gradients = tuple[Tensor | None, ...]


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """w ∗ x without padding or bias, differentiable any number of times.

    Args:
        x: `(rows, channels, height, width)`.
        weight: `(outputs, channels, kernel, kernel)`.
        stride: in both directions.

    Returns:
        `(rows, outputs, height', width')`.

    Taught in lesson 13.
    """
    return _output(x, weight, stride)


class _Output(Function):
    """The gradient in y, of x and w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return torch.conv2d(x, weight, stride=stride)

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        by_x = _input(y, weight, x.shape, ctx.stride) if ctx.needs_input_grad[0] else None
        by_weight = _weight(x, y, weight.shape, ctx.stride) if ctx.needs_input_grad[1] else None
        return by_x, by_weight, None


class _Input(Function):
    """The gradient in x, of y and w."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, shape: torch.Size, stride: int) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.stride = stride
        return _adjoint(y, y.new_empty(1).expand(shape), weight, stride, of_input=True)

    @staticmethod
    def backward(ctx: Any, x: Tensor) -> Gradients:
        y, weight = ctx.saved_tensors
        by_y = _output(x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        by_weight = _weight(x, y, weight.shape, ctx.stride) if ctx.needs_input_grad[1] else None
        return by_y, by_weight, None, None


class _Weight(Function):
    """The gradient in w, of x and y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, shape: torch.Size, stride: int) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.stride = stride
        return _adjoint(y, x, y.new_empty(1).expand(shape), stride, of_input=False)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Gradients:
        x, y = ctx.saved_tensors
        by_x = _input(y, weight, x.shape, ctx.stride) if ctx.needs_input_grad[0] else None
        by_y = _output(x, weight, ctx.stride) if ctx.needs_input_grad[1] else None
        return by_x, by_y, None, None


def _adjoint(y: Tensor, x: Tensor, weight: Tensor, stride: int, of_input: bool) -> Tensor:
    """One of the two gradients of a convolution; only the shape of the tensor that it belongs to matters."""
    pair, none = [stride, stride], [0, 0]
    y = y.contiguous(memory_format=torch.channels_last)
    found = torch.ops.aten.convolution_backward(
        y, x, weight, None, pair, none, [1, 1], False, none, 1, [of_input, not of_input, False]
    )
    result: Tensor = found[0 if of_input else 1]
    return result


_output: Callable[..., Tensor] = _Output.apply
_input: Callable[..., Tensor] = _Input.apply
_weight: Callable[..., Tensor] = _Weight.apply
