"""The paper's experiments: its tables as dataclasses, its figures as functions from a scale to a tidy table."""

from gmrl_lab.paper.figures import FIGURES, Run, figure_1, figure_2, figure_5, figure_6, figure_7, figure_8
from gmrl_lab.paper.settings import SCALES, Scale, Table2

__all__ = [
    "FIGURES",
    "SCALES",
    "Run",
    "Scale",
    "Table2",
    "figure_1",
    "figure_2",
    "figure_5",
    "figure_6",
    "figure_7",
    "figure_8",
]
