"""The drawing of a small MDP: what it says, and what it refuses."""

import pytest
import torch

import gmrl_lab as gl
from gmrl_lab.explorers.first_order import beehive
from gmrl_lab.mdp_figure import RADIUS, draw_mdp

NAMES = {"state_names": ["bare", "full"], "action_names": ["wait", "take"]}


def texts(figure: object) -> list[str]:
    return [note.text for note in figure.layout.annotations if note.text]  # type: ignore[attr-defined]


def test_every_state_and_way_is_labelled() -> None:
    policy = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)
    figure, sentence = draw_mdp(beehive(), policy, **NAMES)
    labels = texts(figure)
    assert "<b>bare</b><br><i>start</i>" in labels
    assert "<b>full</b>" in labels
    assert "<b>take</b> 0.75<br>reward 0" in labels
    assert "<b>take</b> 0.5<br>reward 6" in labels
    assert "in full, take (probability 0.5) pays 6 and leads to bare" in sentence
    assert len(figure.data) == 4


def test_width_follows_the_policy() -> None:
    rare, common = (draw_mdp(beehive(), torch.tensor([[p, 1 - p], [0.5, 0.5]]).double())[0] for p in (0.1, 0.9))
    assert rare.data[0].line.width < common.data[0].line.width


def test_arrows_end_at_the_rim() -> None:
    figure, _ = draw_mdp(beehive())
    centres = [(shape.x0 + RADIUS, shape.y0 + RADIUS) for shape in figure.layout.shapes]
    for trace in figure.data:
        ends = [(trace.x[0], trace.y[0]), (trace.x[-1], trace.y[-1])]
        for x, y in ends:
            gap = min(((x - cx) ** 2 + (y - cy) ** 2) ** 0.5 - RADIUS for cx, cy in centres)
            assert 0 < gap < 0.25


def test_chance_is_written_where_there_is_some() -> None:
    chance = [[[0.3, 0.7]], [[1.0, 0.0]]]
    figure, sentence = draw_mdp(gl.TabularMDP(chance, [[1.0], [0.0]], 0.9))
    assert "<b>action 0</b><br>leads here 0.7<br>reward 1" in texts(figure)
    assert "leads to state 1 with probability 0.7" in sentence


@pytest.mark.parametrize("n_states", [3, 4])
def test_three_and_four_states(n_states: int) -> None:
    cycle = torch.eye(n_states, dtype=torch.float64).roll(-1, 0).unsqueeze(1)
    figure, _ = draw_mdp(gl.TabularMDP(cycle, torch.ones(n_states, 1, dtype=torch.float64), 0.5))
    assert len(figure.layout.shapes) == n_states


@pytest.mark.parametrize(
    ("mdp", "names", "message"),
    [
        (gl.random_mdp(5, 1), {}, "mdp"),
        (gl.random_mdp(4, 4, concentration=1.0), {}, "at most 8 ways"),
        (gl.random_mdp(2, 1, seed=[0, 1]), {}, "one MDP"),
        (beehive(), {"state_names": ["bare"]}, "state_names.*2 names"),
        (beehive(), {"policy": torch.ones(3, 2).double()}, "policy"),
    ],
)
def test_refuses(mdp: gl.TabularMDP, names: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_mdp(mdp, **names)  # type: ignore[arg-type]
