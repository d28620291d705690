"""Survey: people rate pictures blind, from 0 to 10, in English or Russian, with mouse, finger or keyboard.

    python -m labkit survey new songs out/sweep          # a survey of a sweep's pictures
    python apps/survey.py --survey songs [--results] [--store URL] [--share --auth USER:PASSWORD] [--help]

`--results` adds the organiser's page and serves this machine only. In the studio, the environment variables LABKIT_SURVEY
and LABKIT_SURVEY_STORE say which survey its tab shows; unless named, it is the newest one.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr
from gradio.context import Context

from labkit.survey.consent import AGE_BANDS, GENDERS
from labkit.survey.report import export
from labkit.survey.results import results, settings_of
from labkit.survey.session import DEFAULT_STORE, Screen, Visits, names_of, open_store
from labkit.survey.words import LANGUAGES, WORDS, choices, language_of
from labkit.views.gradio import app
from labkit.views.gradio.app import LOCAL, LOCAL_HOSTS, PRIVATE, Limits
from labkit.views.gradio.markup import notices_html
from labkit.views.gradio.markup import shown as rounded
from labkit.views.gradio.survey_stage import CSS, SCRIPT, consent_html, stage_html

TITLE, PLACE, SHOWS = "Survey", 7, ()
QUICK = {"queue": False, "show_progress": "hidden", **PRIVATE}  # a vote waits behind nothing


def visits_of(url: str | None = None, name: str | None = None) -> Visits | None:
    """The survey to show: `name`, or the newest one; None where there is none yet. Raises ValueError on an unknown name."""
    store = open_store(url or os.environ.get("LABKIT_SURVEY_STORE") or DEFAULT_STORE)
    name = name or os.environ.get("LABKIT_SURVEY") or None
    there = [row[0] for row in names_of(store)] if store else []
    if name and name not in there:
        raise ValueError(f"survey={name!r}: there is none of this name in the store; there is {', '.join(there) or 'none'}")
    return Visits(store, name or there[0]) if there else None


def said_html(note: str, language: str) -> str:
    """A note above everything; "" where there is none."""
    return f'<div class="lk-said" role="status">{WORDS[language][note]}</div>' if note else ""


def thanks_html(total: int, language: str) -> str:
    """The last page."""
    words = WORDS[language]
    return f"<h2>{words['thanks']}</h2><p>{words['thanks_more'].format(total=total)}</p>"


def storage_key(visits: Visits) -> str:
    """Under which a browser keeps the rater's token: one per survey, and no word of its name."""
    return "labkit-survey-" + hashlib.sha256(f"{visits.store.engine.url}\0{visits.name}".encode()).hexdigest()[:16]


