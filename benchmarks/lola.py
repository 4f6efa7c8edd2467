"""Opponent shaping: the processor time of the paper's run, beside the same work done the plain way."""

import statistics
import time
from itertools import islice

import torch
from torch import Tensor

import gmrl_lab as gl
from benchmarks.measure import Row
from gmrl_lab.games import AS_THE_OTHER_SEES
from gmrl_lab.learners import LOLASettings, learn

PUBLISHED = 1140
"""Seconds of processor time that the published loop took for ten seeds and 500 updates, measured once."""


def rows() -> list[Row]:
    """Some updates of the run, on one thread, as the time of all of it; and updates per second of a live one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    loop = 500 * 10 * min(_plain_seconds() for _ in range(3))
    found = [Row("LOLA-DiCE, 10 seeds, 500 updates, as a loop over seeds, players and rounds", f"{loop:.0f} s of CPU")]
    for dtype in ("float64", "float32"):
        whole = 500 * _update_seconds(LOLASettings(dtype=dtype), 10, 20)
        measured = f"{whole:.1f} s of CPU: {loop / whole:.0f} times less"
        goal = f"25 times less ({PUBLISHED / 25:.1f} s beside the {PUBLISHED} s once measured for the published loop)"
        found.append(Row(f"the same in one batch, {dtype}, from 20 updates", measured, goal, loop >= 25 * whole))
    short, long = (20 * _update_seconds(LOLASettings(), 10, n) for n in (20, 80))
    found.append(Row("20 updates, measured within 20 and within 80", f"{short:.2f} s and {long:.2f} s of CPU"))
    live = LOLASettings(horizon=50, n_inner=64, n_hessian=64, n_outer=64)
    rate = 1 / _update_seconds(live, 4, 40)
    found.append(Row("live, 4 seeds, batch 64, length 50", f"{rate:.0f} updates/s", "at least 20", rate >= 20))
    exact = LOLASettings(inner="exact", hessian="exact", outer="exact")
    found.append(Row("both exact, 10 seeds, 500 updates", f"{500 * _update_seconds(exact, 10, 40):.1f} s of CPU"))
    torch.set_num_threads(threads)
    return found


def _update_seconds(settings: LOLASettings, n_seeds: int, n_updates: int) -> float:
    """Median processor time of an update, after the first two."""
    updates, times = islice(learn(settings, range(n_seeds)), n_updates + 2), []
    begin = time.process_time()
    for _ in updates:
        now = time.process_time()
        times.append(now - begin)
        begin = now
    return statistics.median(times[2:])


def _plain_seconds(n: int = 128, horizon: int = 100, inner_lr: float = 0.3) -> float:
    """Processor time of one update of one seed where every player, role and round has its turn in Python."""
    theta = torch.zeros(2, 5)
    begin = time.process_time()
    for player in range(2):
        own, other = (theta[i].clone().requires_grad_() for i in (player, 1 - player))
        steps = []
        for _ in ("inner", "hessian"):
            value = _dice(*_rollout(other, own, n, horizon))
            steps.append(other + inner_lr * torch.autograd.grad(value, other, create_graph=True)[0])
        ahead = steps[0].detach() + steps[1] - steps[1].detach()
        torch.autograd.grad(_dice(*_rollout(own, ahead, n, horizon)), own)
    _rollout(*theta, n, horizon)  # the score
    return time.process_time() - begin


def _rollout(own: Tensor, other: Tensor, n: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Joint log-probabilities and rewards of n games, `(n, T)`."""
    payoff, turned = gl.IPD(dtype=torch.float32).mdps[0].rewards[0], torch.tensor(AS_THE_OTHER_SEES)
    state = torch.zeros(n, dtype=torch.long)
    log_probs, rewards = [], []
    for _ in range(horizon):
        players = [torch.distributions.Bernoulli(logits=x[s]) for x, s in ((own, state), (other, turned[state]))]
        moves = [player.sample() for player in players]
        log_probs.append(sum(player.log_prob(move) for player, move in zip(players, moves, strict=True)))
        action = (3 - 2 * moves[0] - moves[1]).long()  # CC, CD, DC, DD
        rewards.append(payoff[action])
        state = action + 1
    return torch.stack(log_probs, 1), torch.stack(rewards, 1)


def _dice(log_prob: Tensor, reward: Tensor, discount: float = 0.96) -> Tensor:
    """Σ_t γᵗ ρ_{0:t} r_t."""
    trace = log_prob.cumsum(1)
    return ((trace - trace.detach()).exp() * reward * discount ** torch.arange(reward.shape[1])).sum(1).mean()
