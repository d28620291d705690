"""A rater as the page meets one: a real browser rates ten pictures, by keys and by clicks, reloads in between, and every
vote in the store is the one that was pressed. The browser reaches loopback only.
"""

import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from apps import survey
from labkit.survey import Item, Plan, Store
from labkit.survey.plan import png_without_metadata
from labkit.survey.report import demographics, history_of, progress
from labkit.survey.schema import places, votes
from labkit.survey.session import Visits
from labkit.views.gradio.app import LOCAL, launch
from tests.apps.browser import visitor

pytestmark = pytest.mark.browser

DWELL = 1.0  # seconds; a browser presses sooner than that
NASTY = "<b>a dog</b> ${1+1} {{value}}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('survey') / 'survey.db'}")
    items = [Item(f"p{k}", png_without_metadata(Image.new("RGB", (32, 24), (25 * k, 90, 120))), NASTY, k) for k in range(8)]
    store.create("songs", Plan(repeats=1, gap=4, min_dwell=DWELL), items)
    yield store
    store.close()


@pytest.fixture(scope="module")
def address(store):
    demo = survey.build(None, LOCAL, Visits(store, "songs"))
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


@pytest.fixture
def page(chromium):
    with visitor(chromium) as page:
        yield page


def at(page: Page, number: int, of: str = "of") -> None:
    """Wait until the picture of this number is shown."""
    expect(page.locator(".lk-number")).to_have_text(f"{number} {of} 10")


def cast(store: Store) -> dict[int, int]:
    """Position → current rating, the attention item's too."""
    with store.reading() as connection:
        return {row.position: row.rating for row in connection.execute(votes.select())}


def test_ten_pictures_by_keys_and_clicks_with_a_reload(page, address, store):
    page.goto(address)
    expect(page.get_by_text("You will see pictures")).to_be_visible()
    page.locator("#survey-age input").click()
    page.get_by_role("option", name="35-44").click()
    page.locator("#survey-begin").click()
    at(page, 1)
    expect(page.locator(".lk-told")).to_be_empty()
    expect(page.get_by_text("You will see pictures")).to_be_hidden()

    page.keyboard.press("3")  # too soon, and changed in time: the last one counts
    expect(page.locator(".lk-told")).to_contain_text("Your 3 is kept")
    assert cast(store) == {}
    page.keyboard.press("7")
    at(page, 2)
    assert cast(store) == {0: 7}
    page.keyboard.press("-")
    at(page, 3)
    page.keyboard.press("0")
    at(page, 4)
    page.keyboard.press("ArrowLeft")  # from nowhere to the last button
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    at(page, 5)
    page.locator("[data-rating='10']").click()
    at(page, 6)
    assert cast(store) == {0: 7, 1: 10, 2: 0, 3: 9, 4: 10}

    page.keyboard.press("Control+5")  # the browser's own
    page.locator("#survey-code-box button").first.click()
    code = page.locator("#survey-code").locator("input, textarea")
    expect(code).to_be_visible()
    page.wait_for_timeout(1000 * DWELL + 300)
    assert len(cast(store)) == 5
    token = code.input_value()
    assert store.rater(token) and token not in page.url

    page.reload()
    at(page, 6)
    expect(page.get_by_text("You will see pictures")).to_be_hidden()
    page.keyboard.press("2")
    at(page, 7)
    page.keyboard.press("Backspace")
    at(page, 6)
    expect(page.locator("[data-rating='2']")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("your vote so far: 2")).to_be_visible()
    page.get_by_text("Keep my 2 and go on").click()
    at(page, 7)
    page.get_by_text("← Previous").click()
    at(page, 6)
    page.keyboard.press("8")
    at(page, 7)

    page.get_by_text("Русский").click()
    at(page, 7, "из")
    page.keyboard.press("1")
    at(page, 8, "из")
    page.locator("[data-rating='6']").click()
    at(page, 9, "из")
    page.keyboard.press("5")
    at(page, 10, "из")
    page.keyboard.press("4")
    expect(page.get_by_text("Спасибо!")).to_be_visible()
    expect(page.locator(".lk-stage")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("Спасибо!")).to_be_visible()

    assert cast(store) == {0: 7, 1: 10, 2: 0, 3: 9, 4: 10, 5: 8, 6: 1, 7: 6, 8: 5, 9: 4}
    assert progress(store, "songs") == {"raters": 1, "finished": 1, "votes": 10}
    assert demographics(store, "songs", "age_band", least=1).to_dict() == {"35-44": 1}
    past = history_of(store, "songs")
    with store.reading() as connection:
        sixth = connection.execute(places.select().where(places.c.position == 5)).one()
    changed = past[past["position"] == 5]["rating"].tolist()
    assert changed == ([] if sixth.item.startswith("attention") else [2, 8])
    assert (past["dwell"] >= DWELL).all(), "nobody votes faster than the plan allows"


def test_words_stay_words_codes_bring_back_and_all_is_deleted(page, address, store):
    page.goto(address)
    page.locator("#survey-begin").click()
    at(page, 1)
    while not page.locator(".lk-words").count():  # the attention item has no words
        page.keyboard.press("2")
        at(page, 2)
    assert page.locator(".lk-words").inner_text().splitlines()[-1] == NASTY
    page.keyboard.press("9")
    expect(page.locator(".lk-number")).not_to_have_text("1 of 10")
    mine = raters(store)[-1]
    page.locator("#survey-code-box button").first.click()
    token = page.locator("#survey-code").locator("input, textarea").input_value()
    assert store.rater(token) == mine
    place = page.locator(".lk-number").inner_text()

    page.evaluate("localStorage.clear()")  # as in another browser
    page.reload()
    expect(page.locator("#survey-begin")).to_be_visible()
    page.locator("#survey-return button").first.click()
    typed = page.locator("#survey-typed").locator("input, textarea")
    typed.fill("no such code")
    page.locator("#survey-enter").click()
    expect(page.get_by_text("This return code is not known here")).to_be_visible()
    typed.fill(f"  {token} ")
    typed.press("Enter")
    expect(page.locator(".lk-number")).to_have_text(place)

    if page.locator("#survey-withdraw").is_hidden():
        page.locator("#survey-code-box button").first.click()
    page.locator("#survey-withdraw").click()
    page.locator("#survey-no").click()
    expect(page.locator("#survey-yes")).to_be_hidden()
    assert mine in raters(store)
    page.locator("#survey-withdraw").click()
    page.locator("#survey-yes").click()
    expect(page.get_by_text("All of your votes are deleted")).to_be_visible()
    assert mine not in raters(store)
    page.reload()
    expect(page.locator("#survey-begin")).to_be_visible()
    assert not re.search(r"not known", page.locator("body").inner_text()), "the browser has forgotten the code"


def raters(store: Store) -> list[str]:
    from labkit.survey.schema import raters as table

    with store.reading() as connection:
        return [row.id for row in connection.execute(table.select().order_by(table.c.order_row))]
