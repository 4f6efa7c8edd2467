"""Adam, step by step as PyTorch's."""

import torch
from helpers import close, normal

from gmrl_lab.learners.adam import Adam


def test_steps_are_those_of_torch() -> None:
    """Twenty gradients of very different sizes, climbing and descending."""
    for maximize in (False, True):
        theirs = normal(3, 5, seed=1)
        ours, adam, reference = theirs.clone(), Adam(theirs, 0.1), torch.optim.Adam([theirs], 0.1, maximize=maximize)
        for seed in range(20):
            gradient = 10.0 ** (seed % 7 - 5) * normal(3, 5, seed=seed)
            theirs.grad = gradient
            reference.step()
            ours = ours + adam.step(-gradient if maximize else gradient)
            assert close(ours, theirs, 1e-12)
