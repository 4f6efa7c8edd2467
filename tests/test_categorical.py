"""Categorical draws: each outcome has exactly its probability, and an impossible one never comes."""

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.categorical import Alias, InverseCDF, cumulative


def alias_probabilities(table: Alias, n_rows: int, n: int) -> torch.Tensor:
    """The law of an alias table, read off its slots: each is drawn with probability 1/width."""
    own, other = table.outcome.view(n_rows, table.width, 2).unbind(-1)
    below = table.threshold.view(n_rows, table.width)
    law = torch.zeros(n_rows, n, dtype=torch.float64)
    return law.scatter_add_(-1, own.long(), below / table.width).scatter_add_(
        -1, other.long(), (1 - below) / table.width
    )


@pytest.mark.parametrize("concentration", [0.001, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("n_states", [1, 2, 7, 20])
def test_alias_tables_hold_the_probabilities(concentration: float, n_states: int) -> None:
    P = gl.random_mdp(n_states, 3, concentration=concentration, seed=[0, 1]).transitions
    table = Alias.of(P)
    law = alias_probabilities(table, 2 * n_states * 3, n_states)
    torch.testing.assert_close(law, P.reshape(-1, n_states), rtol=1e-12, atol=1e-15)
    assert (table.threshold >= 0).all()
    assert (table.threshold <= 1).all()


def test_alias_keeps_only_possible_outcomes() -> None:
    rows = torch.tensor([[0.0, 0.25, 0.0, 0.75], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    table = Alias.of(rows)
    assert table.width == 2
    uniform = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    for row, allowed in enumerate(({1, 3}, {2})):
        drawn = table.draw(torch.full((1000,), row, dtype=torch.int32), *table.split(uniform))
        assert set(drawn.tolist()) == allowed


def test_deterministic_tables_have_width_one_and_need_no_luck() -> None:
    table = Alias.of(torch.eye(500, dtype=torch.float64).flip(0))
    assert table.width == 1
    uniform = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = table.draw(torch.arange(500, dtype=torch.int32), *table.split(uniform))
    assert torch.equal(drawn.long(), torch.arange(500).flip(0))


def test_inverse_cdf_is_the_inverse_of_the_cumulative_sums() -> None:
    rows = torch.rand(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows[:, 2] = 0
    rows = rows / rows.sum(-1, keepdim=True)
    table = InverseCDF.of(rows)
    uniform = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for row in range(50):
        drawn = table.draw(torch.full((200,), row * table.width, dtype=torch.int32), uniform)
        expected = torch.searchsorted(cumulative(rows[row]), uniform, right=True)
        assert torch.equal(drawn.long(), expected)
        assert 2 not in drawn


def test_inverse_cdf_is_monotone_in_the_probabilities() -> None:
    """A little more probability moves outcomes to neighbours only: what makes a slider smooth."""
    before = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    after = torch.tensor([[0.21, 0.3, 0.49]], dtype=torch.float64)
    uniform = torch.rand(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    row = torch.zeros(10_000, dtype=torch.int32)
    a, b = InverseCDF.of(before).draw(row, uniform), InverseCDF.of(after).draw(row, uniform)
    moved = a != b
    assert 0.01 < moved.double().mean() < 0.03
    assert ((a - b)[moved] == 1).all()
