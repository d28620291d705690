"""Lyrics: a song in, its phrases that make a picture with reasons, and a picture of each by guided diffusion.

    python apps/lyrics.py [--share --auth USER:PASSWORD] [--help]

Russian phrases need an English prompt, from the glossary or by hand: nothing is translated in silence.
"""

from __future__ import annotations

import base64
import html
import secrets
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from labkit.lyrics import KeyPhrases, KeyPhrasesResult, examples
from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.runs.status import duration
from labkit.spec import SpecError
from labkit.views.controls import build as build_spec
from labkit.views.controls import fields, value
from labkit.views.gradio import app, batch
from labkit.views.gradio.app import COMPUTE, LOCAL, PRIVATE, Limits
from labkit.views.gradio.markup import drawn, header, line_html, notices_html, shown
from labkit.views.gradio.measure import computed
from labkit.views.gradio.page import EVERY_S
from labkit.views.gradio.runs import line_here, wire
from labkit.views.gradio.workbench import UNTICK

TITLE, PLACE, SHOWS = "Lyrics", 6, (KeyPhrases,)

LONGEST = 8000  # characters of a song: four long pages
MOST = 12  # phrases: as many rows wait on the page
READY = 3  # phrases that are chosen to begin with
STRENGTHS = {"0 (unguided)": 0.0, "0.5": 0.5, "1": 1.0, "2.5": 2.5, "5": 5.0}
CONTROLS = {control.name: control for control in fields(KeyPhrases)}
PICTURE = {control.name: control for control in fields(GuidedDiffusion)}
LABELS = {"language": "Language", "n": "Phrases", "diversity": "Diversity", "most_words": "Words of a phrase",
          "morphology": "Russian words by", "weights__concreteness": "Concreteness", "weights__repetition": "Repetition",
          "weights__picturability": "Picturability", "weights__overlap": "Overlap", "steps": "Steps", "seed": "Seed"}
WEIGHTS = tuple(name for name in CONTROLS if name.startswith("weights__"))
TERMS = {
    "Concreteness": "How much its words name what can be seen or touched, by lists of rated words.",
    "Repetition": "In how many lines it is sung; a repeated line counts every time.",
    "Picturability": "How much nearer to pictures than to abstract sentences CLIP puts it, where CLIP knows its words.",
    "Overlap": "Counts against it: how far it is only a piece of a longer phrase.",
}
READING = ("language", "n", "diversity", "most_words", "morphology", *WEIGHTS)


def phrases_of(lab, values: dict) -> KeyPhrasesResult:
    """The phrases of a song, by what the controls say. Raises `SpecError` on what is out of bounds."""
    if len(values["text"] or "") > LONGEST:
        raise SpecError(f"text: this app reads songs of at most {LONGEST:,} characters; got {len(values['text']):,}")
    spec = build_spec(KeyPhrases, values)
    if spec.n > MOST:
        raise SpecError(f"n: this app shows at most {MOST} phrases; got {spec.n}")
    return computed(spec, lab)


def why_html(result: KeyPhrasesResult, at: int) -> str:
    """The score of a phrase as a sum, where in the song it stands, and notes."""
    p = result.phrases[at]
    where = ("line " if len(p.numbers) == 1 else "lines ") + ", ".join(map(str, p.numbers[:6])) + " …" * (len(p.numbers) > 6)
    notes = "".join(f"<div><small>{html.escape(note)}</small></div>" for note in p.notes)
    return (f'<div class="lk-why"><div><b>{p.score(result.weights):.2f}</b> = {html.escape(result.why(p)) or "0"}</div>'
            f"<div><q>{html.escape(p.line)}</q> <small>{where}</small></div>{notes}</div>")


def terms_html() -> str:
    """What a score is made of, for who has not asked for one yet."""
    terms = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in TERMS.items())
    return f'<h2 class="lk-part">What makes a phrase a picture?</h2><dl class="lk-terms">{terms}</dl>'


def cards_html(shelf: list[batch.Made]) -> str:
    """The finished pictures, each with its label below it; saved from here, each still has its recipe."""
    cards = []
    for m in shelf:
        first, *others = map(html.escape, m.label)
        lines = f"<div><b>{first}</b></div>" + "".join(f"<div>{line}</div>" for line in others)
        uri = base64.b64encode(m.png).decode()
        cards.append(f'<figure><img src="data:image/png;base64,{uri}" alt="{first}">'
                     f"<figcaption>{lines}</figcaption></figure>")
    return f'<div class="lk-cards">{"".join(cards)}</div>' if cards else ""


