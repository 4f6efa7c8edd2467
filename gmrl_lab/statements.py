"""Every statement of the lessons, with its source, its functions, its tests and the heading that teaches it.

The rows stand in `gmrl_lab/registry/lesson_NN.py`; a lesson prints its own by `gl.statements.of("04")`.
"""

import re
from pathlib import Path

from gmrl_lab.registry import Statement, lesson_01, lesson_02, lesson_03, lesson_04, lesson_05, lesson_06, lesson_07

STATEMENTS: tuple[Statement, ...] = (
    *lesson_01.ROWS,
    *lesson_02.ROWS,
    *lesson_03.ROWS,
    *lesson_04.ROWS,
    *lesson_05.ROWS,
    *lesson_06.ROWS,
    *lesson_07.ROWS,
)
"""All rows, in teaching order."""

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


class Statements(tuple[Statement, ...]):
    """Rows that show themselves: as a table in a notebook, as lines of text elsewhere.

    Taught in lesson 00.
    """

    def __repr__(self) -> str:
        return "\n".join(
            f"{row.id} ({row.source}): {row.claim}\n    {', '.join(row.functions)} → {', '.join(row.tests)}"
            for row in self
        )

    def _repr_markdown_(self) -> str:
        head = "| statement | in the paper | function → test | taught under |\n|---|---|---|---|\n"
        return head + "\n".join(map(_markdown_row, self))


def of(lesson: str) -> Statements:
    """The statements that a lesson teaches, in its order: `gl.statements.of("04")`.

    Args:
        lesson: the two digits of its file name.

    Returns:
        The rows; a notebook shows them as a table that links each to its heading.

    Raises:
        ValueError: for a lesson without statements; the message lists those that have some.

    Taught in lesson 00.
    """
    rows = Statements(row for row in STATEMENTS if row.lesson == lesson)
    if not rows:
        known = sorted({row.lesson for row in STATEMENTS})
        raise ValueError(f"lesson is {lesson!r}; allowed: one of {', '.join(map(repr, known))}")
    return rows


def find(statement_id: str) -> Statement:
    """The statement of this id: `gl.statements.find("lemma-4.4").functions`.

    Raises:
        ValueError: for an unknown id; the message lists those that exist.

    Taught in lesson 00.
    """
    for row in STATEMENTS:
        if row.id == statement_id:
            return row
    known = ", ".join(repr(row.id) for row in STATEMENTS)
    raise ValueError(f"statement_id is {statement_id!r}; allowed: one of {known}")


def link(row: Statement) -> str:
    """Where a row is taught, as JupyterLab addresses a heading: `04_compositional_bias.ipynb#Lemma-4.4`."""
    found = sorted(NOTEBOOKS.glob(f"{row.lesson}_*.ipynb"))
    file = found[0].name if found else ""
    return f"{file}#{re.sub(' ', '-', row.anchor)}"


def _markdown_row(row: Statement) -> str:
    code = ", ".join(f"`{name.removeprefix('gmrl_lab.')}`" for name in row.functions)
    tests = ", ".join(f"`{test}`" for test in row.tests)
    claim = row.claim.replace("|", r"\vert ")
    return f"| {claim} | {row.source} | {code} → {tests} | [{row.anchor}]({link(row)}) |"
