"""What ipywidgets and Plotly leave out of the page: accessible names, live regions, a download, and a compact layout.

ipywidgets 8 gives its slider handles no name and Plotly gives its graphs no role. The widget here finds them inside its
own explorer, names them, and does so again whenever the page changes. Nothing is fetched: script and style are inline.
"""

import traitlets

from gmrl_lab.explorers.lasting import REVIVE, LastingWidget

_SCRIPT = (
    REVIVE
    + """
const set = (node, name, value) => { if (node && node.getAttribute(name) !== value) node.setAttribute(name, value) }

function nameControl(box, name) {
  for (const handle of box.querySelectorAll(".noUi-handle")) {
    set(handle, "aria-label", name)
    // noUiSlider announces the index of an option; the readout has its value.
    set(handle, "aria-valuetext", box.querySelector(".widget-readout")?.textContent ?? "")
  }
  for (const input of box.querySelectorAll("select, input")) set(input, "aria-label", name)
  // Else JupyterLab takes a list's keys for its own: arrows move between cells, and m turns the cell into text.
  for (const list of box.querySelectorAll("select")) set(list, "data-lm-suppress-shortcuts", "")
  if (box.querySelector("button")) { set(box, "role", "group"); set(box, "aria-label", name) }
  if (box.querySelector(".progress-bar")) { set(box, "role", "progressbar"); set(box, "aria-label", name) }
}

function annotate(root, model) {
  set(root, "role", "group")
  set(root, "aria-label", model.get("title"))
  for (const [css, name] of Object.entries(model.get("names")))
    for (const box of root.querySelectorAll("." + css)) nameControl(box, name)
  for (const button of root.querySelectorAll(".widget-toggle-buttons button, .widget-toggle-button"))
    set(button, "aria-pressed", String(button.classList.contains("mod-active")))
  for (const summary of root.querySelectorAll(".gmrl-summary")) set(summary, "aria-live", "polite")
  for (const bar of root.querySelectorAll(".modebar-btn")) set(bar, "aria-label", bar.getAttribute("data-title"))
  // The first of Plotly's stacked drawings stands for all: role=img on their container would hide the tool bar in it.
  for (const plot of root.querySelectorAll(".js-plotly-plot .svg-container")) {
    const [first, ...rest] = plot.querySelectorAll(":scope > svg.main-svg")
    set(first, "role", "img")
    set(first, "aria-label", model.get("summary"))
    for (const layer of rest) set(layer, "aria-hidden", "true")
  }
}

function download({ filename, text }) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }))
  link.download = filename
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

function render({ model, el }) {
  el.style.display = "none"
  let root, timer, frame
  const later = () => { frame ??= requestAnimationFrame(() => { frame = undefined; annotate(root, model) }) }
  const changes = new MutationObserver(later)
  const sizes = new ResizeObserver(() => window.dispatchEvent(new Event("resize")))
  const attach = () => {
    root = el.closest(".gmrl-explorer")
    if (!root) { timer = setTimeout(attach, 50); return }
    const attributeFilter = ["class", "aria-valuetext", "data-title"]
    changes.observe(root, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter })
    sizes.observe(root)
    later()
  }
  const onSummary = () => { if (root) later() }
  model.on("change:summary", onSummary)
  revive(model)
  model.on("msg:custom", download)
  attach()
  return () => {
    clearTimeout(timer); changes.disconnect(); sizes.disconnect()
    model.off("change:summary", onSummary); model.off("msg:custom", download)
  }
}

export default { render }
"""
)

_STYLE = """
.gmrl-explorer { border: 1px solid #d0d0d0; border-radius: 6px; padding: 12px 14px; gap: 6px; max-width: 1200px; }
.gmrl-title { font-size: 1.15em; font-weight: 600; }
.gmrl-controls { display: grid; align-items: start; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr));
  gap: 8px 24px; overflow: visible; }
.gmrl-explorer .gmrl-control { display: flex; flex-flow: row wrap; align-items: center; width: auto; height: auto;
  margin: 0; overflow: visible; }
.gmrl-explorer .gmrl-control > .widget-label { flex: 0 0 100%; width: 100%; text-align: left; line-height: 20px;
  height: 20px; }
.gmrl-explorer .gmrl-control .slider-container { flex: 1 1 0; min-width: 0; margin: 0 10px; }
.gmrl-explorer .gmrl-control .widget-readout { flex: 0 0 3.5em; min-width: 0; text-align: right; margin: 0; }
.gmrl-explorer .gmrl-control.widget-checkbox { padding-top: 22px; }
.gmrl-explorer .gmrl-control select, .gmrl-explorer .gmrl-control input[type=number] { flex: 1 1 auto; width: 100%;
  height: 28px; }
.gmrl-explorer .widget-toggle-buttons .jupyter-button, .gmrl-explorer .widget-toggle-buttons .widget-toggle-button {
  width: auto; min-width: 40px; margin: 0 4px 0 0; }
.gmrl-explorer .widget-toggle-buttons button.mod-active { background: #0072B2; color: white; box-shadow: none; }
.gmrl-explorer .noUi-handle:focus-visible, .gmrl-explorer button:focus-visible { outline: 3px solid #0072B2;
  outline-offset: 1px; }
.gmrl-alert { color: #8a2d00; background: #fdf0e8; border-left: 4px solid #D55E00; padding: 6px 10px;
  line-height: 1.4; }
.gmrl-summary .widget-html-content, .gmrl-status .widget-html-content { line-height: 1.45; white-space: normal; }
.gmrl-buttons { flex-wrap: wrap; gap: 6px; align-items: center; overflow: visible; }
.gmrl-explorer pre.gmrl-code { background: #f6f6f6; color: #222; border: 1px solid #e0e0e0; border-radius: 4px;
  padding: 8px 12px; margin: 0; overflow: auto; max-height: 320px; line-height: 1.4; user-select: text; }
"""


class PageHelper(LastingWidget):
    """Names every control of the explorer that contains it, keeps the figure's text up to date, saves files."""

    _esm = _SCRIPT
    _css = _STYLE
    title = traitlets.Unicode().tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)

    def download(self, filename: str, text: str) -> None:
        """Let the reader's browser save `text`; the notebook file itself never grows by it."""
        self.send({"filename": filename, "text": text})
