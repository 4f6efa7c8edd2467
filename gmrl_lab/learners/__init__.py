"""Learners that are more than one meta-gradient: what they share, and the agents of the experiments."""
