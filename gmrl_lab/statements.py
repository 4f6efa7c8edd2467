"""Every statement of the lessons, with its source, its functions, its tests and the heading that teaches it.

The rows stand in `gmrl_lab/registry/lesson_NN.py`; a lesson prints its own by `gl.statements.of("04")`.
"""

from pathlib import Path

from gmrl_lab._validate import bad
from gmrl_lab.registry import (
    Statement,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
    lesson_12,
    lesson_13,
    lesson_14,
)

STATEMENTS: tuple[Statement, ...] = (
    *lesson_01.ROWS,
    *lesson_02.ROWS,
    *lesson_03.ROWS,
    *lesson_04.ROWS,
    *lesson_05.ROWS,
    *lesson_06.ROWS,
    *lesson_07.ROWS,
    *lesson_08.ROWS,
    *lesson_09.ROWS,
    *lesson_10.ROWS,
    *lesson_11.ROWS,
    *lesson_12.ROWS,
    *lesson_13.ROWS,
    *lesson_14.ROWS,
)
"""All rows, in teaching order."""

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


class Statements(tuple[Statement, ...]):
    """Rows that show themselves: as a table in a notebook, as lines of text elsewhere.

    Taught in lesson 01.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(_text, self))

    def _repr_markdown_(self) -> str:
        head = "| statement | in the paper | function → test | taught under |\n|---|---|---|---|\n"
        return head + "\n".join(map(_markdown, self))


def of(lesson: str) -> Statements:
    """The statements that a lesson teaches, in its order: `gl.statements.of("04")`.

    Args:
        lesson: the two digits of its file name.

    Returns:
        The rows; a notebook shows them as a table that links each to its heading.

    Raises:
        ValueError: for a lesson without statements; the message lists those that have some.

    Taught in lesson 01.
    """
    rows = Statements(row for row in STATEMENTS if row.lesson == lesson)
    if not rows:
        raise bad("lesson", repr(lesson), f"one of {sorted({row.lesson for row in STATEMENTS})}")
    return rows


def find(statement_id: str) -> Statement:
    """The statement of this id: `gl.statements.find("lemma-4.4").functions`.

    Raises:
        ValueError: for an unknown id; the message lists those that exist.

    Taught in lesson 01.
    """
    for row in STATEMENTS:
        if row.id == statement_id:
            return row
    raise bad("statement_id", repr(statement_id), "one of " + ", ".join(row.id for row in STATEMENTS))


def link(row: Statement) -> str:
    """Where a row is taught, as JupyterLab addresses a heading: `04_compositional_bias.ipynb#Lemma-4.4`.

    Taught in lesson 01.
    """
    file = next(iter(sorted(path.name for path in NOTEBOOKS.glob(f"{row.lesson}_*.ipynb"))), "")
    return f"{file}#{row.anchor.replace(' ', '-')}"


def _text(row: Statement) -> str:
    leads_to = "".join(f"\n    {name}" for name in (*row.functions, *row.tests))
    return f"{row.id} ({row.source}): {row.claim}{leads_to}\n    lesson {row.lesson}, {row.anchor}"


def _markdown(row: Statement) -> str:
    functions = ", ".join(f"`{name}`" for name in row.functions)
    tests = ", ".join(f"`{test}`" for test in row.tests)
    claim = row.claim.replace("|", r"\vert ")
    return f"| {claim} | {row.source} | {functions} → {tests} | [{row.anchor}](<{link(row)}>) |"
