"""Solutions and plausible wrong answers of lesson 07."""

from __future__ import annotations

from proof import prove, prove_choice
from torch import Tensor

from gmrl_lab.checks import check


def test_score_term() -> None:
    def plain(reached: Tensor, log_prob: Tensor) -> Tensor:
        return reached + reached.detach() * log_prob.sum()

    def with_baseline(reached: Tensor, log_prob: Tensor) -> Tensor:
        return reached + (reached.detach() - 1.5) * log_prob.sum((-1, -2))

    def magic_box(reached: Tensor, log_prob: Tensor) -> Tensor:
        total = log_prob.sum()
        return reached * (total - total.detach()).exp()

    wrong = {
        "path alone": [lambda r, lp: r, lambda r, lp: r + 0 * lp.sum()],
        "score alone": [lambda r, lp: r.detach() * lp.sum()],
        "mean over the trajectories": [lambda r, lp: r + r.detach() * lp.sum() / len(lp)],
        "mean over the steps": [lambda r, lp: r + r.detach() * lp.mean(), lambda r, lp: r + r.detach() * lp.sum() / 2],
        "outcome not held fixed": [lambda r, lp: r + r * lp.sum(), lambda r, lp: r * lp.sum()],
        "probability for logarithm": [
            lambda r, lp: r + r.detach() * lp.sum().exp(),
            lambda r, lp: r * lp.exp().prod(),
        ],
        "sign": [lambda r, lp: r - r.detach() * lp.sum()],
    }
    prove("07.score_term", [plain, with_baseline, magic_box], wrong, constant=0.0)


def test_a_surrogate_without_phi_is_told_so() -> None:
    verdict = check("07.score_term", lambda reached, log_prob: reached.detach())
    assert not verdict.passed
    assert "gradient" in verdict.message


def test_truncated() -> None:
    def loop(direct: Tensor, start: Tensor, terms: Tensor, window: int) -> Tensor:
        total, n = direct.clone(), terms.shape[0]
        for i in range(n - window, n):
            total = total + terms[i]
        return total + start if window == n else total

    def flipped(direct: Tensor, start: Tensor, terms: Tensor, window: int) -> Tensor:
        return direct + terms.flip(0)[:window].sum(0) + start * (window == terms.shape[0])

    wrong = {
        "first steps": [lambda d, s, t, w: d + t[:w].sum(0) + s * (w == len(t))],
        "minus zero": [lambda d, s, t, w: d + t[-w:].sum(0) + s * (w == len(t)), lambda d, s, t, w: d + t[-w:].sum(0)],
        "start always there": [lambda d, s, t, w: d + s + t.flip(0)[:w].sum(0)],
        "start never there": [lambda d, s, t, w: d + t.flip(0)[:w].sum(0)],
        "direct term forgotten": [lambda d, s, t, w: loop(0 * d, s, t, w)],
    }
    prove("07.truncated", [loop, flipped], wrong)


def test_which_target() -> None:
    prove_choice("07.which_target", "c")


def test_nearly_deterministic() -> None:
    prove_choice("07.nearly_deterministic", "c")
