"""The command line called as a function, and what it prints as words."""

import re

import pytest

from gmrl_lab import cli


def plain(text: str) -> str:
    """Without colours, frames and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def says(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """What a call prints, in one line of words; it must end with `code`, and never with a traceback."""
    try:
        found = cli.main(arguments)
    except SystemExit as stop:
        found = stop.code
    captured = capsys.readouterr()
    assert found == code, captured.err
    assert "Traceback" not in captured.out + captured.err
    return plain(captured.out + captured.err)
