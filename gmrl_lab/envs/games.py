"""A matrix game against an opponent that does not learn, seen through Gymnasium's interface."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_choice
from gmrl_lab.envs.tabular import TabularEnv
from gmrl_lab.games import GAMES, MatrixGame, strategy


class MatrixGameEnv(TabularEnv):
    """A Gymnasium environment in which one player meets a fixed opponent: action 0 is COOPERATE, 1 is DEFECT.

    Observations are what both just played, own action first: 0 at the start, then 1 to 4 for CC, CD, DC, DD. Rewards
    are the payoffs of the moves that were made, undiscounted. A game ends at a time limit alone.

    Args:
        game: one game, no batch.
        opponent: its logits of COOPERATE, `(5,)`, its own action first.
        player: 1 or 2, who acts.

    Raises:
        ValueError: for a batch of games, an unknown player, or an opponent that does not fit the game.

    Taught in lesson 11.
    """

    def __init__(self, game: MatrixGame, opponent: Tensor, player: int = 1) -> None:
        if game.batch_shape:
            raise bad("game", f"a batch {tuple(game.batch_shape)}", "a single game, without batch dimensions")
        super().__init__(game.against(opponent, player))
        self._payoff = game.mdps[player - 1].rewards[0].detach().cpu().numpy()

    @property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """As for `TabularEnv`, with the payoff of each outcome."""
        rows = super().P
        return {
            s: {a: [(p, q, float(self._payoff[q - 1]), e) for p, q, _, e in rows[s][a]] for a in rows[s]} for s in rows
        }

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """What both played, the player's payoff, no end, no truncation, and no information."""
        state, _, ended, cut, info = super().step(action)
        return state, float(self._payoff[state - 1]), ended, cut, info


def matrix_game_env(
    game: str = "ipd", opponent: str = "tit for tat", discount: float = 0.96, player: int = 1
) -> MatrixGameEnv:
    """A game of `GAMES` against a strategy of `STRATEGIES` (or five letters, "CCDCD").

    Raises:
        ValueError: for an unknown game, opponent or player.

    Taught in lesson 11.
    """
    check_choice("game", game, tuple(GAMES))
    return MatrixGameEnv(GAMES[game](discount, torch.float64), strategy(opponent), player)