def panel(lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    songs, made, queue = list(examples().values()), {}, line_here()
    most = batch.PICTURES.get(limits.name, min(batch.PICTURES.values()))
    small = lab.draws_with_pocket(GuidedDiffusion.needs)

    def put(name: str, controls: dict = CONTROLS, **options) -> None:
        made[name] = app.component(controls[name], limits, **{"label": LABELS[name], "elem_id": f"lyrics-{name}"} | options)

    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            text = gr.Textbox(examples()["twinkle"].text, label="Song", lines=12, max_lines=16, max_length=LONGEST,
                              info="A line of the song per line; English or Russian", elem_id="lyrics-text")
            gr.Examples([[song.text] for song in songs], [text], label="Public-domain songs", cache_examples=False,
                        example_labels=[f"{song.title} · {song.by}" for song in songs], api_visibility="private")
            with gr.Row():
                put("n", maximum=MOST, info=None, min_width=150)
                put("language", info=None, min_width=150)
            find = gr.Button("Find phrases", variant="primary", elem_id="lyrics-find")
            sought = gr.HTML(elem_id="lyrics-sought", elem_classes="lk-hollow")
            with gr.Accordion("What counts", open=False):
                for pair in (WEIGHTS[:2], WEIGHTS[2:], ("diversity", "most_words")):
                    with gr.Row():
                        for name in pair:
                            put(name, min_width=150)
                put("morphology")
        with gr.Column(scale=6, min_width=320):
            terms = gr.HTML(terms_html())
            figure = gr.Image(visible=False, show_label=False, format="png", interactive=False, elem_id="lyrics-bars",
                              buttons=["download", "fullscreen"])
            said = gr.HTML(elem_id="lyrics-said", elem_classes="lk-hollow")
    rows, found = [], gr.State(())
    with gr.Column(visible=False) as phrases_box:
        gr.HTML('<h2 class="lk-part">Phrases</h2><p class="lk-note">Choose, and change the English prompts as you like.</p>')
        for k in range(MOST):
            with gr.Row(visible=False, elem_classes="lk-phrase") as row:
                use = gr.Checkbox(label="phrase", elem_id=f"lyrics-use-{k}", scale=2, min_width=150, container=False)
                prompt = gr.Textbox(placeholder="no English prompt: left out", show_label=False, container=False, max_lines=1,
                                    max_length=300, elem_id=f"lyrics-prompt-{k}", scale=3, min_width=180)
                why = gr.HTML(elem_id=f"lyrics-why-{k}")
            rows.append((row, use, prompt, why))
        with gr.Accordion("All numbers", open=False):
            table = gr.Dataframe(interactive=False, show_label=False, wrap=True, elem_id="lyrics-table",
                                 column_widths=[60, 160, 160, 80, 130, 110, 120, 90, 70, 110, 240, 170, 300, 260])
    with gr.Row(visible=False, equal_height=False) as pictures_box:
        with gr.Column(scale=5, min_width=300):
            gr.HTML('<h2 class="lk-part">Pictures</h2>')
            strengths = gr.CheckboxGroup(list(STRENGTHS.items()), value=[PICTURE["guidance__strength"].default],
                                         label="Guidance strength",
                                         info=f"A picture for every phrase and strength, {most} in one go at most",
                                         elem_id="lyrics-strengths")
            with gr.Row(equal_height=True):
                put("seed", PICTURE, info=None, scale=1, min_width=130)
                fresh = gr.Checkbox(True, label="New seed each time", info="One for all pictures of a go",
                                    elem_id="lyrics-fresh", scale=1, min_width=150)
            put("steps", PICTURE, info=None)
            with gr.Row():
                run = gr.Button("Make pictures", variant="primary", elem_id="lyrics-run", scale=2, min_width=120)
                stop = gr.Button("Stop", variant="stop", elem_id="lyrics-stop", interactive=False, scale=1, min_width=80)
            line = gr.HTML(line_html("Ready."), elem_id="lyrics-status")
            notices = gr.HTML(elem_id="lyrics-notices", elem_classes="lk-hollow")
        with gr.Column(scale=6, min_width=300):
            picture = gr.Image(show_label=False, format="png", height=330, interactive=False, elem_id="lyrics-picture",
                               buttons=["fullscreen"], elem_classes=["lk-picture", *["lk-pixels"] * small])
    with gr.Column(visible=False) as made_box:
        cards = gr.HTML(elem_id="lyrics-cards", elem_classes=["lk-hollow", *["lk-pixels"] * small])
        with gr.Row():
            download = gr.DownloadButton("Download all (zip of PNGs with recipes)", interactive=False, elem_id="lyrics-zip")
            keep = gr.Button("Send to a survey", interactive=False, elem_id="lyrics-keep", visible=limits.name != "public")
        sent = gr.HTML(elem_id="lyrics-sent", elem_classes="lk-hollow")
    done, inputs = gr.State(()), [text, *(made[name] for name in READING)]

    def show_phrases(stopped, *values) -> dict:
        result = phrases_of(lab, dict(zip(("text", *READING), values, strict=True)))
        ready = [k for k, p in enumerate(result.phrases) if p.prompt][:READY]
        some = gr.update(visible=bool(result.phrases))
        now = {figure: gr.update(value=drawn(result.figure()), visible=True), terms: gr.update(visible=False),
               said: notices_html(result.notices), phrases_box: some, pictures_box: some,
               table: shown(result.table).reset_index(names="rank"),
               found: tuple(p.candidate.shown for p in result.phrases)}
        for k, (row, use, prompt, why) in enumerate(rows):
            if k < len(result.phrases):
                p = result.phrases[k]
                now |= {row: gr.update(visible=True), use: gr.update(label=f"{k + 1}. {p.candidate.shown}", value=k in ready),
                        prompt: p.prompt, why: why_html(result, k)}
            else:
                now |= {row: gr.update(visible=False), use: gr.update(value=False), prompt: "", why: ""}
        return now

    def phrases(text: str, language: str, n: int):
        """Find the phrases of a song that make a picture: a table with every term of their score, and notices.

        Args:
            text: The lyrics, a line of the song per line.
            language: auto, en or ru.
            n: How many phrases.
        """
        with app.plain_errors(), queue.turn():
            result = phrases_of(lab, {"text": text, "language": language, "n": n})
            return shown(result.table).reset_index(names="rank"), list(result.notices)

    def make(stopped, phrases: tuple, strong: list, seed: int, fresh_seed: bool, steps: int, *values):
        uses, prompts = values[:MOST], values[MOST:]
        started, shelf, sent_at, last = time.monotonic(), [], 0.0, None
        with tempfile.TemporaryDirectory(prefix="labkit-") as name:
            folder = Path(name)
            seed = secrets.randbelow(int(PICTURE["seed"].maximum) + 1) if fresh_seed else value(PICTURE["seed"], seed)
            steps = value(PICTURE["steps"], steps)
            limits.check({"steps": steps})
            chosen = [(phrase, prompts[k] or "") for k, phrase in enumerate(phrases) if uses[k]]
            jobs = batch.plan(chosen, strong, seed, steps, most)
            words = [f"{phrase}: left out, as it has no English prompt" for phrase, prompt in chosen if not prompt.strip()]
            yield {line: line_html("Loading models …"), notices: notices_html(words), made["seed"]: seed, sent: "",
                   cards: "", made_box: gr.update(visible=True), done: (), picture: None,
                   download: gr.update(value=None, interactive=False), keep: gr.update(interactive=False)}
            for now in batch.make(jobs, lab, limits.seconds, stopped, folder):
                job, note = jobs[now.k], f"picture {now.k + 1} of {len(jobs)}"
                if now.made:
                    shelf.append(now.made)
                elif now.ending and not now.result.interrupted and now.k + 1 < len(jobs):
                    words.append(f"{job.phrase}: {now.ending}")
                elif not now.ending and time.monotonic() - sent_at < EVERY_S:
                    continue
                sent_at, last = time.monotonic(), now
                share = (now.k + now.result.steps_done / max(1, now.result.n)) / len(jobs)
                doing = f"{job.spec.prompt} · strength {job.spec.guidance.strength:g}"
                yield {line: line_html(doing, share=share, note=note),
                       **({picture: now.result.image} if now.result.image is not None else {}),
                       **({cards: cards_html(shelf)} if now.made else {})}
            ending = last.ending if last and len(shelf) < len(jobs) else ""
            told = f"{len(shelf)} of {len(jobs)} pictures made in {duration(time.monotonic() - started)}"
            told += f"; {ending}" * bool(ending)
            yield {line: line_html(told, "ended" if ending else "done", len(shelf) / len(jobs), f"seed {seed}"),
                   notices: notices_html(words), done: tuple(shelf), keep: gr.update(interactive=len(shelf) > 1),
                   download: gr.update(value=str(batch.zipped(shelf, folder)) if shelf else None, interactive=bool(shelf))}

    def send(shelf: tuple) -> str:
        with app.plain_errors():
            folder, command = batch.kept(shelf)
        return (f'<div class="lk-note">{len(shelf)} pictures lie in <code>{html.escape(folder.as_posix())}</code>. This makes '
                f"a survey of them:<pre>{html.escape(command)}</pre></div>")

    quiet = {"show_progress": "hidden", **PRIVATE}
    parts = [component for row in rows for component in row]
    wire(find, show_phrases, inputs, [figure, terms, said, found, table, phrases_box, pictures_box, *parts], sought,
         show_progress="full", show_progress_on=[terms, figure])
    asked = [found, strengths, made["seed"], fresh, made["steps"], *(row[1] for row in rows), *(row[2] for row in rows)]
    wire(run, make, asked, [line, notices, made["seed"], sent, cards, made_box, done, picture, download, keep], line, stop)
    made["seed"].input(None, None, fresh, js=UNTICK, **PRIVATE)
    if limits.name != "public":  # there, visitors write nothing beyond Gradio's own cache
        keep.click(send, done, sent, **quiet)
    api, names, facts = gr.Button(visible=False), gr.Dataframe(visible=False), gr.JSON(visible=False)
    api.click(phrases, [text, made["language"], made["n"]], [names, facts], api_name="phrases", **COMPUTE)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with app.blocks("labkit: lyrics") as demo:
        header(lab, "Lyrics", "Paste a song, see which of its words make a picture and why, and make the pictures.")
        panel(lab, limits)
    return demo


if __name__ == "__main__":
    app.main(build)
