"""Learners that use meta-gradients: opponent shaping on repeated matrix games."""

from gmrl_lab.learners.lola import Update, from_both_sides, history, learn
from gmrl_lab.learners.settings import LOLASettings

__all__ = ["LOLASettings", "Update", "from_both_sides", "history", "learn"]
