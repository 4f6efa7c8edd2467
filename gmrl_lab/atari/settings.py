"""Table 4 of the paper as a frozen dataclass, and by name the choices that its text and its code make differently."""

from dataclasses import dataclass

from gmrl_lab._validate import check_choice, check_interval, check_positive, check_whole
from gmrl_lab.estimators import AD, LVC, Estimator

VARIANTS = ("a2c", "mgrl", "mgrl-lvc", "mgrl-full")
"""What learns: A2C with fixed settings; MGRL by plain autodiff, with LVC in the policy term, or fully corrected."""
STRATEGIES = ("online", "discard")
"""What becomes of the inner updates: they are real, or virtual and taken back."""
NETWORKS = ("full", "small", "mlp", "linear")
"""The network of Table 4 for 84x84 frames; a small one for 42x42; one hidden layer, or none, for vectors."""
CRITIC_DERIVATIVES = ("none", "phi", "full")
"""What the meta-gradient sees in V̂ inside Â: a constant, the discount that it is conditioned on, or θ as well."""


@dataclass(frozen=True)
class Table4:
    """The MGRL experiment's settings; the defaults are the paper's, and where it is silent the published code's.

    Raises:
        ValueError: naming the field, for a value out of range.

    Taught in lesson 13.
    """

    variant: str = "mgrl-lvc"
    """One of `VARIANTS`. LVC corrects only the policy term; the value and entropy terms stay under plain autodiff.
    "mgrl-full" corrects all three for every action of the window, with the variance that this costs."""
    strategy: str = "online"
    """One of `STRATEGIES`. "online", the published commands: K real updates, and the outer batch, drawn by the policy
    that goes on, becomes the first inner batch of the next round, so that K batches give K updates. "discard", the
    paper's text: K virtual updates, rewind to θ, one real update; K + 1 batches give one update."""
    network: str = "full"
    """One of `NETWORKS`."""
    critic_derivative: str = "none"
    """One of `CRITIC_DERIVATIVES`; "none" is the published code's."""
    optimiser: str = "adam"
    """Inner steps by "adam" (Table 4), or by "sgd", to which Theorem 4.5 applies."""
    n_envs: int = 64
    """Parallel environments N."""
    n_steps: int = 5
    """Steps T in each environment for one update."""
    n_inner: int = 3
    """K, inner updates per meta-update."""
    total_steps: int = 40_000_000
    """Environment steps of the whole run: 125,000 batches. The inner learning rate falls to 0 at its end."""
    inner_lr: float = 7e-4
    """Of the inner optimiser, at the start."""
    meta_lr: float = 1e-3
    """Of the meta-parameters' Adam."""
    max_grad_norm: float = 0.5
    """Clip of the inner gradient's norm (code only)."""
    discount: float = 0.99
    """γ: fixed for A2C and in the outer loss, initial for MGRL. (Logits in the code: 4.6, 2.944, 0, −4.6, rounded.)"""
    gae_lambda: float = 0.95
    """λ of GAE: fixed for A2C and in the outer loss, initial for MGRL."""
    value_coefficient: float = 0.5
    """Weight of the squared error of the critic: fixed for A2C, initial for MGRL."""
    entropy_coefficient: float = 0.01
    """Weight of the policy's entropy: fixed for A2C, initial for MGRL."""
    reward_clip: float = 1.0
    """The learner sees rewards in [−clip, clip]; infinity leaves them as they are."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("n_envs", "n_steps", "n_inner", "total_steps"):
            check_whole(name, getattr(self, name), 1)
        for name in ("inner_lr", "meta_lr", "max_grad_norm"):
            check_positive(name, getattr(self, name))
        for name in META_PARAMETERS:
            check_interval(name, getattr(self, name), 0.0, 1.0, open_low=True, open_high=True)
        check_interval("reward_clip", self.reward_clip, 0.0, float("inf"), open_low=True)

    @property
    def is_meta(self) -> bool:
        """Whether meta-parameters are learned."""
        return self.variant != "a2c"

    @property
    def estimator(self) -> Estimator:
        """The surrogate of the policy term, whose derivative the meta-gradient differentiates."""
        return LVC() if self.variant == "mgrl-lvc" else AD()


META_PARAMETERS = ("discount", "gae_lambda", "value_coefficient", "entropy_coefficient")
"""φ, in this order, each through a sigmoid."""

_CHOICES = {
    "variant": VARIANTS,
    "strategy": STRATEGIES,
    "network": NETWORKS,
    "critic_derivative": CRITIC_DERIVATIVES,
    "optimiser": ("adam", "sgd"),
}
