"""The command line, `gmrl-lab`: made from the dataclasses that hold the settings."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from gmrl_lab import paper
from gmrl_lab._files import write_text
from gmrl_lab._validate import lab_extra
from gmrl_lab.cli_train import Train, TrainGrid
from gmrl_lab.paper.shipped import save

with lab_extra():
    import pandas as pd
    import tyro

DEFAULT_CACHE = Path(".cache", "gmrl_lab")


@dataclass(frozen=True)
class Figure:
    """Compute a figure of the paper, as a table and a picture.

    $ gmrl-lab figure 5 --scale ci --html fig5.html     seconds: see that it runs
    $ gmrl-lab figure 5 --out fig5.parquet              the paper's scale
    $ gmrl-lab figure all --out results --html results  all of them, into a folder

    An interrupted run goes on where it stopped: each finished cell is kept in --cache.
    """

    number: Annotated[Literal["1", "2", "3", "5", "6", "7", "8", "9", "noise", "training", "all"], tyro.conf.Positional]
    """Its number in the paper; "noise" and "training" are beyond it; "all" is all tabular ones, seconds to minutes;
    3 and 9, opponent shaping, take most of an hour together; for 4, 10 and 11, Atari, see train-grid and lesson 14."""
    scale: Literal["paper", "class", "ci"] = "paper"
    """As published; for a room that waits; to see that it runs."""
    out: Path | None = None
    """Parquet file for the table; with "all", a folder."""
    html: Path | None = None
    """File for the picture, which opens in a browser; with "all", a folder."""
    seed: int = 0
    """Of all random numbers but the MDPs', which are numbered."""
    jobs: int = 0
    """Threads that work; 0 for one per processor core."""
    cache: Path | None = DEFAULT_CACHE
    """Folder of finished cells; None keeps none."""
    table: paper.Table2 = field(default_factory=paper.Table2)
    """Table 2; the scale decides its numbers of MDPs and trials."""
    lola: paper.Table3 = field(default_factory=paper.Table3)
    """Table 3, of Figures 3 and 9; the scale decides its batches and updates."""

    def __call__(self, command: Sequence[str]) -> None:
        """Compute, save, and say where everything is."""
        run = paper.Run(self.scale, self.seed, self.cache, self.jobs or -1)
        for number in paper.FIGURES if self.number == "all" else (self.number,):
            table = self._table(number, run)
            print(f"Figure {number}: {len(table)} rows")
            for verdict in paper.verdicts(number, table):
                print(f"  {verdict}")
            if self.scale != "paper":
                print(f"  {self.scale} is too small a scale to judge by; see --scale paper, or what is shipped of it")
            if out := self._path(self.out, f"figure_{number}.parquet"):
                save(out, table, run, command)
                print(f"  table: {out}")
            if html := self._path(self.html, f"figure_{number}.html"):
                html.parent.mkdir(parents=True, exist_ok=True)
                write_text(html, paper.draw(number, table).to_html())
                print(f"  picture: {html}")

    def _table(self, number: str, run: paper.Run) -> pd.DataFrame:
        if number in paper.LOLA_FIGURES:
            return paper.LOLA_FIGURES[number](run, self.lola)
        return {**paper.FIGURES, **paper.BEYOND}[number](run, self.table)

    def _path(self, given: Path | None, name: str) -> Path | None:
        return given / name if given is not None and self.number == "all" else given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[..., Any]] = {"figure": Figure, "train": Train, "train-grid": TrainGrid}
    command = tyro.extras.subcommand_cli_from_dict(commands, args=given, prog="gmrl-lab")
    try:
        command(["gmrl-lab", *given])
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"gmrl-lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "what is finished is kept, run the same command to go on (train: with --resume)"
        print(f"\ngmrl-lab: interrupted; {kept}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
