"""Notebook controls of a spec, by ipywidgets (7.7 and 8): `widgets` for any spec, `form` for a measure and its pictures.

    box, read = widgets(VQGANCLIP, ["prompt", "seed"]); box          # in the next cell: show(read(), lab)
    box, look = form(SimilarityMatrix); box                          # in the next cell: look(lab).figure()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
from PIL import Image

from labkit.image import open_upload
from labkit.spec import Measure, Spec, SpecError
from labkit.views.controls import SLIDER_STOPS, Control, build, chosen, other_arguments, pictures_argument


def widgets(spec_cls: type[Spec], names: Iterable[str] | None = None) -> tuple[Any, Callable[[], Spec]]:
    """Notebook controls: a box to display, and `read()`, which gives the spec as it is set (or raises `SpecError`).

    `names` chooses and orders the controls; the rest keep their defaults.
    """
    controls = chosen(spec_cls, names if names is None else list(names))
    made = {name: widget(control) for name, control in controls.items()}

    def read() -> Spec:
        return build(spec_cls, {name: value_of(controls[name], one) for name, one in made.items()})

    return ipywidgets.VBox(list(made.values())), read


def form(measure: type[Measure], names: Iterable[str] | None = None) -> tuple[Any, Callable[[Any], Any]]:
    """The controls of a measure, and where it looks at pictures a button that takes some: a box to display, and `look(lab)`,
    which computes what is set and returns the measure's result (or raises `SpecError`)."""
    if more := other_arguments(measure):
        raise SpecError(f"{measure.__name__}: needs {', '.join(more)} besides its fields; call compute(lab, …) yourself")
    box, read = widgets(measure, names)
    argument = pictures_argument(measure)
    upload = None
    if argument:
        upload = widget(Control(argument, argument, "images", description="Pictures to look at"))
        box.children = (*box.children, upload)

    def look(lab) -> Any:
        spec, given = read(), {}
        if upload is not None:
            given[argument] = uploads(upload)
            if not given[argument]:
                raise SpecError(f"{argument}: give at least one picture")
        lab.require(spec)
        return spec.compute(lab, **given)

    return box, look


def widget(control: Control) -> Any:
    """The widget of a control."""
    common = {
        "description": control.label, "description_tooltip": control.description, "style": {"description_width": "10em"},
        "layout": ipywidgets.Layout(width="34em"),
    }  # fmt: skip
    if int(ipywidgets.__version__.partition(".")[0]) >= 8:
        common["tooltip"] = common.pop("description_tooltip")
    if control.kind in ("image", "images"):
        common["style"] = {}  # a button's has no place for the width of a description
        return ipywidgets.FileUpload(accept="image/*", multiple=control.kind == "images", **common)
    if control.kind == "bool":
        return ipywidgets.Checkbox(value=bool(control.default), **common)
    if control.kind == "choice":
        options = [("none" if choice is None else str(choice), choice) for choice in control.choices]
        value = control.choices[0] if control.required else control.default
        return ipywidgets.Dropdown(options=options, value=value, **common)
    if control.kind == "texts":
        return ipywidgets.Textarea(value="\n".join(control.default or ()), placeholder="one per line", **common)
    if control.kind == "text":
        tall = (control.maximum or 0) > 200
        return (ipywidgets.Textarea if tall else ipywidgets.Text)(value=control.default or "", **common)
    if control.optional or control.default is None or None in (control.minimum, control.maximum):
        # as text: a number box of ipywidgets knows no empty value and cuts what is out of bounds without a word
        shown = "" if control.default is None else str(control.default)
        return ipywidgets.Text(value=shown, placeholder="empty: none" if control.optional else "a number", **common)
    if (control.maximum - control.minimum) / control.step > SLIDER_STOPS:
        return ipywidgets.Text(value=str(control.default), **common)
    bounds = {"min": control.minimum, "max": control.maximum, "step": control.step}
    if control.kind == "int":
        return ipywidgets.IntSlider(value=control.default, **bounds, **common)
    digits = max(0, -math.floor(math.log10(control.step) + 1e-9))
    return ipywidgets.FloatSlider(value=control.default, readout_format=f".{digits}f", **bounds, **common)


def value_of(control: Control, widget: Any) -> Any:
    """What a control's widget is set to; pictures as PIL images."""
    if control.kind == "images":
        return uploads(widget)
    if control.kind == "image":
        return next(iter(uploads(widget)), None)
    return widget.value


def uploads(widget: Any) -> list[Image.Image]:
    """The pictures of an upload button. Raises `ImageError` on a file that is none."""
    files = widget.value.values() if isinstance(widget.value, dict) else widget.value  # 7.7, then 8
    return [open_upload(bytes(file["content"])) for file in files]
