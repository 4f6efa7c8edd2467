"""A live Plotly figure that takes over the content of a pure one, sending the browser only what differs."""

import html

import ipywidgets as widgets
import plotly.graph_objects as go

from gmrl_lab.explorers.accessibility import PageHelper

# `uid` ties a trace to its twin in the browser, `type` cannot change.
_FIXED = {"uid", "type"}

# "Share chart" would send the figure to a company's server.
_HIDDEN_BUTTONS = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]
_CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": _HIDDEN_BUTTONS}


def live_figure(figure: go.Figure) -> go.FigureWidget:
    """A widget showing `figure`, as wide as its cell."""
    live = go.FigureWidget(figure)
    live._config = {**live._config, **_CONFIG}  # Plotly has no public name for it
    return live


def show(figure: go.Figure, summary: str) -> widgets.VBox:
    """A figure and the one line of text that says the same, for the page and for a screen reader."""
    text = widgets.HTML(html.escape(summary)).add_class("gmrl-summary")
    page = PageHelper(title="figure", summary=summary)
    return widgets.VBox([live_figure(figure), text, page]).add_class("gmrl-explorer")


def update_figure(live: go.FigureWidget, figure: go.Figure) -> None:
    """Make `live` equal to `figure`: in place where the traces have the same types, replaced otherwise."""
    in_place = [trace.type for trace in live.data] == [trace.type for trace in figure.data]
    with live.batch_update():
        if in_place:
            for old, new in zip(live.data, figure.data, strict=True):
                _assign(old, new)
        _assign(live.layout, figure.layout)
    if not in_place:
        live.data = ()
        live.add_traces(figure.data)


def _assign(old: go.Layout | go.Scatter, new: go.Layout | go.Scatter) -> None:
    # Plotly itself skips properties that are already equal; a key that only `old` has is reset to None.
    for key in (old.to_plotly_json().keys() | new.to_plotly_json().keys()) - _FIXED:
        old[key] = new[key]