def panel(lab, limits: Limits, visits: Visits | None = None) -> None:
    """The rater's components and events, in the surrounding layout. The lab is not needed: the pictures are made."""
    gr.HTML(f"<style>{CSS}</style>", padding=False)
    try:
        visits = visits or visits_of()
    except ValueError as error:  # the studio's other tabs go on
        gr.HTML(notices_html([str(error)]))
        return
    if visits is None:
        for language in LANGUAGES:
            gr.HTML(said_html("none", language))
        return
    key, en = storage_key(visits), WORDS["en"]
    # the secret only scrambles what lies in the rater's own browser; were it random, a restart would forget everybody
    saved = gr.BrowserState({"token": None, "language": None}, storage_key=key, secret=key[-16:])
    with gr.Column(elem_classes="lk-survey"):
        language = gr.Radio([(name, code) for code, name in LANGUAGES.items()], value="en", show_label=False, container=False,
                            elem_id="survey-language")
        said = gr.HTML(elem_id="survey-said")
        with gr.Column(visible=False) as welcome:
            title, consent = gr.HTML(elem_id="survey-title"), gr.HTML(elem_id="survey-consent")
            with gr.Row():
                age = gr.Dropdown(choices("en", AGE_BANDS), value="", label=en["age"], filterable=False, min_width=200,
                                  elem_id="survey-age")
                gender = gr.Dropdown(choices("en", GENDERS), value="", label=en["gender"], filterable=False, min_width=200,
                                     elem_id="survey-gender")
            begin = gr.Button(en["begin"], variant="primary", elem_id="survey-begin")
            with gr.Accordion(en["have_code"], open=False, elem_id="survey-return") as have:
                typed = gr.Textbox(label=en["code_ask"], max_length=64, elem_id="survey-typed")
                enter = gr.Button(en["code_go"], elem_id="survey-enter")
        stage = gr.HTML(js_on_load=SCRIPT, visible=False, elem_id="survey-stage")
        with gr.Column(visible=False) as done:
            thanks = gr.HTML(elem_id="survey-thanks")
            again = gr.Button(en["again"], elem_id="survey-again")
        with gr.Accordion(en["code"], open=False, visible=False, elem_id="survey-code-box") as leave:
            code = gr.Textbox(label=en["code_label"], info=en["code_info"], interactive=False, buttons=["copy"],
                              elem_id="survey-code")
            withdraw = gr.Button(en["withdraw"], variant="stop", size="sm", elem_id="survey-withdraw")
            with gr.Column(visible=False) as asking:
                sure = gr.HTML(en["sure"])
                with gr.Row():
                    yes = gr.Button(en["yes"], variant="stop", size="sm", elem_id="survey-yes")
                    no = gr.Button(en["no"], size="sm", elem_id="survey-no")

    def worded(lang: str) -> dict:
        """Everything that reads differently in another language, the stage left out: component → what changes."""
        w = WORDS[lang]
        return {
            title: {"value": f"<h2>{w['title']}</h2>"}, consent: {"value": consent_html(visits.texts[lang])},
            age: {"label": w["age"], "info": w["optional"], "choices": choices(lang, AGE_BANDS)},
            gender: {"label": w["gender"], "info": w["optional"], "choices": choices(lang, GENDERS)},
            begin: {"value": w["begin"]}, have: {"label": w["have_code"]}, typed: {"label": w["code_ask"]},
            enter: {"value": w["code_go"]}, again: {"value": w["again"]}, thanks: {"value": thanks_html(visits.total, lang)},
            leave: {"label": w["code"]}, code: {"label": w["code_label"], "info": w["code_info"]},
            withdraw: {"value": w["withdraw"]}, sure: {"value": w["sure"]}, yes: {"value": w["yes"]}, no: {"value": w["no"]},
        }  # fmt: skip

    def shown(screen: Screen, lang: str, words: bool = False) -> dict:
        """What changes on the page for a screen; with `words` the language, too."""
        changes = worded(lang) if words else {}
        now = {
            said: {"value": said_html(screen.note, lang)}, welcome: {"visible": screen.name == "welcome"},
            stage: {"value": stage_html(screen, lang), "visible": screen.name == "rate"}, typed: {"value": ""},
            done: {"visible": screen.name == "done"}, leave: {"visible": screen.token is not None},
            code: {"value": screen.token or ""}, asking: {"visible": False},
        }  # fmt: skip
        for component, options in now.items():
            changes[component] = changes.get(component, {}) | options
        changed = {component: gr.update(**options) for component, options in changes.items()}
        return changed | {saved: {"token": screen.token, "language": lang}}

    outputs = [*worded("en"), saved, said, welcome, done, stage, asking, language]

    def arrive(kept: dict, request: gr.Request):
        lang = kept.get("language")
        lang = lang if lang in LANGUAGES else language_of(request.headers.get("accept-language"))
        return shown(visits.arrive(kept.get("token")), lang, words=True) | {language: lang}

    def speak(kept: dict, lang: str):
        return shown(visits.arrive(kept.get("token")), lang, words=True)

    def start(lang: str, age_band: str, sex: str):
        return shown(visits.begin(lang, age_band, sex), lang)

    def act(kept: dict, lang: str, event: gr.EventData):
        data = event._data if isinstance(event._data, dict) else {}
        token, position = kept.get("token"), data.get("position")
        if data.get("act") == "vote":
            return shown(visits.vote(token, position, data.get("rating")), lang)
        return shown(visits.back(token, position) if data.get("act") == "back" else visits.arrive(token), lang)

    once = {"trigger_mode": "once", **QUICK}
    Context.root_block.load(arrive, saved, outputs, **QUICK)
    language.input(speak, [saved, language], outputs, **QUICK)
    begin.click(start, [language, age, gender], outputs, **once)
    gr.on([enter.click, typed.submit], lambda text, lang: shown(visits.arrive(text.strip()), lang), [typed, language], outputs,
          **once)
    stage.click(act, [saved, language], outputs, **once)
    again.click(lambda kept, lang: shown(visits.back(kept.get("token")), lang), [saved, language], outputs, **once)
    withdraw.click(lambda: gr.update(visible=True), None, asking, **QUICK)
    no.click(lambda: gr.update(visible=False), None, asking, **QUICK)
    yes.click(lambda kept, lang: shown(visits.withdraw(kept.get("token")), lang), [saved, language], outputs, **once)


