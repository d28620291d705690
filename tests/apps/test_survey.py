"""The rating page without a browser: a rater's visit, what the page says, what is refused, the organiser's results."""

import base64
import io
import json
import re
from pathlib import Path

import gradio as gr
import pandas as pd
import pytest
from gradio.events import EventData
from PIL import Image

from apps import survey
from labkit.survey import Item, Plan, Store
from labkit.survey import results as survey_results
from labkit.survey.consent import AGE_BANDS, CONSENT, GENDERS
from labkit.survey.plan import png_without_metadata
from labkit.survey.report import demographics, history_of, progress, votes_of
from labkit.survey.results import results, settings_of
from labkit.survey.session import DEFAULT_STORE, Screen, Visits, names_of, open_store
from labkit.survey.words import ANSWERS, LANGUAGES, WORDS, choices, language_of
from labkit.views.gradio.app import PUBLIC
from labkit.views.gradio.survey_stage import LARGE, consent_html, data_url, stage_html

NASTY = '<img src=x onerror="alert(1)"> ${value} {{value}}'


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def pictures(n=8, prompts=4):
    """n pictures of `prompts` prompts, the later ones with another scale."""
    return [
        Item(f"p{k}", png_without_metadata(Image.new("RGB", (12, 12), (20 * k, 90, 120))), f"prompt {k % prompts}", k % 2,
             {"guidance__scale": 500 * (1 + k // prompts), "range": 50 * (1 + k // prompts)}, {"clip": k / 10})
        for k in range(n)
    ]  # fmt: skip


@pytest.fixture
def store(tmp_path, clock):
    store = Store(f"sqlite:///{tmp_path / 'survey.db'}", clock)
    yield store
    store.close()


@pytest.fixture
def visits(store):
    store.create("songs", Plan(repeats=1, gap=4, min_dwell=2), pictures())
    return Visits(store, "songs")


def finish(visits, clock, token, rate=lambda view: 5):
    """Rate all that is left; returns how many votes it took."""
    screen, n = visits.arrive(token), 0
    while screen.name == "rate":
        clock.now += 3
        screen, n = visits.vote(token, screen.view.position, rate(screen.view)), n + 1
    return n


# --- a rater's visit


def test_a_visit_from_welcome_to_thanks(visits, store, clock):
    assert visits.arrive() == Screen("welcome") and visits.total == 10
    screen = visits.begin("ru", "25-34", "")
    assert (screen.name, screen.view.position, screen.wait) == ("rate", 0, 2)
    clock.now += 2.5
    second = visits.vote(screen.token, 0, 7)
    assert (second.view.position, second.view.done, second.pending) == (1, 1, None)
    assert visits.arrive(screen.token).view.position == 1, "after a reload"
    assert finish(visits, clock, screen.token) == 9
    assert visits.arrive(screen.token).name == "done"
    assert progress(store, "songs") == {"raters": 1, "finished": 1, "votes": 10}
    assert store.rater(screen.token) and demographics(store, "songs", "age_band", least=1).to_dict() == {"25-34": 1}


def test_a_vote_too_soon_waits_and_is_not_lost(visits, store, clock):
    token = visits.begin("en").token
    clock.now += 0.5
    screen = visits.vote(token, 0, 9)
    assert (screen.name, screen.view.position, screen.pending) == ("rate", 0, 9) and screen.wait >= 1.5
    assert progress(store, "songs")["votes"] == 0
    page = stage_html(screen, "en")
    assert 'data-pending="9"' in page and f'data-wait="{screen.wait:.3f}"' in page and 'aria-pressed="true" class=on>9' in page
    clock.now += screen.wait  # what the page's script waits for
    assert visits.vote(token, 0, screen.pending).view.position == 1
    assert history_of(store, "songs")["rating"].tolist() == [9] or votes_of(store, "songs").empty  # attention item first


def test_back_changes_a_vote_and_returns(visits, store, clock):
    token = visits.begin("en").token
    for k in (3, 4, 5):
        clock.now += 3
        visits.vote(token, k - 3, k)
    back = visits.back(token, 3)
    assert (back.view.position, back.view.rating) == (2, 5)
    assert "Keep my 5" in stage_html(back, "en") and "Keep my" not in stage_html(visits.arrive(token), "en")
    back = visits.back(token, 2)
    clock.now += 3
    assert visits.vote(token, back.view.position, 10).view.position == 3, "back to where the rater was"
    assert visits.back(token, 0).view.position == 0, "there is none before the first"
    finish(visits, clock, token)
    assert visits.back(token).view.position == visits.total - 1, "from the thanks to the last picture"
    with store.reading() as connection:
        from labkit.survey.schema import votes

        rows = {row.position: (row.rating, row.revision) for row in connection.execute(votes.select())}
    assert rows[0] == (3, 1) and rows[1] == (10, 2) and rows[2] == (5, 1)


def test_withdrawing_deletes_and_says_so(visits, store, clock):
    token = visits.begin("en").token
    clock.now += 3
    visits.vote(token, 0, 5)
    assert visits.withdraw(token) == Screen("welcome", note="withdrawn")
    assert progress(store, "songs")["votes"] == 0
    assert visits.arrive(token) == Screen("welcome", note="unknown")


@pytest.mark.parametrize("token", ["no such code", "x" * 10_000, 7, ["a"], {"a": 1}])
def test_foreign_codes_lead_to_the_welcome(visits, token):
    for screen in (visits.arrive(token), visits.vote(token, 0, 5), visits.back(token, 1), visits.withdraw(token)):
        assert screen == Screen("welcome", note="unknown")


def test_a_code_of_another_survey_in_the_store_is_foreign(visits, store):
    store.create("other", Plan(repeats=0, attention=False), pictures(3))
    token = Visits(store, "other").begin("en").token
    assert visits.arrive(token).name == "welcome" and Visits(store, "other").arrive(token).name == "rate"
    assert visits.withdraw(token).name == "welcome" and progress(store, "other")["raters"] == 1


@pytest.mark.parametrize(("position", "rating"), [
    (0, 11), (0, -1), (0, "5"), (0, None), (0, True), (0, 5.0), ("0", 5), (None, 5), (99, 5), (-1, 5), (5, 5),
])  # fmt: skip
def test_what_is_no_vote_leads_to_the_picture_that_is_due(visits, store, clock, position, rating):
    token = visits.begin("en").token
    clock.now += 5
    screen = visits.vote(token, position, rating)
    assert (screen.name, screen.view.position) == ("rate", 0) and progress(store, "songs")["votes"] == 0


def test_a_survey_is_full_at_some_number(visits, monkeypatch):
    monkeypatch.setattr("labkit.survey.session.MOST_RATERS", 1)
    assert visits.begin("en").name == "rate" and visits.begin("en") == Screen("welcome", note="full")


def test_the_consent_that_is_stored_is_the_one_that_was_read(store):
    store.create("own", Plan(repeats=0), pictures(3), ["Our own text.\n\nSecond."])
    own = Visits(store, "own")
    assert own.texts == dict.fromkeys(LANGUAGES, "Our own text.\n\nSecond.") and own.begin("ru").name == "rate"
    store.create("ours", Plan(repeats=0), pictures(3))
    ours = Visits(store, "ours")
    assert ours.texts == CONSENT
    from labkit.survey.consent import version
    from labkit.survey.schema import raters

    ours.begin("ru"), ours.begin("en")
    with store.reading() as connection:
        found = connection.execute(raters.select().where(raters.c.survey == "ours").order_by(raters.c.order_row)).all()
    assert [row.consent for row in found] == [version(CONSENT["ru"]), version(CONSENT["en"])]


# --- what the page says


def test_both_languages_say_everything():
    assert set(WORDS) == set(LANGUAGES) == set(ANSWERS) == set(CONSENT)
    holes = {code: {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in table.items()} for code, table in WORDS.items()}
    assert holes["en"] == holes["ru"], "the same words with the same places to fill"
    assert not [k for k in WORDS["ru"] if WORDS["ru"][k] == WORDS["en"][k]]
    for code in LANGUAGES:
        assert [stored for _, stored in choices(code, GENDERS)] == ["", *GENDERS]
        assert set(ANSWERS[code]) == {"", *AGE_BANDS, *GENDERS}


@pytest.mark.parametrize(("header", "code"), [
    ("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("de-DE,de;q=0.9,ru;q=0.5", "ru"), ("en-GB", "en"), ("fr", "en"), ("", "en"),
    (None, "en"),
])  # fmt: skip
def test_the_browser_names_the_language(header, code):
    assert language_of(header) == code


def test_words_of_others_stay_words(store, clock):
    items = [Item(f"p{k}", png_without_metadata(Image.new("RGB", (8, 8))), NASTY) for k in range(3)]
    store.create(NASTY, Plan(repeats=0, attention=False), items)
    page = stage_html(Visits(store, NASTY).begin("en"), "en")
    assert "<img src=x" not in page and "${" not in page and "{{" not in page and "&lt;img src=x" in page
    assert "<b>" not in consent_html("<b>no</b>") and consent_html("a\n\nb").count("<p>") == 2
    assert NASTY not in survey.storage_key(Visits(store, NASTY)) and NASTY not in str(survey.build(None, visits=None).config)


def test_the_picture_is_blind(tmp_path, clock, store):
    """No name, no seed, no setting; a PNG of pixels only, the words only where there are some."""
    store.create("blind", Plan(repeats=1, gap=2, min_dwell=0), pictures(5))
    visits = Visits(store, "blind")
    screen, seen = visits.begin("en"), []
    token = screen.token
    while screen.name == "rate":
        page = stage_html(screen, "en")
        (png,) = re.findall(r"data:image/png;base64,([\w+/=]+)", page)
        with Image.open(io.BytesIO(base64.b64decode(png))) as image:
            assert not image.info and image.convert("RGB").tobytes() == screen.view.picture.tobytes()
        bare = page.replace(png, "")
        assert not re.search(r"\bp\d\b|attention|repeat|scale\b.{0,3}\d|500|seed", bare), bare
        seen.append("Words</small>" in page)
        screen = visits.vote(token, screen.view.position, 5)
    assert seen.count(False) == 1, "the attention item has no words, and nothing else tells it apart"


def test_large_pictures_are_sent_smaller_and_stay_whole():
    source = data_url(Image.new("RGB", (2 * LARGE, LARGE), "red"))
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert image.size == (LARGE, LARGE // 2)


def test_no_event_of_the_page_is_an_endpoint_and_votes_wait_behind_nothing(visits):
    demo = survey.build(None, PUBLIC, visits)
    assert demo.get_api_info()["named_endpoints"] == {}
    assert not [fn for fn in demo.fns.values() if fn.queue], "a queue refuses who is twenty-first"


def test_the_page_acts_on_what_the_script_sends(visits, store, clock):
    """The stage's events, as Gradio delivers them; the token comes from the browser and goes nowhere else."""
    demo = survey.build(None, PUBLIC, visits)
    (act,) = [fn.fn for fn in demo.fns.values() if getattr(fn.fn, "__name__", "") == "act"]
    token = visits.begin("en").token
    kept = {"token": token, "language": "en"}

    def said(data):
        changes = {getattr(c, "elem_id", None): v for c, v in act(kept, "en", EventData(None, data)).items()}
        return re.findall(r'data-position="(\d+)"', changes["survey-stage"]["value"]), changes

    clock.now += 3
    position, changes = said({"act": "vote", "position": 0, "rating": 4})
    assert position == ["1"] and token not in changes["survey-stage"]["value"]
    clock.now += 3
    assert said({"act": "vote", "position": 1, "rating": 6})[0] == ["2"]
    assert said({"act": "back", "position": 2})[0] == ["1"] and said({"act": "onward", "position": 1})[0] == ["2"]
    assert said({})[0] == said(None)[0] == said({"act": "vote"})[0] == ["2"]
    assert progress(store, "songs")["votes"] == 2


# --- which survey


def test_the_newest_survey_is_shown_unless_one_is_named(visits, store, clock, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'survey.db'}"
    clock.now += 60
    store.create("later", Plan(repeats=0), pictures(3))
    assert names_of(store) == [("later", 3, 0), ("songs", 8, 0)]
    assert survey.visits_of(url).name == "later" and survey.visits_of(url, "songs").name == "songs"
    monkeypatch.setenv("LABKIT_SURVEY_STORE", url)
    monkeypatch.setenv("LABKIT_SURVEY", "songs")
    assert survey.visits_of().name == "songs"
    with pytest.raises(ValueError, match="survey='nope'.*later, songs"):
        survey.visits_of(url, "nope")
    assert survey.storage_key(survey.visits_of(url, "songs")) != survey.storage_key(survey.visits_of(url, "later"))


def texts_of(demo):
    return " ".join(str(block.value) for block in demo.blocks.values() if isinstance(block, gr.HTML))


def test_without_a_survey_the_tab_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABKIT_SURVEY", raising=False)
    monkeypatch.delenv("LABKIT_SURVEY_STORE", raising=False)
    with gr.Blocks() as studio, gr.Tabs(), gr.Tab("Survey"):
        survey.panel(object(), PUBLIC)
    assert texts_of(studio).count("python -m labkit survey new NAME FOLDER") == len(LANGUAGES)
    assert not (tmp_path / "out").exists(), "looking makes no database"
    monkeypatch.setenv("LABKIT_SURVEY", "no<b>where")
    assert "no&lt;b&gt;where" in texts_of(survey.build()), "a wrong name is told, and nothing crashes"


def test_a_studio_tab_shows_the_survey(visits, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_SURVEY_STORE", f"sqlite:///{tmp_path / 'survey.db'}")
    monkeypatch.delenv("LABKIT_SURVEY", raising=False)
    with gr.Blocks() as studio, gr.Tabs(), gr.Tab("Survey"):
        survey.panel(object(), PUBLIC)
    assert "survey-begin" in {getattr(block, "elem_id", None) for block in studio.blocks.values()}


@pytest.mark.parametrize("bad", ["mysql://x/y", "sqlite://", "nonsense"])
def test_urls_that_are_none_are_refused_in_words(bad):
    with pytest.raises(ValueError, match="sqlite:///file.db"):
        open_store(bad)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "a.db").write_text("no database, but longer than the header of one" * 50)
    with pytest.raises(ValueError, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path / 'a.db'}")
    assert open_store(f"sqlite:///{tmp_path / 'none.db'}") is None and DEFAULT_STORE.startswith("sqlite:///")


@pytest.mark.parametrize("open_to_others", [["--host", "0.0.0.0"], ["--share", "--auth", "a:b"]])
def test_results_are_never_public(open_to_others, capsys):
    with pytest.raises(SystemExit) as end:
        survey.main(["--results", *open_to_others])
    assert end.value.code == 2 and "this machine only" in capsys.readouterr().err


def test_a_survey_that_is_not_there_ends_the_page_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        survey.main(["--survey", "nope"])
    assert end.value.code == 2 and "survey='nope'" in capsys.readouterr().err


# --- the organiser's results


def rated(visits, clock, raters=6):
    """Raters who like the scale of 1000 better by 3 and agree otherwise; seeded by their number."""
    keys = {item.png: item for item in pictures()}
    for r in range(raters):
        def rate(view, r=r):
            item = keys.get(png_without_metadata(view.picture))
            if item is None:
                return 2  # what the attention item of a plan with seed 0 asks for
            return 2 + 3 * (item.settings["guidance__scale"] == 1000) + (int(item.key[1:]) + r) % 2

        finish(visits, clock, visits.begin("en").token, rate)


def test_results_find_what_was_put_in(visits, store, clock):
    rated(visits, clock)
    assert settings_of(store, "songs") == ["guidance__scale", "range", "seed"]
    found = results(store, "songs", draws=200)
    assert found.by == "guidance__scale" and set(found.figures) == {"means", "ranking"}
    assert found.table.loc["p4", "mean"] - found.table.loc["p0", "mean"] == pytest.approx(3)
    assert found.table["n"].tolist() == [6] * 8 and found.progress == {"raters": 6, "finished": 6, "votes": 60}
    said = "\n".join(found.lines)
    assert "Attention item: 6 of 6" in said and "Hidden repeats: " in said and "Krippendorff" in said
    assert "scale 1000 − scale 500: +3.00" in said and "the interval of scale 1000, from" in said
    assert "Careful: range changed together with guidance.scale" in said
    assert "Rank correlation with clip: +0." in said
    with pytest.raises(ValueError, match="by='nope'.*guidance__scale"):
        results(store, "songs", "nope")


def test_settings_of_different_prompts_are_not_compared(store, clock):
    items = pictures(8, 4)
    alone = [Item(i.key, i.png, f"prompt {i.key}", i.seed, i.settings) for i in items]
    store.create("songs", Plan(repeats=1, gap=4, min_dwell=0), alone)
    rated(Visits(store, "songs"), clock)
    found = results(store, "songs", draws=200)
    assert "so they are not compared" in "\n".join(found.lines) and set(found.figures) == {"means"}


def test_results_before_anybody_has_voted(visits, clock):
    found = results(visits.store, "songs")
    assert found.lines[-1] == "No attentive rater has voted yet" and found.figures == {} and len(found.table) == 8
    token = visits.begin("en").token
    clock.now += 3
    visits.vote(token, 0, 5)
    clock.now += 3
    visits.vote(token, 1, 5)
    assert survey_results.results(visits.store, "songs", draws=200).progress["votes"] == 2


def test_the_results_tab_is_built_only_when_asked(visits, clock):
    rated(visits, clock, 3)
    plain, full = survey.build(None, PUBLIC, visits), survey.build(None, PUBLIC, visits, with_results=True)
    ids = [{getattr(b, "elem_id", None) for b in demo.blocks.values()} for demo in (plain, full)]
    assert "results-table" in ids[1] and not [i for i in ids[0] if i and i.startswith("results")]
    (count,) = {fn.fn for fn in full.fns.values() if getattr(fn.fn, "__name__", "") == "count"}
    counted, lines, means, ranking, table, csv, as_json = count("guidance__scale", "ru")
    assert "3 raters" in counted and "<li>" in lines and len(table) == 8 and "guidance__scale" not in csv
    for path in (means, ranking):
        with Image.open(path) as chart:
            assert chart.width > 400
    assert len(pd.read_csv(csv)) == 27 == len(json.loads(Path(as_json).read_text())["votes"])
