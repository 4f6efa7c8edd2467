"""Two players who learn a repeated game, each as the ego of its own LOLA task: naive, exact or from samples.

Both learn alike, so that they are one more batch dimension: element i of it is the game as player i sees it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._validate import bad, check_like, check_whole
from gmrl_lab.games import GAMES, START, MatrixGame
from gmrl_lab.learners.adam import Adam
from gmrl_lab.learners.parts import Parts
from gmrl_lab.learners.settings import DTYPES, LOLASettings
from gmrl_lab.meta import EXACT, adapted, meta_gradient, outer_gradient
from gmrl_lab.metrics import accuracy
from gmrl_lab.seeding import generators, normal
from gmrl_lab.tasks import LOLA


@dataclass(frozen=True, eq=False)
class Update:
    """What one meta-update did, for each seed and player.

    Args:
        number: 1 for the first.
        theta: logits of COOPERATE after the update, `(n_seeds, 2, 5)`, each player's own action first.
        score: exact score per step of these policies, (1 − γ) V, `(n_seeds, 2)`.
        pearson, cosine: agreement of the meta-gradient that was used with the exact one, `(n_seeds, 2)`; NaN where
            undefined.
        pearson_exact_outer, cosine_exact_outer: the same with J^Out made exact, after the same look-ahead.
        effective_sample_size: (Σw)²/Σw² over whole trajectories, `(n_seeds, 2, 3)`, for inner, hessian and outer: n
            on-policy, NaN for what is not sampled.

    Taught in lessons 11 and 12.
    """

    number: int
    theta: Tensor
    score: Tensor
    pearson: Tensor
    cosine: Tensor
    pearson_exact_outer: Tensor
    cosine_exact_outer: Tensor
    effective_sample_size: Tensor


def learn(settings: LOLASettings, seeds: Sequence[int], game: MatrixGame | None = None) -> Iterator[Update]:
    """Let two players learn, and say after each meta-update where they are.

        φ_i ← φ_i + Adam(∇_{φ_i} V^i(φ_i, θ^K)),   θᵏ⁺¹ = θᵏ + α ∇_θ V^j(φ_i, θᵏ),   θ⁰ = φ_j

    for i = 1, 2 at once, each with trajectories of its own. The naive player leaves θ at θ⁰. This is the meta-gradient
    of the `LOLA` task (the paper's Table 1 and Section 5.2), with the game as either player sees it.

    Args:
        settings: the paper's Table 3, by default.
        seeds: of the runs, all in one batch; a seed alone gives the same run.
        game: one of your own, in place of the settings' game and discount.

    Returns:
        An iterator with one `Update` for each meta-update, as soon as it is made; `close()` ends the run.

    Raises:
        ValueError: for no seeds, a negative one, a game that is no `MatrixGame` or a batch of them, or one of another
            dtype than the settings'.

    Taught in lessons 11 and 12.
    """
    if not seeds:
        raise bad("seeds", list(seeds), "at least one whole number")
    for seed in seeds:
        check_whole("seeds", seed, 0)
    named = GAMES[settings.game](settings.discount, DTYPES[settings.dtype])
    if game is not None:
        if not isinstance(game, MatrixGame):
            raise bad("game", repr(game), "a gl.MatrixGame, or None for the settings' own")
        check_like("game", game.mdps[0].rewards, "settings.dtype", named.mdps[0].rewards)
        if game.batch_shape:
            raise bad("game", f"a batch {tuple(game.batch_shape)}", "a single game, without batch dimensions")
    return _updates(_Run(settings, seeds, game or named))


def history(updates: Sequence[Update]) -> dict[str, Tensor]:
    """Every field of `Update` over a run: `number` as `(n_updates,)`, the others with n_updates in front.

    Raises:
        ValueError: for no updates.

    Taught in lesson 11.
    """
    if not updates:
        raise bad("updates", list(updates), "at least one update")
    fields = {name: [getattr(update, name) for update in updates] for name in Update.__dataclass_fields__}
    return {"number": torch.tensor(fields.pop("number"))} | {name: torch.stack(parts) for name, parts in fields.items()}


def from_both_sides(game: MatrixGame) -> MatrixGame:
    """A batch of two: the game as player 1 sees it, and as player 2 does, with itself as the first player.

    Taught in lesson 11.
    """
    first, second = (mdp.rewards[..., START, :].unflatten(-1, (2, 2)) for mdp in game.mdps)
    own, other = torch.stack([first, second], -3), torch.stack([second, first], -3)
    return MatrixGame(own, other.mT, game.mdps[0].discount)


def _updates(run: "_Run") -> Iterator[Update]:
    for number in range(1, run.settings.n_updates + 1):
        yield run.update(number)


class _Run:
    """The players, and what each update leaves to the next."""

    def __init__(self, settings: LOLASettings, seeds: Sequence[int], game: MatrixGame) -> None:
        self.settings = settings
        dtype = DTYPES[settings.dtype]
        self.game = from_both_sides(game)
        parents = [generators(seed, 1)[0] for seed in seeds]
        self.theta = settings.initial_sd * normal((len(seeds), 2, 5), parents, torch.zeros((), dtype=dtype))
        self.adam = Adam(self.theta, settings.outer_lr)
        self.parts = Parts(settings, game, self.theta, parents)

    def update(self, number: int) -> Update:
        """One meta-update of both players."""
        used, exact_outer, target, sizes = self._meta_gradients()
        self.theta = theta = self.theta - self.adam.step(used)
        ends = self.game.problem(theta, theta.flip(-2), 1)
        return Update(
            number=number,
            theta=theta,
            score=(1 - ends.mdp.discount) * exact.objective(ends.mdp, ends.logits),
            pearson=accuracy(used, target, event_dims=1),
            cosine=accuracy(used, target, "cosine", event_dims=1),
            pearson_exact_outer=accuracy(exact_outer, target, event_dims=1),
            cosine_exact_outer=accuracy(exact_outer, target, "cosine", event_dims=1),
            effective_sample_size=sizes,
        )

    def _meta_gradients(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The one to use, the same with an exact outer gradient, the exact one, and the effective sample sizes."""
        task, own, parts = LOLA(self.game, self.theta.flip(-2)), self.settings, self.parts
        steps = (own.n_inner_steps if own.learner == "lola" else 0, own.inner_lr)
        target = meta_gradient(task, self.theta, *steps)
        if not parts.are_sampled:
            return target, target, target, parts.sizes()
        inner, hessian = parts.look_ahead(self.theta, task.inner(self.theta, task.initial_theta))
        leaf = self.theta.clone().requires_grad_()
        theta_k = adapted(task, leaf, *steps, inner, hessian, parts.streams, own.share_samples)
        problem = task.outer(leaf, theta_k)
        exact_outer = outer_gradient(EXACT.surrogate(problem), leaf, retain_graph=True)
        outer = parts.outer(self.theta, problem)
        used = exact_outer if own.outer == "exact" else outer_gradient(outer, leaf)
        return used, exact_outer, target, parts.sizes()
