"""How good is an estimate: accuracy, variance, and bias that is not variance in disguise.

Estimates carry their M trials in the first dimension. By default everything behind it is one vector; for a batch of
MDPs say how many trailing dimensions form the vector, `event_dims=2` for tables (S, A).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_broadcast, check_choice, check_finite, check_like, check_trailing


class Bias(NamedTuple):
    """A debiased squared bias and its standard error, each `(...)`; the estimate may be negative by chance.

    Taught in lessons 02 and 04.
    """

    squared_norm: Tensor
    standard_error: Tensor

    @property
    def resolved(self) -> Tensor:
        """Whether the squared norm stands at least two standard errors above zero."""
        return self.squared_norm > 2 * self.standard_error


class MSESplit(NamedTuple):
    """Mean squared error = squared bias + variance, each `(...)`; they add up exactly.

    Taught in lesson 02.
    """

    bias_squared: Tensor
    variance: Tensor
    mse: Tensor


def accuracy(estimate: Tensor, exact: Tensor, kind: str = "pearson", event_dims: int | None = None) -> Tensor:
    """Agreement in direction of an estimate with the exact vector (Eq. 68 of the paper).

        Pearson  Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²),   cosine  x·y / √(x·x · y·y)

    Args:
        estimate: `(..., *vector)`.
        exact: `(..., *vector)`, broadcast against `estimate`.
        kind: "pearson" (what the paper's code computes) or "cosine".
        event_dims: trailing dimensions that form the vector; by default all of `exact`'s.

    Returns:
        `(...)`, in [−1, 1]; NaN where undefined: a zero vector, or a constant one for Pearson.

    Raises:
        ValueError: for an unknown kind, or shapes that do not fit.

    Taught in lesson 02.
    """
    check_choice("kind", kind, ("pearson", "cosine"))
    n_dims = exact.ndim if event_dims is None else event_dims
    x = _vectors("estimate", estimate, n_dims)
    y = _target(exact, estimate, n_dims, estimate.shape[: estimate.ndim - n_dims])
    return (_unit(x, centred=kind == "pearson") * _unit(y, centred=kind == "pearson")).sum(-1).clamp(-1.0, 1.0)


def bias(estimates: Tensor, exact: Tensor, event_dims: int | None = None) -> Bias:
    """Debiased squared norm of the bias, ‖E ĝ − g‖², with a jackknife standard error.

        ‖ḡ − g‖² − tr Σ̂ / M  =  Σ_{i≠j} (ĝ_i − g)·(ĝ_j − g) / (M (M − 1))

    The plain ‖ḡ − g‖² still carries the variance of the mean, tr Σ / M, which is most of it for few trials.

    Args:
        estimates: M trials, `(M, ..., *vector)`.
        exact: `(..., *vector)`.
        event_dims: trailing dimensions that form the vector; by default all but the first of `estimates`.

    Returns:
        `Bias` of shape `(...)`. The standard error is NaN for M = 2, where leaving one out leaves no pair.

    Raises:
        ValueError: for fewer than two trials, or shapes that do not fit.

    Taught in lessons 02 and 04.
    """
    errors = _errors(estimates, exact, event_dims)
    m = errors.shape[0]
    total, squares = errors.sum(0), errors.square().sum(-1)
    squared_norm = (total.square().sum(-1) - squares.sum(0)) / (m * (m - 1))
    if m == 2:
        return Bias(squared_norm, torch.full_like(squared_norm, torch.nan))
    without = ((total - errors).square().sum(-1) - (squares.sum(0) - squares)) / ((m - 1) * (m - 2))
    spread = (without - without.mean(0)).square().sum(0)
    return Bias(squared_norm, (spread * (m - 1) / m).sqrt())


def covariance_trace(estimates: Tensor, event_dims: int | None = None) -> Tensor:
    """tr Σ̂ of M trials (denominator M − 1), `(...)`: the variance part of the mean squared error.

    Raises:
        ValueError: for fewer than two trials.

    Taught in lesson 02.
    """
    return _trials(estimates, event_dims).var(0).sum(-1)


def sum_of_std(estimates: Tensor, event_dims: int | None = None) -> Tensor:
    """Σ over coordinates of the standard deviation (denominator M − 1), `(...)`: "variance" in the paper's code.

    Raises:
        ValueError: for fewer than two trials.

    Taught in lesson 02.
    """
    return _trials(estimates, event_dims).std(0).sum(-1)


def mse_split(estimates: Tensor, exact: Tensor, event_dims: int | None = None) -> MSESplit:
    """Squared bias (debiased), variance and mean squared error, which add up exactly; see `bias`.

    Taught in lesson 02.
    """
    errors = _errors(estimates, exact, event_dims)
    variance = errors.var(0).sum(-1)
    mse = errors.square().sum(-1).mean(0)
    return MSESplit(mse - variance, variance, mse)


def _errors(estimates: Tensor, exact: Tensor, event_dims: int | None) -> Tensor:
    trials = _trials(estimates, event_dims)
    n_dims = estimates.ndim - 1 if event_dims is None else event_dims
    if exact.ndim >= estimates.ndim:
        shape = tuple(estimates.shape[1:])
        raise bad("exact", f"shape {tuple(exact.shape)}", f"shape {shape}, as the estimates without their trials")
    return trials - _target(exact, estimates, n_dims, trials.shape[1:-1])


def _trials(estimates: Tensor, event_dims: int | None) -> Tensor:
    """`(M, ..., d)`."""
    if estimates.ndim < 1 or estimates.shape[0] < 2:
        raise bad("estimates", f"{estimates.shape[0] if estimates.ndim else 0} trials", "at least two trials")
    if event_dims is not None and event_dims >= estimates.ndim:
        raise bad("event_dims", event_dims, f"at most {estimates.ndim - 1}: the first dimension holds the trials")
    return _vectors("estimates", estimates, estimates.ndim - 1 if event_dims is None else event_dims)


def _vectors(name: str, value: Tensor, n_dims: int) -> Tensor:
    if not 0 <= n_dims <= value.ndim:
        raise bad("event_dims", n_dims, f"a whole number from 0 to {value.ndim}, the dimensions of {name}")
    check_finite(name, value)
    return value.flatten(-n_dims) if n_dims > 1 else value if n_dims else value.unsqueeze(-1)


def _unit(x: Tensor, *, centred: bool) -> Tensor:
    """Vectors of length one; NaN for those that are zero, or constant (up to rounding) where centred."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    x = x - x.mean(-1, keepdim=True) if centred else x
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    floor = 4 * torch.finfo(x.dtype).eps * size if centred else torch.zeros_like(size)
    return torch.where(length > floor, x / length, torch.nan)


def _target(exact: Tensor, estimate: Tensor, n_dims: int, batch: torch.Size) -> Tensor:
    """The exact vectors, once they are known to have the type, the shape and the batch of the estimates."""
    check_like("exact", exact, "the estimates", estimate)
    check_trailing("exact", exact, tuple(estimate.shape[estimate.ndim - n_dims :]))
    check_broadcast("exact", exact.shape[: exact.ndim - n_dims], "the estimates", batch)
    return _vectors("exact", exact, n_dims)
