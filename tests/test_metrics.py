"""Accuracy, variance and bias against NumPy, brute force and exact expectations."""

import itertools

import numpy as np
import pytest
import torch
from helpers import double, normal
from torch import Tensor

import gmrl_lab as gl

# --- bias ----------------------------------------------------------------------------------------------------------


def expectation(f: object, outcomes: Tensor, probabilities: Tensor, n_trials: int) -> float:
    """E f(sample) over all samples of `n_trials` independent draws."""
    total = 0.0
    for drawn in itertools.product(range(len(outcomes)), repeat=n_trials):
        total += probabilities[list(drawn)].prod().item() * f(outcomes[list(drawn)])  # type: ignore[operator]
    return total


@pytest.mark.parametrize("n_trials", [2, 3, 5])
def test_bias_and_variance_are_unbiased(n_trials: int) -> None:
    """Exact expectations over every sample of a discrete distribution; the naive ‖ḡ − g‖² is far off."""
    outcomes, probabilities = double([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.5]]), double([0.5, 0.2, 0.3])
    target = double([0.25, 0.25])
    mean = probabilities @ outcomes
    squared_bias = (mean - target).square().sum().item()
    trace = (probabilities @ (outcomes - mean).square()).sum().item()

    def expected(f: object) -> float:
        return expectation(f, outcomes, probabilities, n_trials)

    assert expected(lambda x: gl.bias(x, target).squared_norm.item()) == pytest.approx(squared_bias, rel=1e-12)
    assert expected(lambda x: gl.covariance_trace(x).item()) == pytest.approx(trace, rel=1e-12)
    assert expected(lambda x: gl.mse_split(x, target).bias_squared.item()) == pytest.approx(squared_bias, rel=1e-12)
    assert expected(lambda x: gl.mse_split(x, target).mse.item()) == pytest.approx(squared_bias + trace, rel=1e-12)
    naive = expected(lambda x: (x.mean(0) - target).square().sum().item())
    assert naive == pytest.approx(squared_bias + trace / n_trials, rel=1e-12)


@pytest.mark.parametrize("n_trials", [3, 4, 9])
def test_standard_error_is_the_jackknife(n_trials: int) -> None:
    estimates, exact = normal(n_trials, 3, 2), normal(3, 2, seed=1)
    found = gl.bias(estimates, exact)

    def pairs(errors: np.ndarray) -> float:
        m = len(errors)
        return sum(errors[i] @ errors[j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))

    errors = (estimates - exact).flatten(1).numpy()
    left_out = np.array([pairs(np.delete(errors, i, 0)) for i in range(n_trials)])
    jackknife = np.sqrt((n_trials - 1) / n_trials * ((left_out - left_out.mean()) ** 2).sum())
    assert found.squared_norm.item() == pytest.approx(pairs(errors), rel=1e-12)
    assert found.standard_error.item() == pytest.approx(jackknife, rel=1e-10)


def test_standard_error_is_honest() -> None:
    """2,000 data sets of 40 trials: the jackknife variance agrees with the spread of the estimates within 15 %."""
    estimates = 0.5 + normal(40, 2000, 3)
    found = gl.bias(estimates, torch.zeros(3, dtype=torch.float64), event_dims=1)
    assert found.standard_error.square().mean().item() == pytest.approx(found.squared_norm.var().item(), rel=0.15)


def test_two_trials_have_a_bias_but_no_standard_error() -> None:
    found = gl.bias(double([[1.0, 0.0], [3.0, 4.0]]), double([0.0, 1.0]))
    assert found.squared_norm.item() == 1 * 3 + (-1) * 3
    assert torch.isnan(found.standard_error)
    assert not found.resolved


def test_resolved_means_two_standard_errors() -> None:
    noise = normal(50, 4)
    assert gl.bias(noise + 1, torch.zeros(4, dtype=torch.float64)).resolved
    assert not gl.bias(noise - noise.mean(0), torch.zeros(4, dtype=torch.float64)).resolved
    for squared_norm, wanted in ((1.99, False), (2.01, True)):
        found = type(gl.bias(noise, noise[0]))(double(squared_norm), double(1.0))
        assert bool(found.resolved) == wanted


def test_identical_trials_have_no_variance() -> None:
    found = gl.bias(double([[3.0, 4.0]]).expand(5, 2), torch.zeros(2, dtype=torch.float64))
    assert found.squared_norm.item() == pytest.approx(25.0)
    assert found.standard_error.item() == pytest.approx(0.0, abs=1e-12)


# --- variance ------------------------------------------------------------------------------------------------------


def test_variances_agree_with_numpy() -> None:
    estimates = normal(7, 3, 2)
    flat = estimates.flatten(1).numpy()
    assert gl.covariance_trace(estimates).item() == pytest.approx(np.trace(np.cov(flat.T)), rel=1e-12)
    assert gl.sum_of_std(estimates).item() == pytest.approx(flat.std(0, ddof=1).sum(), rel=1e-12)


