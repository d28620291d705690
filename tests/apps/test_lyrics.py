"""Lyrics without a browser: phrases over the API, and pictures of them within limits, kept however a batch ends."""

import itertools
import shlex
import zipfile

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from apps import lyrics
from labkit.image import read_recipe
from labkit.lyrics import KeyPhrases
from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.spec import SpecError
from labkit.views.cli import main
from labkit.views.gradio import batch
from labkit.views.gradio.app import COMPUTE, LOCAL, PUBLIC, launch
from labkit.views.gradio.markup import line_html
from tests.apps.support import tiny_lab

SONG = "A red apple in the snow\nhallelujah, a ship on the sea\na ship on the sea\n"
CHOSEN = [("красное яблоко", "a red apple"), ("Hallelujah", "hallelujah"), ("пруточка", " ")]


@pytest.fixture(scope="module")
def lab():
    return tiny_lab()


@pytest.fixture(scope="module")
def demo(lab):
    demo = lyrics.build(lab, PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo
    demo.close()


def small(jobs):
    """The same jobs on a canvas that is quick to fill."""
    tiny = {"canvas__width": 16, "canvas__height": 16, "cutouts__cutn": 1, "preview_every": 1}
    return [batch.Job(job.phrase, job.spec.but(**tiny)) for job in jobs]


@pytest.fixture(scope="module")
def jobs():
    return small(batch.plan(CHOSEN, [2.0, 0.5], 7, 3, 12))


def run(jobs, lab, folder, seconds=1e9, stopped=lambda: False, **options):
    steps = list(batch.make(jobs, lab, seconds, stopped, folder, **options))
    return steps, [now.made for now in steps if now.made]


def test_phrases_over_the_api(demo):
    client = Client(demo.local_url, verbose=False)
    table, notices = client.predict(text=SONG, language="auto", n=3, api_name="/phrases")
    rows = [dict(zip(table["headers"], row, strict=True)) for row in table["data"]]
    assert [row["rank"] for row in rows] == [1, 2, 3] and notices
    assert {"phrase", "score", "concreteness", "repetition", "picturability", "overlap", "line", "note", "prompt"} <= {*rows[0]}
    for bad, said in (({"n": 13}, "12"), ({"text": "a ship\n" * 1500}, "8,?000"), ({"text": "..."}, "no words"),
                      ({"text": "Тиха ґрунтівка, їде він до міста, " * 9}, "English and Russian")):
        with pytest.raises(AppError, match=said) as caught:
            client.predict(**{"text": SONG, "language": "auto", "n": 3} | bad, api_name="/phrases")
        assert "Traceback" not in str(caught.value)


def test_the_limits_hold_without_the_components(lab):
    for bad in ({"n": 13}, {"text": "a ship\n" * 1500}):
        with pytest.raises(SpecError, match="at most"):
            lyrics.phrases_of(lab, {"text": SONG} | bad)


def test_what_the_api_computes_waits_in_the_one_queue(demo):
    heavy = [fn for fn in demo.fns.values() if fn.concurrency_id == COMPUTE["concurrency_id"]]
    assert len(heavy) == 1 and {fn.concurrency_limit for fn in heavy} == {1}


def test_why_is_a_sum_with_the_line_and_no_visitor_writes_html(lab):
    result = KeyPhrases(text="<b>a ship</b> on the sea\na ship").compute(lab)
    said = lyrics.why_html(result, 0)
    assert "× " in said and "concreteness" in said and "lines 1, 2" in said
    shelf = [batch.Made("a.png", b"png", ("<script>", "<i>", 'never seen "x"'))]
    assert "<b>a ship" not in said and "<script" not in lyrics.cards_html(shelf) and "<i>" not in lyrics.cards_html(shelf)
    assert "<script" not in line_html("<script>", note="<script>")


def test_a_plan_is_phrases_by_strengths_without_those_that_have_no_prompt(jobs):
    assert [(job.phrase, job.spec.prompt, job.spec.guidance.strength) for job in jobs] == [
        (phrase, prompt, s) for phrase, prompt in CHOSEN[:2] for s in (0.5, 2.0)]
    assert {job.spec.seed for job in jobs} == {7}


@pytest.mark.parametrize(("chosen", "strengths", "said"), [
    ([], [1.0], "choose at least one"), ([("дуб", "")], [1.0], "English prompt"), (CHOSEN, [], "strength"),
    (CHOSEN, [0.5, 1.0, 2.0], "2 phrases × 3 strengths are 6; this app makes 5"),
    ([("дуб", "a:1 | b:-1")], [1.0], "дуб: .*sum"),
])  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_in_words(chosen, strengths, said):
    with pytest.raises(SpecError, match=said):
        batch.plan(chosen, strengths, 0, 3, 5)


def test_pictures_know_their_phrase_and_say_what_the_model_has_never_seen(lab, jobs, tmp_path):
    steps, made = run(jobs, lab, tmp_path)
    assert len(steps) == 12 and [now.k for now in steps if now.made] == [0, 1, 2, 3]
    assert [m.name for m in made] == sorted(p.name for p in tmp_path.iterdir())
    assert all(m.name.isascii() and "apple" not in m.name and "allelujah" not in m.name for m in made)
    assert made[0].label[:2] == ("красное яблоко", "→ a red apple") and made[0].label[2].startswith("strength 0.5, CLIP ")
    assert made[2].label[0] == "Hallelujah" and "→" not in made[2].label[1], "its prompt is the same words"
    assert "never seen 'hallelujah'" in made[2].label[-1]
    for m, job in zip(made, jobs, strict=True):
        found = read_recipe(m.png)
        assert GuidedDiffusion(**found["spec"]) == job.spec and found["phrase"] == job.phrase and "clip" in found["scores"]


def test_stop_keeps_what_is_finished(lab, jobs, tmp_path):
    pressed = iter([False] * 4 + [True] * 99)  # between the first and second step of the second picture
    steps, made = run(jobs, lab, tmp_path, stopped=lambda: next(pressed))
    assert len(made) == 1 and steps[-1].ending == "stopped" and steps[-1].k == 1
    pressed = iter([False] * 2 + [True] * 99)  # between the first picture and the second
    steps, made = run(jobs, lab, tmp_path, stopped=lambda: next(pressed))
    assert len(made) == 1 and steps[-1].result.interrupted and steps[-1].result.n == 0
    again = run(jobs, lab, tmp_path, stopped=lambda: True)
    assert again[1] == [] and len(again[0]) == 1


def test_the_time_limit_is_that_of_all_pictures_together(lab, jobs, tmp_path):
    steps, made = run(jobs, lab, tmp_path, seconds=60, clock=itertools.count(0, 10).__next__)
    assert 1 <= len(made) < 4 and "time limit of 1 min" in steps[-1].ending


def test_a_picture_that_fails_is_passed_over_unless_it_is_the_first(lab, jobs, tmp_path):
    too_many = batch.Job("дуб", jobs[0].spec.but(steps=1000))  # more than the tiny model's
    steps, made = run([jobs[0], too_many, jobs[1]], lab, tmp_path)
    assert len(made) == 2 and "steps: 1000" in next(now.ending for now in steps if now.ending)
    with pytest.raises(SpecError, match="steps: 1000"):
        run([too_many, jobs[0]], lab, tmp_path)


def test_the_zip_and_the_survey_folder_hold_every_picture_and_the_command_works(lab, jobs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    _, made = run(jobs, lab, tmp_path / "run")
    with zipfile.ZipFile(batch.zipped(made, tmp_path)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {m.name: m.png for m in made}
    folder, command = batch.kept(made)
    assert folder.parts[:2] == ("out", "lyrics") and len(list(folder.iterdir())) == 4
    python, _, module, *args = shlex.split(command)
    assert (python, module) == ("python", "labkit") and main(args) == 0
    assert "4 pictures, 0 of them twice" in capsys.readouterr().out
    with pytest.raises(SpecError, match="too few"):
        batch.kept(made[:1])


def test_visitors_of_a_public_page_write_nothing_on_the_server(lab, demo):
    local = lyrics.build(lab, LOCAL)

    def senders(page):
        return [fn for fn in page.fns.values() if getattr(fn.fn, "__name__", "") == "send"]

    def button(page):
        return next(b for b in page.blocks.values() if getattr(b, "elem_id", None) == "lyrics-keep")

    assert senders(local) and not senders(demo)
    assert button(local).visible and not button(demo).visible
