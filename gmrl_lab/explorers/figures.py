"""A Plotly figure on the page that is replaced as a whole: one string of JSON out, nothing back.

Plotly's own FigureWidget brings five megabytes of script for each figure, and on a slow machine it stays empty for good
(see `lasting`). Here the script of a figure is small, Plotly itself is sent once and loaded when the first figure is
drawn, and what the page missed meanwhile is sent again.
"""

import html
from functools import cache

import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from gmrl_lab.explorers.accessibility import PageHelper
from gmrl_lab.explorers.lasting import REVIVE, LastingWidget

_SCRIPT = (
    REVIVE
    + """
// "Share chart" would send the figure to a company's server.
const CONFIG = { displaylogo: false, responsive: true, plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"] }

async function load(model) {
  window.PlotlyConfig = { MathJaxConfig: "local" }
  const library = await model.widget_manager.get_model(model.get("plotly"))
  const address = URL.createObjectURL(new Blob([library.get("value")], { type: "text/javascript" }))
  await new Promise((resolve, reject) => {
    const script = document.createElement("script")
    Object.assign(script, { src: address, onload: resolve, onerror: () => reject(new Error("Plotly did not load")) })
    document.head.append(script)
  })
  URL.revokeObjectURL(address)
  return window.Plotly
}

function render({ model, el }) {
  const plot = document.createElement("div")
  el.append(plot)
  let busy = false, stale = false, gone = false
  const draw = async () => {
    stale = true
    if (busy) return
    busy = true
    try {
      while (stale && !gone) {
        stale = false
        const Plotly = await (window.gmrlPlotly ??= load(model))
        // Before it is on the page it has no width, and would be drawn twice.
        while (!plot.isConnected && !gone) await new Promise(requestAnimationFrame)
        if (gone) break
        const figure = model.get("figure")
        if (figure === "") continue
        const { data, layout } = JSON.parse(figure)
        plot.style.minHeight = `${layout.height ?? 420}px`
        await Plotly.react(plot, data, layout, CONFIG)
      }
    } catch (error) {
      window.gmrlPlotly = undefined
      plot.textContent = `The figure could not be drawn: ${error.message}`
      console.error(error)
    }
    busy = false
  }
  model.on("change:figure", draw)
  revive(model)
  draw()
  return () => { gone = true; model.off("change:figure", draw); window.Plotly?.purge(plot) }
}

export default { render }
"""
)


class LiveFigure(LastingWidget):
    """A widget that shows `content`, as wide as its cell; assign a new figure by `update`.

    Without `content` nothing is drawn: a figure that grows out of an empty one would, on a slow page, be drawn twice,
    and Plotly complains of axes that are new and bare (its lines have no place before the axes are scaled).
    """

    _esm = _SCRIPT
    figure = traitlets.Unicode().tag(sync=True)
    plotly = traitlets.Unicode().tag(sync=True)

    def __init__(self, content: go.Figure | None = None) -> None:
        self.content = go.Figure() if content is None else content
        super().__init__(
            figure="" if content is None else content.to_json(), plotly=_plotly().model_id, layout={"width": "100%"}
        )

    def update(self, content: go.Figure) -> None:
        """Show another figure; the page redraws what differs, and a zoom of the reader's stays."""
        self.content = content
        self.figure = content.to_json()


def show(figure: go.Figure, summary: str) -> widgets.VBox:
    """A figure and the one line of text that says the same, for the page and for a screen reader."""
    text = widgets.HTML(html.escape(summary)).add_class("gmrl-summary")
    page = PageHelper(title="figure", summary=summary)
    return widgets.VBox([LiveFigure(figure), text, page]).add_class("gmrl-explorer")


@cache
def _plotly() -> widgets.HTML:
    """Plotly's script as the state of a widget that is never shown: sent to the page once, not once for each figure."""
    return widgets.HTML(get_plotlyjs())