def organiser(visits: Visits, tab: gr.Tab) -> None:
    """The organiser's components and events in a tab: progress, statistics, charts, downloads."""
    store, name = visits.store, visits.name
    folder = Path(tempfile.mkdtemp(prefix="labkit-survey-"))
    settings = settings_of(store, name)
    with gr.Row():
        by = gr.Dropdown(settings, value=settings[0] if settings else None, label="Compare by", filterable=False,
                         interactive=len(settings) > 1, elem_id="results-by")
        tongue = gr.Radio([(word, code) for code, word in LANGUAGES.items()], value="en", label="Charts in")
        fresh = gr.Button("Count again", variant="primary", elem_id="results-fresh")
    counted, lines = gr.HTML(elem_id="results-counted"), gr.HTML(elem_id="results-lines")
    means, ranking = (gr.Image(show_label=False, format="png", interactive=False, elem_id=f"results-{kind}",
                               buttons=["download", "fullscreen"]) for kind in ("means", "ranking"))  # fmt: skip
    table = gr.Dataframe(interactive=False, show_label=False, wrap=True, elem_id="results-table",
                         column_widths=[110, 260, *[80] * 11])
    with gr.Row():
        csv = gr.DownloadButton("Votes as CSV", elem_id="results-csv")
        as_json = gr.DownloadButton("Votes as JSON", elem_id="results-json")

    def count(setting: str | None, lang: str):
        with app.plain_errors():
            found = results(store, name, setting or None, lang)
        drawn = {}
        for kind, figure in found.figures.items():
            figure.savefig(folder / f"{kind}.png", dpi=130)
            drawn[kind] = str(folder / f"{kind}.png")
        files = [str(export(store, name, folder / f"votes.{ending}")) for ending in ("csv", "json")]
        numbers = ", ".join(f"{n} {what}" for what, n in found.progress.items())
        told = "".join(f"<li>{html.escape(line)}</li>" for line in found.lines)
        return (f"<h2>{html.escape(name)}</h2><p>{numbers}</p>", f"<ul>{told}</ul>", drawn.get("means"), drawn.get("ranking"),
                rounded(found.table).reset_index(), *files)

    outputs = [counted, lines, means, ranking, table, csv, as_json]
    for listen in (tab.select, fresh.click, by.input, tongue.input):
        listen(count, [by, tongue], outputs, concurrency_limit=1, concurrency_id="results", **PRIVATE)


def build(lab=None, limits: Limits = LOCAL, visits: Visits | None = None, with_results: bool = False) -> gr.Blocks:
    """The page alone; `with_results` adds the organiser's."""
    with app.blocks("labkit: survey") as demo:
        if not with_results or visits is None:
            panel(lab, limits, visits)
        else:
            with gr.Tabs():
                with gr.Tab("Rate"):
                    panel(lab, limits, visits)
                with gr.Tab("Results") as tab:
                    organiser(visits, tab)
    return demo


def main(argv: list[str] | None = None) -> None:
    """Serve the page until it is interrupted. Exits with a message on what is not there or not safe."""
    argv = sys.argv[1:] if argv is None else argv
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--survey", metavar="NAME", help="which survey; unless given, the newest one of the store")
    own.add_argument("--store", metavar="URL", help=f"its database; {DEFAULT_STORE} unless given")
    own.add_argument("--results", action="store_true", help="also the organiser's page; on this machine only")
    whole = argparse.ArgumentParser(parents=[app.parser(), own], conflict_handler="resolve", description="Rate pictures.")
    args = whole.parse_args(argv)
    if args.results and (args.share or args.host not in LOCAL_HOSTS):
        whole.error("--results: shows every vote, so it serves this machine only; start a second page without it for raters")
    try:
        visits = visits_of(args.store, args.survey)
    except ValueError as error:
        whole.error(f"--{error}")
    app.main(partial(build, visits=visits, with_results=args.results), own.parse_known_args(argv)[1])


if __name__ == "__main__":
    main()
