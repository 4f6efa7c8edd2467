"""The meta-gradient of T-step windows through K inner steps, by each estimator, from samples or from all windows.

    θᵏ⁺¹ = θᵏ + α ĝᵏ,   Dᵏ⁺¹ = Dᵏ + α (Ĥᵏ Dᵏ + ∂_φ ĝᵏ),   D⁰ = 0,   ĝ_φ = Dᴷᵀ ĝᴷ

with D = ∂θ/∂φ carried forward (Prop. 3.1 multiplied from the left), so that memory does not grow with K. ĝ is the same
for all estimators and so is θᵏ; they differ in Ĥ.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from gmrl_lab.atari.windows import KnownSource, Source, Windows
from gmrl_lab.estimators import AD, LVC, ExpectedEstimator, LoadedDiCE
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.seeding import Generators

ESTIMATORS: Mapping[str, ExpectedEstimator] = {"AD": AD(), "LVC": LVC(), "LoadedDiCE": LoadedDiCE(1.0)}
"""What is measured. All three see the same windows and take the same inner steps; their second derivatives differ."""
REFERENCE = "LoadedDiCE"
META = ("discount", "gae_lambda")
CHUNK = 256
"""Windows that are differentiated at a time."""

Surrogates = Callable[[Parameters, Tensor], Mapping[str, Tensor]]
"""From θ and φ to each estimator's surrogate."""
Experience = Iterable[tuple[float, Surrogates]]
"""What an update is made of: surrogates, and the share of each in the mean."""


def meta_gradients(
    source: Source, n_windows: int, n_inner: int, inner_lr: float, generator: Generators
) -> dict[str, Tensor]:
    """Meta-gradients after 1 … K inner steps, by each estimator, from the same fresh windows.

    The windows that give the outer gradient after K steps are new to θᴷ and Dᴷ; they then make the inner step K + 1.

    Args:
        source: policy, critic and windows.
        n_windows: n, of each update.
        n_inner: K.
        inner_lr: α.
        generator: one, or a list with one for each trial (tabular sources).

    Returns:
        For each estimator `(K, *trials, 2)`: the derivatives in γ and in λ.

    Taught in lesson 14.
    """

    def experience(theta: Parameters) -> Experience:
        windows = source.draw(theta, n_windows, generator)
        for part in windows.split(CHUNK):
            yield part.actions.shape[-2] / n_windows, partial(_seen, source, part)

    batch = (len(generator),) if isinstance(generator, Sequence) else ()
    return _carried(source, experience, n_inner, inner_lr, batch)


def expected_meta_gradients(source: KnownSource, n_inner: int, inner_lr: float) -> dict[str, Tensor]:
    """The same with infinitely many windows: exact inner steps, and each estimator's own expected second derivatives.

    That of Loaded DiCE is the truth, ∇_φ J(γ, θᴷ(φ)) by exact differentiation; the others differ from it by their
    Hessian bias alone.

    Args:
        source: policy, critic, and the sum over all windows.
        n_inner: K.
        inner_lr: α.

    Returns:
        For each estimator `(K, 2)`.

    Taught in lesson 14.
    """
    every: Experience = [(1.0, partial(source.expected, ESTIMATORS))]
    return _carried(source, lambda theta: every, n_inner, inner_lr, ())


def _carried(
    source: Source,
    experience: Callable[[Parameters], Experience],
    n_inner: int,
    inner_lr: float,
    batch: tuple[int, ...],
) -> dict[str, Tensor]:
    """The recursion: `experience` of θᵏ gives ĝᵏ and Ĥᵏ, for K updates and for the outer gradients."""
    theta = {name: x.expand(*batch, *x.shape) for name, x in source.parameters.items()}
    dtype = next(iter(theta.values())).dtype
    phi = torch.tensor([source.discount, 1.0], dtype=dtype).expand(*batch, 2)
    tangents: dict[str, list[Parameters]] = {name: [{} for _ in META] for name in ESTIMATORS}
    found: dict[str, list[Tensor]] = {name: [] for name in ESTIMATORS}
    for k in range(n_inner + 1):
        gradient, moves = _derivatives(experience(theta), theta, phi, tangents if k < n_inner else {})
        if k:
            for name, tangent in tangents.items():
                found[name].append(torch.stack([_dot(each, gradient, len(batch)) for each in tangent], -1))
        theta = _add(theta, gradient, inner_lr)
        tangents = {
            name: [_add(each, step, inner_lr) for each, step in zip(tangents[name], move, strict=True)]
            for name, move in moves.items()
        }
    return {name: torch.stack(each) for name, each in found.items()}


def _derivatives(
    experience: Experience, theta: Parameters, phi: Tensor, tangents: Mapping[str, list[Parameters]]
) -> tuple[Parameters, dict[str, list[Parameters]]]:
    """ĝ, and for each estimator and each φ_j: Ĥ D_j + ∂ĝ/∂φ_j."""
    gradient: Parameters = {}
    moves: dict[str, list[Parameters]] = {name: [{} for _ in META] for name in tangents}
    for share, surrogates in experience:
        leaf = {name: x.detach().requires_grad_() for name, x in theta.items()}
        own_phi = phi.detach().requires_grad_()
        found = surrogates(leaf, own_phi)
        first = dict(zip(leaf, torch.autograd.grad(found[REFERENCE].sum(), list(leaf.values()), retain_graph=True)))
        gradient = _add(gradient, first, share)
        for name, tangent in tangents.items():
            for j, move in enumerate(_moves(found[name], leaf, own_phi, tangent)):
                moves[name][j] = _add(moves[name][j], move, share)
    return gradient, moves


def _moves(surrogate: Tensor, leaf: Parameters, phi: Tensor, tangent: list[Parameters]) -> list[Parameters]:
    """Ĥ D_j + ∂ĝ/∂φ_j of one surrogate: the gradient of D_jᵀ ĝ + ∂L/∂φ_j."""
    values = list(leaf.values())
    *slopes, by_phi = torch.autograd.grad(surrogate.sum(), [*values, phi], create_graph=True)
    slope = dict(zip(leaf, slopes, strict=True))
    found = []
    for j, direction in enumerate(tangent):
        along = sum(((x * slope[name]).sum() for name, x in direction.items()), by_phi[..., j].sum())
        move = torch.autograd.grad(along, values, retain_graph=True)
        found.append(dict(zip(leaf, move, strict=True)))
    return found


def _seen(source: Source, part: Windows, parameters: Parameters, phi: Tensor) -> dict[str, Tensor]:
    steps = part.steps(source.network, parameters, *phi.unbind(-1))
    return {name: estimator.surrogate(steps) for name, estimator in ESTIMATORS.items()}


def _add(a: Parameters, b: Parameters, factor: float) -> Parameters:
    """a + factor · b; nothing counts as zero."""
    return {name: a[name] + factor * x if a else factor * x for name, x in b.items()}


def _dot(a: Parameters, b: Parameters, n_batch_dims: int) -> Tensor:
    return torch.stack([(a[name] * b[name]).flatten(n_batch_dims).sum(-1) for name in a]).sum(0)
