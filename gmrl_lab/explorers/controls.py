"""Controls: a frozen dataclass declares them as fields, `Controls` shows them and reads them back.

    @dataclass(frozen=True)
    class Settings:
        n_inner_steps: int = slider(1, 10, default=1, label="K", help="inner steps")
        inner_lr: float = log_slider(0.1, 30.0, default=10.0, label="α", help="inner step size")

A slider can only stand on a stated value, so two readers with the same picture have the same numbers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import ipywidgets as widgets

S = TypeVar("S")
V = TypeVar("V")


@dataclasses.dataclass(frozen=True)
class Control:
    """How one field is shown: its symbol, a few words, its widget, and the values that a test should visit."""

    label: str
    help: str
    build: Callable[[], widgets.DOMWidget]
    samples: tuple[object, ...]
    bounds: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """What a screen reader says."""
        return f"{self.label}, {self.help}" if self.help else self.label

    @property
    def caption(self) -> str:
        """What the page shows."""
        return f"<b>{self.label}</b> {self.help}"


def steps(values: Sequence[V], *, default: V, label: str, help: str = "") -> V:
    """A slider over the given values."""
    _require_member(label, default, values)
    options = [(_readout(value), value) for value in values]
    samples = (values[0], values[len(values) // 2], values[-1])
    return _field(default, label, help, samples, widgets.SelectionSlider, options=options, continuous_update=False)


def slider(low: int, high: int, *, default: int, step: int = 1, label: str, help: str = "") -> int:
    """A slider over the integers from `low` to `high`, both included."""
    return steps(range(low, high + 1, step), default=default, label=label, help=help)


def log_slider(low: float, high: float, *, default: float, per_decade: int = 8, label: str, help: str = "") -> float:
    """A slider over logarithmically spaced values of two significant digits, every power of ten and the default too."""
    first, last = math.floor(per_decade * math.log10(low)), math.ceil(per_decade * math.log10(high))
    ladder = (float(f"{10 ** (i / per_decade):.2g}") for i in range(first, last + 1))
    values = sorted({value for value in ladder if low < value < high} | {low, high, default})
    return steps(values, default=default, label=label, help=help)


def powers_of_two(low: int, high: int, *, default: int, label: str, help: str = "") -> int:
    """A slider over `low`, 2·`low`, 4·`low`, … up to `high`."""
    values = [low << shift for shift in range((high // low).bit_length())]
    return steps(values, default=default, label=label, help=help)


def choice(*options: str, default: str, label: str, help: str = "") -> str:
    """A drop-down list."""
    _require_member(label, default, options)
    return _field(default, label, help, options, widgets.Dropdown, options=list(options))


def toggles(options: Mapping[str, str] | Sequence[str], *, default: str, label: str, help: str = "") -> str:
    """A row of buttons of which one is down; a mapping gives each its tooltip: `{"E": "exact", "S": "sampled"}`."""
    names = list(options)
    _require_member(label, default, names)
    tooltips = list(options.values()) if isinstance(options, Mapping) else names
    return _field(default, label, help, tuple(names), widgets.ToggleButtons, options=names, tooltips=tooltips)


def switch(*, default: bool, label: str, help: str = "") -> bool:
    """A box to tick."""
    return _field(default, label, help, (False, True), widgets.Checkbox, indent=False)


def integer(low: int, high: int, *, default: int, label: str, help: str = "") -> int:
    """A free entry for a whole number; one out of bounds becomes a message to the reader, not a silent clip."""
    return _field(default, label, help, (low, default, high), widgets.IntText, bounds=(low, high))


def number(low: float, high: float, *, default: float, label: str, help: str = "") -> float:
    """A free entry for a number; one out of bounds becomes a message to the reader, not a silent clip."""
    return _field(default, label, help, (low, default, high), widgets.FloatText, bounds=(low, high))


class Controls(Generic[S]):
    """The widgets of a settings dataclass, by field name. `value` is the dataclass, `box` is what to display."""

    def __init__(self, settings_type: type[S]) -> None:
        if not dataclasses.is_dataclass(settings_type):
            raise ValueError(f"settings_type must be a dataclass, got {settings_type!r}")
        fields = dataclasses.fields(settings_type)
        undeclared = [field.name for field in fields if "control" not in field.metadata]
        if undeclared:
            raise ValueError(f"fields without a control: {undeclared}; declare each with slider(...), choice(...), …")
        self._type: Callable[..., S] = settings_type
        self._defaults: dict[str, object] = {field.name: field.default for field in fields}
        self.specs: dict[str, Control] = {field.name: field.metadata["control"] for field in fields}
        self.widgets: dict[str, widgets.DOMWidget] = {name: spec.build() for name, spec in self.specs.items()}
        for name, widget in self.widgets.items():
            widget.add_class("gmrl-control")
            widget.add_class(css_class(name))
        self._callbacks: list[Callable[[], None]] = []
        self._muted = False
        for widget in self.widgets.values():
            widget.observe(lambda _change: self._notify(), names="value")
        self.box = widgets.Box(list(self.widgets.values())).add_class("gmrl-controls")

    @property
    def value(self) -> S:
        """The settings now; a ValueError says which control is wrong and what it allows."""
        values = {name: widget.value for name, widget in self.widgets.items()}
        for name, value in values.items():
            bounds = self.specs[name].bounds
            if bounds and not bounds[0] <= value <= bounds[1]:
                raise ValueError(f"{self.specs[name].name} must be from {bounds[0]:g} to {bounds[1]:g}, got {value:g}")
        return self._type(**values)

    def observe(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each change; a `set` or `reset` of many fields is one change."""
        self._callbacks.append(callback)

    def set(self, **fields: object) -> None:
        """Move controls from code."""
        unknown = sorted(fields.keys() - self.widgets.keys())
        if unknown:
            raise ValueError(f"no control named {unknown}; there are {sorted(self.widgets)}")
        for name, value in fields.items():
            options = getattr(self.widgets[name], "options", None)
            if options is not None:
                _require_member(name, value, [o[1] if isinstance(o, tuple) else o for o in options])
        with self._one_change():
            for name, value in fields.items():
                self.widgets[name].value = value

    def reset(self) -> None:
        """Back to the defaults of the dataclass."""
        self.set(**self._defaults)

    def ranges(self) -> dict[str, tuple[object, ...]]:
        """For each field values worth a test: both ends and the middle of a slider, every option of a list."""
        return {name: tuple(dict.fromkeys(spec.samples)) for name, spec in self.specs.items()}

    def names(self) -> dict[str, str]:
        """CSS class of each widget → its accessible name."""
        return {css_class(name): spec.name for name, spec in self.specs.items()}

    @contextmanager
    def muted(self) -> Iterator[None]:
        """No callbacks inside."""
        before, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = before

    @contextmanager
    def _one_change(self) -> Iterator[None]:
        before = [widget.value for widget in self.widgets.values()]
        with self.muted():
            yield
        if before != [widget.value for widget in self.widgets.values()]:
            self._notify()

    def _notify(self) -> None:
        if not self._muted:
            for callback in self._callbacks:
                callback()


def css_class(field: str) -> str:
    """The CSS class by which the page finds a field's widget."""
    return f"gmrl-control-{field}"


def _field(
    default: V,
    label: str,
    help: str,
    samples: Sequence[object],
    widget: type[widgets.DOMWidget],
    bounds: tuple[float, float] | None = None,
    **options: object,
) -> V:
    def build() -> widgets.DOMWidget:
        return widget(value=default, description=spec.caption, description_allow_html=True, **options)

    spec = Control(label, help, build, tuple(samples), bounds)
    return dataclasses.field(default=default, metadata={"control": spec})


def _require_member(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(_readout, allowed))}; got {value!r}")


def _readout(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
