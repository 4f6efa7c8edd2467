"""A widget that hears its messages however slowly the page starts.

anywidget (0.11) waits two seconds for the script of a widget and then drops every message to it, for good. A busy
machine, or a page that is reading five megabytes of Plotly, takes longer. So the script asks for its messages itself
once it runs, and for the state that it may have missed.
"""

from uuid import uuid4

import anywidget
import traitlets

REVIVE = """
async function revive(model) {
  const own = await model.widget_manager.get_model(model.get("identity"))
  const receive = Object.getPrototypeOf(Object.getPrototypeOf(own))._handle_comm_msg
  own.comm.on_msg((message) => receive.call(own, message))
  model.send({ hello: true })
}
"""
"""To begin a widget's script with; its `render` calls `revive(model)`."""


class LastingWidget(anywidget.AnyWidget):
    """The kernel's side: it knows its own name from the start, and sends its state again when the page says hello."""

    identity = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: object) -> None:
        identity = uuid4().hex
        super().__init__(model_id=identity, identity=identity, **traits)
        self.on_msg(self._answer)

    def _answer(self, _widget: object, content: dict[str, object], _buffers: object) -> None:
        if content.get("hello"):
            self.send_state([name for name in self.keys if not name.startswith("_")])
