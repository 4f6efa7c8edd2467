"""The models of Gymnasium's toy-text environments, read from their `P` tables."""

from typing import Any

import torch
from torch import Tensor

from gmrl_lab._validate import bad


def read_table(table: Any, starts: list[int]) -> tuple[Tensor, Tensor]:
    """Transitions and rewards of a toy-text `P[s][a] = [(probability, next state, reward, terminated), ...]`."""
    n_states, n_actions = len(table), len(table[0])
    transitions = torch.zeros(n_states, n_actions, n_states, dtype=torch.float64)
    rewards = torch.zeros(n_states, n_actions, dtype=torch.float64)
    ends = {q for s in table for a in table[s] for _, q, _, ended in table[s][a] if ended}
    reached: set[int] = set()
    while starts:  # Taxi's table also lists moves through its end states, from states that no episode visits
        reached.add(s := starts.pop())
        starts += [q for a in table[s] for p, q, _, ended in table[s][a] if p > 0 and not (ended or q in reached)]
    passed = {q for s in reached - ends for a in table[s] for p, q, _, ended in table[s][a] if p > 0 and not ended}
    if ends & passed:
        raise bad(
            "env",
            f"states {sorted(ends & passed)[:5]} entered both as an end and not",
            "states that always end or never",
        )
    for s in range(n_states):
        for a in range(n_actions):
            for probability, q, reward, _ in [(1.0, s, 0.0, True)] if s in ends else table[s][a]:
                transitions[s, a, q] += probability
                rewards[s, a] += probability * reward
    return transitions, rewards
