"""What the Gradio apps share: components made from a spec's controls, limits, a run as a stream, and a safe launch.

An app is a function `build(lab, limits) -> gr.Blocks`; `main(build)` parses a command line and serves it on this machine
only. A public link needs a password, and a link or another host switch to the public limits.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from abc import ABCMeta
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr  # noqa: E402
import torch  # noqa: E402

from labkit.kinds import KINDS, Kind  # noqa: E402
from labkit.runs.result import Result, recipe_of  # noqa: E402
from labkit.runs.status import duration  # noqa: E402
from labkit.spec import Method, NonFiniteError, Precision, SpecError, Step  # noqa: E402
from labkit.views.controls import SLIDER_STOPS, Control  # noqa: E402
from labkit.weights import WeightsError  # noqa: E402

# One queue for all that the API computes. The lowest limit of its members counts, so all of them give the same one.
COMPUTE = {"concurrency_id": "compute", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}
MAX_FILE = 10_000_000  # bytes of an upload
WIDE = 10_000  # of a float's range: a wider one is typed, not slid
MAX_QUEUE = 20  # visitors that wait; more are told to come back
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# What a visitor or their request did wrong, or what the machine lacks: told in words. Anything else is a fault of ours.
REFUSED = (ValueError, OSError, NonFiniteError, WeightsError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for. `caps` lowers the upper bounds of fields by their own name, wherever they are nested; a
    run ends after `seconds`."""

    name: str
    caps: dict[str, float]
    seconds: float

    def cap(self, control: str) -> float | None:
        """The cap of a control, `canvas__width`; None where there is none."""
        return self.caps.get(control.rpartition("__")[2])

    def check(self, values: dict[str, Any]) -> None:
        """Raises `SpecError` for a value over its cap. Values are flat, as the controls give them."""
        for name, value in values.items():
            cap = self.cap(name)
            if cap is not None and isinstance(value, int | float) and value > cap:
                raise SpecError(f"{name}: this app allows at most {cap:g}; got {value:g}. A notebook has no such cap")


LOCAL = Limits("local", {"steps": 2000, "width": 768, "height": 768}, 900)
PUBLIC = Limits("public", {"steps": 300, "width": 128, "height": 128, "cutn": 64, "count": 4}, 180)
PROFILES = {limits.name: limits for limits in (LOCAL, PUBLIC)}


def component(control: Control, limits: Limits, **options: Any) -> gr.components.Component:
    """The component of a control: bounds and default are the spec's, `options` are for layout (label, info, …).

    It hands on what was typed: the spec checks it, and says what is wrong in its own words.
    """
    made = _component(control, limits, **options)
    if control.kind not in ("text", "images"):
        made.__class__ = unread(type(made))
    return made


@cache
def unread(kind: type[gr.components.Component]) -> type[gr.components.Component]:
    """The components of a kind, which hand on what the browser gave: of a picture its file, which `open_upload` opens and
    nothing before. A class and no attribute, as Gradio makes a component anew for a visitor whenever an event passes it by."""
    def preprocess(self, payload):
        return payload and payload.path if isinstance(self, gr.Image) else payload

    # Of the same name, by which the browser knows it; past Gradio's metaclass, which writes a .pyi beside a class's source.
    return ABCMeta.__new__(type(kind), kind.__name__, (kind,), {"preprocess": preprocess, "__module__": __name__})


def _component(control: Control, limits: Limits, **options: Any) -> gr.components.Component:
    options = {"label": control.label, "info": control.description, "elem_id": f"control-{control.name}",
               "value": control.default} | options  # fmt: skip
    if control.kind == "text":
        return gr.Textbox(max_length=control.maximum, **options)
    if control.kind == "texts":
        options["value"] = "\n".join(control.default or ())
        return gr.Textbox(**{"lines": 4, "max_lines": 12, "placeholder": "one per line"} | options)
    if control.kind == "bool":
        return gr.Checkbox(**options)
    if control.kind == "choice":
        choices = [("none" if c is None else str(c), c) for c in control.choices]
        if control.required:
            options["value"] = control.choices[0]
        return gr.Dropdown(choices=choices, filterable=False, **options)
    if control.kind in ("image", "images"):
        options.pop("info")
        if control.kind == "images":
            return gr.Gallery(**{"type": "filepath", "format": "png", "columns": 3, "interactive": True} | options)
        return gr.Image(type="filepath", image_mode=None, format="png", sources=["upload", "clipboard"], **options)
    low, top, cap = control.minimum, control.maximum, limits.cap(control.name)
    if control.required and options["value"] is None:
        options["value"] = low
    if top is not None and cap is not None:
        top = min(top, cap)
        options["value"] = options["value"] and min(options["value"], top)
    options = {"step": control.step, "minimum": low, "maximum": top} | options
    if control.kind == "int":
        options["precision"] = 0
    stops = max(SLIDER_STOPS, cap or 0)
    wide = control.kind == "float" and None not in (low, top) and top - low > WIDE
    if control.optional or wide:  # a slider cannot be empty, and over many orders of magnitude not be set near its lower end
        options["step"] = min(options["step"], 1)
        return gr.Number(placeholder="none" if control.optional else None, **options)
    if None in (low, top, options["value"]) or (top - low) / options["step"] > stops:
        return gr.Number(**options)
    return gr.Slider(**options)


def fault(error: Exception) -> str | None:
    """What to tell a visitor of an error that is theirs or the machine's; None where it is a fault of ours."""
    if isinstance(error, gr.Error):
        return error.message
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory: choose a smaller canvas, or less at once"
    return (str(error) or type(error).__name__) if isinstance(error, REFUSED) else None


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """What a visitor did wrong becomes a message on the page, without a traceback; our own faults are raised."""
    try:
        yield
    except Exception as error:
        if (words := fault(error)) is None:
            raise
        raise gr.Error(words, print_exception=False, title="That does not work") from None


