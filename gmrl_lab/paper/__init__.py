"""The paper's experiments: its tables as dataclasses, its figures as functions from a scale to a tidy table."""

from typing import TYPE_CHECKING, Any

from gmrl_lab.paper.figures import (
    BEYOND,
    FIGURES,
    Run,
    figure_1,
    figure_2,
    figure_5,
    figure_6,
    figure_7,
    figure_8,
    training,
    value_noise,
)
from gmrl_lab.paper.judging import Verdict
from gmrl_lab.paper.lola import FIGURES as LOLA_FIGURES
from gmrl_lab.paper.lola import Table3, figure_3, figure_9
from gmrl_lab.paper.settings import SCALES, Scale, Table2
from gmrl_lab.paper.shipped import shipped
from gmrl_lab.paper.verdicts import verdicts

if TYPE_CHECKING:
    from gmrl_lab.paper.drawing import draw

__all__ = [
    "BEYOND",
    "FIGURES",
    "LOLA_FIGURES",
    "SCALES",
    "Run",
    "Scale",
    "Table2",
    "Table3",
    "Verdict",
    "draw",
    "figure_1",
    "figure_2",
    "figure_3",
    "figure_5",
    "figure_6",
    "figure_7",
    "figure_8",
    "figure_9",
    "shipped",
    "training",
    "value_noise",
    "verdicts",
]


def __getattr__(name: str) -> Any:
    """`draw` loads Plotly, which takes a second, when it is first used: a table alone does without."""
    if name == "draw":
        from gmrl_lab.paper.drawing import draw

        return draw
    raise AttributeError(f"module 'gmrl_lab.paper' has no attribute {name!r}")
