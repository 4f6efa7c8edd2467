"""Two-player matrix games that are played again and again, as tabular MDPs with joint actions.

Each player's policy remembers one round: five logits of COOPERATE, for the start and for what was just played, own
action first: (start, CC, CD, DC, DD). Seen by either player a game is an MDP with five states and four joint actions
whose policy is the joint one, so that nothing has to be solved or sampled in a way of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._validate import bad, check_finite, check_like, check_trailing
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.problem import Problem

START, CC, CD, DC, DD = range(5)
"""States of a player: what both just played, own action first. CC … DD less one are the joint actions."""
AS_THE_OTHER_SEES = (START, CC, DC, CD, DD)
"""The same states for the other player, whose own action comes first as well: CD and DC change places."""


@dataclass(frozen=True, eq=False, init=False)
class MatrixGame:
    """A 2 x 2 game repeated for ever, with memory-one policies.

    Args:
        payoff_1: of player 1, `(..., 2, 2)`: rows are its own action (COOPERATE, DEFECT), columns the other's.
        payoff_2: of player 2, in the same order: rows are player 1's action.
        discount: γ in [0, 1), a float or `(...)`.

    Raises:
        ValueError: if a payoff is no finite table of two by two, or the discount is out of range.

    Taught in lessons 03 and 11.
    """

    mdps: tuple[TabularMDP, TabularMDP]
    """The game as each player sees it: states (start, CC, CD, DC, DD) and joint actions (CC, CD, DC, DD), own first."""

    def __init__(self, payoff_1: Tensor, payoff_2: Tensor, discount: float | Tensor = 0.96) -> None:
        for name, payoff in (("payoff_1", payoff_1), ("payoff_2", payoff_2)):
            check_trailing(name, payoff, (2, 2))
            check_finite(name, payoff)
        check_like("payoff_2", payoff_2, "payoff_1", payoff_1)
        own = (payoff_1, payoff_2.transpose(-1, -2))
        self.__dict__["mdps"] = tuple(_as_mdp(payoff, discount) for payoff in own)

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions of payoffs and discount."""
        return self.mdps[0].batch_shape

    def problems(self, theta_1: Tensor, theta_2: Tensor) -> tuple[Problem, Problem]:
        """The game as each player's `Problem`: its MDP, with the joint policy of both as logits.

        Args:
            theta_1, theta_2: logits of COOPERATE, `(..., 5)`, each player's own action first.

        Raises:
            ValueError: if either is not finite, or has another shape, dtype or device than the game.

        Taught in lesson 03.
        """
        return self.problem(theta_1, theta_2, 1), self.problem(theta_1, theta_2, 2)

    def problem(self, theta_1: Tensor, theta_2: Tensor, player: int) -> Problem:
        """That of player 1 or 2 alone, in half the time; arguments and errors as for `problems`.

        Taught in lesson 03.
        """
        for name, theta in (("theta_1", theta_1), ("theta_2", theta_2)):
            _check_policy(name, theta, self)
        own, other = (theta_1, theta_2) if player == 1 else (theta_2, theta_1)
        return Problem(self.mdps[player - 1], _joint(own, other))

    def value(self, theta_1: Tensor, theta_2: Tensor) -> tuple[Tensor, Tensor]:
        """Expected discounted sums of both players' payoffs, each `(...)`; arguments and errors as for `problems`.

            V^i = E Σ_t γᵗ r^i_t

        Two that always defect in the prisoner's dilemma get −2/(1 − γ) each.

        Taught in lesson 03.
        """
        first, second = self.problems(theta_1, theta_2)
        return exact.objective(first.mdp, first.logits), exact.objective(second.mdp, second.logits)

    def against(self, opponent: Tensor, player: int = 1) -> TabularMDP:
        """The MDP that a player acts in while the other one does not learn: five states, COOPERATE and DEFECT.

            P((a, b) | s, a) = π_opponent(b | s),   R(s, a) = Σ_b π_opponent(b | s) r(a, b)

        Args:
            opponent: its logits of COOPERATE, `(..., 5)`, its own action first.
            player: 1 or 2, who acts.

        Raises:
            ValueError: if `player` is neither, or `opponent` does not fit the game.

        Taught in lesson 11.
        """
        if player not in (1, 2):
            raise bad("player", repr(player), "1 or 2")
        _check_policy("opponent", opponent, self)
        own = self.mdps[player - 1]
        seen = opponent[..., AS_THE_OTHER_SEES]
        chance = torch.stack([seen.sigmoid(), (-seen).sigmoid()], -1)  # (..., s, b)
        to_state = own.transitions[..., START, :, :].unflatten(-2, (2, 2))  # (..., a, b, s')
        transitions = torch.einsum("...sb,...abq->...saq", chance, to_state)
        rewards = (chance.unsqueeze(-2) * own.rewards.unflatten(-1, (2, 2))).sum(-1)
        return TabularMDP(transitions, rewards, own.discount, START)


