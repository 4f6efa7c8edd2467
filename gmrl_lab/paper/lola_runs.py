"""What a run of opponent shaping came to: its last updates, and whether both players found cooperation."""

import pandas as pd

from gmrl_lab.paper.statistics import share

LAST = 50
"""Updates whose mean is a run's final value."""
COOPERATION = -1.5
"""Half way between what two get who always defect, −2 a step, and who always cooperate, −1."""

Panel = dict[str, str]

PANELS: dict[str, Panel] = {
    "(a) inner gradient and Hessian": {
        "exact": "outer exact too",
        "inner exact": "exact",
        "inner many": "{many}",
        "inner few": "{few}",
        "naive": "naive",
    },
    "(a) baseline fitted to returns": {
        "exact": "outer exact too",
        "inner exact, corrected": "exact",
        "inner few, corrected": "{few}",
        "naive": "naive",
    },
    "(b) inner gradient": {"exact-few": "exact", "many-few": "{many}", "few-few": "{few}"},
    "(c) Hessian": {"few-exact": "exact", "few-many": "{many}", "few-few": "{few}"},
    "(d) as published": {"few-few": "on-on", "off-off": "off-off", "off-on": "off-on", "on-off": "on-off"},
    "(d) budgets matched": {
        "few-few": "on-on",
        "off-off, matched": "off-off",
        "off-on, matched": "off-on",
        "on-off, matched": "on-off",
    },
}
"""Title of a panel → the settings in it → what they are called there, with the sizes of the table."""


def labels(table: pd.DataFrame, panel: str) -> dict[str, str]:
    """Setting → label, of those in a panel that the table has."""
    few, many = table["n_outer"].min(), table["n_inner"].max()
    return {
        name: label.format(few=few, many=many) for name, label in PANELS[panel].items() if name in set(table["setting"])
    }


def final(table: pd.DataFrame, column: str = "score") -> dict[str, pd.Series]:
    """Setting → a column's mean over the last 50 updates, by run."""
    last = table[table["update"] > table["update"].max() - LAST]
    means = last.groupby(["setting", "run"])[column].mean()
    return {name: means[name] for name in dict.fromkeys(table["setting"])}


def cooperating(score: pd.Series) -> tuple[float, float, float]:
    """Share of the runs whose final score is nearer to mutual cooperation than to defection, with its interval."""
    return share(score > COOPERATION)