def test_mse_splits_exactly() -> None:
    estimates, exact = normal(7, 3, 2), normal(3, 2, seed=1)
    split = gl.mse_split(estimates, exact)
    assert split.bias_squared + split.variance == split.mse
    assert split.mse.item() == pytest.approx((estimates - exact).square().sum((1, 2)).mean().item(), rel=1e-12)
    assert split.variance.item() == pytest.approx(gl.covariance_trace(estimates).item(), rel=1e-12)
    debiased = split.mse - split.variance
    assert split.bias_squared.item() == pytest.approx(debiased.item(), rel=1e-12)
    assert split.bias_squared.item() == pytest.approx(gl.bias(estimates, exact).squared_norm.item(), rel=1e-10)


# --- accuracy ------------------------------------------------------------------------------------------------------


def test_accuracy_agrees_with_numpy() -> None:
    estimates, exact = normal(6, 3, 2), normal(3, 2, seed=1)
    pearson, cosine = gl.accuracy(estimates, exact), gl.accuracy(estimates, exact, kind="cosine")
    assert pearson.shape == cosine.shape == (6,)
    y = exact.flatten().numpy()
    for x, p, c in zip(estimates.flatten(1).numpy(), pearson.tolist(), cosine.tolist(), strict=True):
        assert p == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-12)
        assert c == pytest.approx(x @ y / np.sqrt(x @ x * (y @ y)), rel=1e-12)


def test_accuracy_ignores_length_and_pearson_ignores_a_shift() -> None:
    x, y = normal(5), normal(5, seed=1)
    for kind in ("pearson", "cosine"):
        assert gl.accuracy(x, x, kind).item() == pytest.approx(1.0)
        assert gl.accuracy(-3 * x, x, kind).item() == pytest.approx(-1.0)
        assert gl.accuracy(1e6 * x, y, kind).item() == pytest.approx(gl.accuracy(x, y, kind).item())
    assert gl.accuracy(x + 2, y).item() == pytest.approx(gl.accuracy(x, y).item())
    assert gl.accuracy(x + 2, y, "cosine").item() != pytest.approx(gl.accuracy(x, y, "cosine").item(), abs=1e-3)


@pytest.mark.parametrize("size", [1, 3, 100, 5000])
def test_accuracy_is_nan_where_undefined(size: int) -> None:
    x, zero = normal(size), torch.zeros(size, dtype=torch.float64)
    for kind in ("pearson", "cosine"):
        assert torch.isnan(gl.accuracy(zero, x, kind))
        assert torch.isnan(gl.accuracy(x, zero, kind))
    for constant in (0.1, 1 / 3, -1e9):
        assert torch.isnan(gl.accuracy(zero + constant, x))
        assert torch.isnan(gl.accuracy(x, zero + constant))
        assert gl.accuracy(zero + constant, zero + 1, "cosine").item() == pytest.approx(np.sign(constant))


def test_accuracy_of_vectors_that_barely_vary_is_defined() -> None:
    x = 1 + 1e-10 * normal(10)
    assert gl.accuracy(x, x).item() == pytest.approx(1.0)


# --- batches and types ---------------------------------------------------------------------------------------------


def test_a_batch_equals_each_alone() -> None:
    estimates, exact = normal(6, 4, 3, 2), normal(4, 3, 2, seed=1)
    bias, split = gl.bias(estimates, exact, event_dims=2), gl.mse_split(estimates, exact, event_dims=2)
    accuracy = gl.accuracy(estimates, exact, event_dims=2)
    trace, stds = gl.covariance_trace(estimates, event_dims=2), gl.sum_of_std(estimates, event_dims=2)
    assert accuracy.shape == (6, 4)
    assert trace.shape == stds.shape == bias.squared_norm.shape == split.mse.shape == (4,)
    for i in range(4):
        alone = gl.bias(estimates[:, i], exact[i])
        assert bias.squared_norm[i].item() == pytest.approx(alone.squared_norm.item(), rel=1e-12)
        assert bias.standard_error[i].item() == pytest.approx(alone.standard_error.item(), rel=1e-10)
        assert torch.allclose(accuracy[:, i], gl.accuracy(estimates[:, i], exact[i]), rtol=1e-12)
        assert trace[i].item() == pytest.approx(gl.covariance_trace(estimates[:, i]).item(), rel=1e-12)
        assert stds[i].item() == pytest.approx(gl.sum_of_std(estimates[:, i]).item(), rel=1e-12)
        assert split.variance[i].item() == pytest.approx(trace[i].item(), rel=1e-12)


def test_numbers_may_be_the_vector() -> None:
    estimates = normal(6, 4)
    found = gl.covariance_trace(estimates, event_dims=0)
    assert torch.allclose(found, estimates.var(0))
    assert gl.bias(estimates[:, 0], double(0.0)).squared_norm.shape == ()


def test_single_precision_stays_single_and_close() -> None:
    estimates, exact = normal(8, 3, 2), normal(3, 2, seed=1)
    wide, narrow = ((estimates.to(d), exact.to(d)) for d in (torch.float64, torch.float32))
    for f in (gl.bias, gl.mse_split):
        for a, b in zip(f(*wide), f(*narrow), strict=True):
            assert b.dtype == torch.float32
            assert b.item() == pytest.approx(a.item(), rel=1e-4)
    assert torch.allclose(gl.accuracy(*narrow).double(), gl.accuracy(*wide), atol=1e-5)
    constant = torch.full((300,), 0.1)
    assert torch.isnan(gl.accuracy(constant, torch.arange(300.0)))