def stream(spec: Method, lab, seconds: float, stopped: Callable[[], bool] = lambda: False,
           clock: Callable[[], float] = time.monotonic) -> Iterator[tuple[Result, str, Step]]:
    """The `Result` so far after every step, in words why the run ends early ("" while it does not), and the step.

    It ends early when `stopped()`, when `seconds` are over or when numbers overflow, with the picture it has. Closing
    this generator closes the run.
    """
    lab.require(spec)
    result = Result(spec, recipe=recipe_of(spec, lab))
    steps, started = spec.run(lab), clock()
    try:
        for step in steps:
            result.seconds, ending = clock() - started, ""
            if not step.last and stopped():
                ending, result.interrupted = "stopped", True
            elif not step.last and result.seconds > seconds:
                ending = f"this app's time limit of {duration(seconds)} ended the run"
            result.add(replace(step, image=step.picture()) if ending else step)  # the step that is seen last, preview or not
            yield result, ending, step
            if ending:
                return
    except NonFiniteError as error:
        if error.last is None or error.last.image is None:
            raise SpecError(str(error)) from None
        result.image = error.last.image
        yield result, str(error), error.last
    except torch.OutOfMemoryError:
        if result.image is None:
            raise SpecError("out of memory before the first picture: choose a smaller canvas") from None
        yield result, "out of memory; the last picture is kept. A smaller canvas needs less", step
    finally:
        steps.close()


def blocks(title: str) -> gr.Blocks:
    """An empty page that asks nobody beyond this machine and forgets its files after a day."""
    return gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, 86400), fill_width=False)


def named_kinds() -> list[Kind]:
    """The kinds of models that a lab takes names for."""
    return [kind for kind in KINDS.values() if kind.help]


def parser() -> argparse.ArgumentParser:
    """The command line that all apps have."""
    p = argparse.ArgumentParser(description="A labkit app in the browser.")
    p.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), help="address to listen on")
    p.add_argument("--port", type=int, help="default: the first free one from 7860")
    p.add_argument("--share", action="store_true", help="a public link through Gradio's servers; needs --auth")
    p.add_argument("--auth", default=os.environ.get("LABKIT_AUTH"), metavar="USER:PASSWORD",
                   help="ask visitors for these (or set LABKIT_AUTH, which other users of this machine cannot see)")
    p.add_argument("--profile", choices=PROFILES, help="limits; default: local, or public when others can reach it")
    for kind in named_kinds():
        p.add_argument(f"--{kind.flag}", metavar="NAME", help=kind.help)
    p.add_argument("--precision", choices=get_args(Precision), default="auto",
                   help="auto: bf16 where the processor gains by it, else fp32")
    p.add_argument("--device", help="default: cuda where there is one")
    p.add_argument("--map", metavar="FILE.html", help="open this map of `labkit project` on the page Latents")
    p.add_argument("--folder", metavar="FOLDER", help="the pictures of --map, which go from there to methods")
    p.add_argument("--open", action="store_true", help="open a browser window")
    return p


def read_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments, with `auth` as a pair and `profile` settled. Exits with a message on what is not safe."""
    p = parser()
    args = p.parse_args(argv)
    if args.auth is not None:
        user, colon, password = args.auth.partition(":")
        if not (user and colon and password):
            p.error("--auth: give USER:PASSWORD, both not empty")
        args.auth = (user, password)
    if args.share and not args.auth:
        p.error("--share makes a link that anyone can open: give --auth USER:PASSWORD with it")
    if bool(args.map) != bool(args.folder):
        p.error("--map and --folder belong together: give the map and the folder that it was made of")
    if args.profile is None:
        args.profile = "public" if args.share or args.host not in LOCAL_HOSTS else "local"
    return args


def launch(demo: gr.Blocks, **options: Any):
    """Serve an app: this machine only, bounded uploads and queue, quiet footer. `options` go to `gr.Blocks.launch`."""
    from labkit.views.gradio.style import CSS, theme

    safe = {"server_name": "127.0.0.1", "share": False, "max_file_size": MAX_FILE, "show_error": False,
            "quiet": True, "footer_links": ["api", "gradio"],
            "run_history": False, "ssr_mode": False, "theme": theme(), "css": CSS}
    if options.get("share") and not options.get("auth"):
        raise SpecError("share: a public link needs auth=(user, password)")
    return demo.queue(max_size=MAX_QUEUE).launch(**safe | options)


def main(build: Callable[..., gr.Blocks], argv: list[str] | None = None) -> None:
    """Serve `build(lab, limits)` until it is interrupted."""
    from labkit.lab import Lab
    from labkit.views.gradio.opened import OpenedMap

    args = read_args(argv)
    if args.share:
        print("The link lasts about a week at best. Without it, the notebooks show the same controls.")
    try:
        names = {kind.name: getattr(args, kind.name) for kind in named_kinds()}
        lab = Lab(device=args.device, precision=args.precision, **names)
        OpenedMap.shown = OpenedMap.read(args.map, args.folder) if args.map else None
    except (SpecError, RuntimeError) as error:  # torch's own for a device that there is not
        parser().error(str(error).splitlines()[0])
    demo = build(lab, PROFILES[args.profile])
    _, local, link = launch(demo, server_name=args.host, server_port=args.port, share=args.share, auth=args.auth,
                            inbrowser=args.open, prevent_thread_lock=True)  # fmt: skip
    print(f"{demo.title}: {link or local}   limits: {args.profile}   Ctrl-C ends it", flush=True)
    demo.block_thread()