def IPD(discount: float | Tensor = 0.96, dtype: torch.dtype = torch.float64) -> MatrixGame:
    """The iterated prisoner's dilemma: CC −1/−1, CD −3/0, DC 0/−3, DD −2/−2 (the paper's Table 3).

    Args:
        discount: γ.
        dtype: of the payoffs, and so of everything that follows.

    Raises:
        ValueError: if γ is outside [0, 1).

    Taught in lessons 03 and 11.
    """
    return _symmetric([[-1.0, -3.0], [0.0, -2.0]], discount, dtype)


def StagHunt(discount: float | Tensor = 0.96, dtype: torch.dtype = torch.float64) -> MatrixGame:
    """The iterated stag hunt: CC 4/4, CD 0/3, DC 3/0, DD 3/3.

    COOPERATE is to hunt the stag, worth 4 to each but nothing to one alone; a hare is a sure 3. Both pairs are
    equilibria of one round (Rousseau 1755; in this form Skyrms 2004, The Stag Hunt and the Evolution of Social
    Structure). Arguments and errors as for `IPD`.

    Taught in lesson 11.
    """
    return _symmetric([[4.0, 0.0], [3.0, 3.0]], discount, dtype)


def Chicken(discount: float | Tensor = 0.96, dtype: torch.dtype = torch.float64) -> MatrixGame:
    """Iterated chicken: CC 1/1, CD 0/2, DC 2/0, DD −1/−1.

    COOPERATE is to give way. The payoffs are V/2, 0, V and (V − C)/2 of hawks and doves (Maynard Smith and Price 1973;
    in this form Maynard Smith 1982, Evolution and the Theory of Games), with a prize V = 2 and an injury C = 4.
    Arguments and errors as for `IPD`.

    Taught in lesson 11.
    """
    return _symmetric([[1.0, 0.0], [2.0, -1.0]], discount, dtype)


def MatchingPennies(discount: float | Tensor = 0.96, dtype: torch.dtype = torch.float64) -> MatrixGame:
    """Iterated matching pennies: player 1 wins 1 from player 2 if both show the same side, and pays 1 if not.

    COOPERATE is heads. What one wins the other loses, and the only equilibrium is to throw a coin (payoffs as in
    Foerster et al. 2018, who play it beside the prisoner's dilemma). Arguments and errors as for `IPD`.

    Taught in lesson 11.
    """
    payoff = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=dtype)
    return MatrixGame(payoff, -payoff, discount)


GAMES: dict[str, Callable[[float | Tensor, torch.dtype], MatrixGame]] = {
    "ipd": IPD,
    "stag hunt": StagHunt,
    "chicken": Chicken,
    "matching pennies": MatchingPennies,
}
"""The games by name: each a function of the discount and the dtype."""


STRATEGIES = {
    "always cooperate": "CCCCC",
    "always defect": "DDDDD",
    "tit for tat": "CCDCD",
    "grim trigger": "CCDDD",
    "win-stay, lose-shift": "CCDDC",
}
"""Famous memory-one strategies: what they play at the start and after CC, CD, DC, DD, own action first."""


def strategy(moves: str, logit: float = 40.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A sure strategy as logits of COOPERATE, `(5,)`: `strategy("tit for tat")`, or its moves, `strategy("CCDCD")`.

    Args:
        moves: a name in `STRATEGIES`, or five letters C or D for (start, CC, CD, DC, DD).
        logit: size of each logit; at 40 the other move has probability 4e-18.
        dtype: of the logits.

    Raises:
        ValueError: if `moves` is neither.

    Taught in lesson 11.
    """
    letters = STRATEGIES.get(moves, moves)
    if len(letters) != 5 or set(letters) - set("CD"):
        raise bad("moves", repr(moves), f"five letters C or D, or one of {', '.join(map(repr, STRATEGIES))}")
    return torch.tensor([logit if letter == "C" else -logit for letter in letters], dtype=dtype)


def _check_policy(name: str, theta: Tensor, game: MatrixGame) -> None:
    """Raise unless these are five finite logits of the game's dtype and device."""
    check_trailing(name, theta, (5,))
    check_like(name, theta, "the game", game.mdps[0].transitions)
    check_finite(name, theta)


def _symmetric(payoff: list[list[float]], discount: float | Tensor, dtype: torch.dtype) -> MatrixGame:
    """The game that looks alike to both; rows are a player's own action."""
    own = torch.tensor(payoff, dtype=dtype)
    return MatrixGame(own, own.mT, discount)


def _as_mdp(payoff: Tensor, discount: float | Tensor) -> TabularMDP:
    """States (start, CC, CD, DC, DD); joint action a leads to state a + 1 and pays the same wherever it is played."""
    to_state = torch.eye(5, dtype=payoff.dtype, device=payoff.device)[1:]
    rewards = payoff.flatten(-2).unsqueeze(-2).expand(*payoff.shape[:-2], 5, 4)
    return TabularMDP(to_state.expand(5, 4, 5), rewards, discount, START)


def _joint(own: Tensor, other: Tensor) -> Tensor:
    """log π(own) + log π(other) of the joint actions in each state, `(..., 5, 4)`, as the owner sees them."""
    seen = other[..., AS_THE_OTHER_SEES]
    mine, theirs = (torch.stack([x, -x], -1).mul(0.5).log_softmax(-1) for x in (own, seen))
    return (mine.unsqueeze(-1) + theirs.unsqueeze(-2)).flatten(-2)
