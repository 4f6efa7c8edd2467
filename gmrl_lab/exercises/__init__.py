"""The exercises of the lessons, one short module per lesson; `gmrl_lab.checks.check` finds them by their id."""
