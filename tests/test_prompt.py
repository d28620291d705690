"""The prompt grammar: what is text, what is a number, and that nothing gets lost on the way."""

import math
import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.prompt import MAX_CHARACTERS, MAX_PROMPTS, Prompt, PromptError, format_prompts, parse, parse_story

# Mostly the marks of the grammar, where a parser goes wrong; and any text at all.
ANY = st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff")  # what is no text is refused
texts = st.one_of(
    st.text(alphabet='a1.:|^"\\- \té', min_size=1, max_size=12),
    st.text(ANY, min_size=1, max_size=20),
    st.sampled_from(["x:nan", "x:1e999", "a\\", '\\"', '"', '""', "^_^", "16:9", "C:\\", '"a":1', " b "]),
).filter(str.strip)
weights = st.floats(-1000, 1000, allow_nan=False)
stops = st.just(-math.inf) | st.floats(allow_nan=False, allow_infinity=False)
prompt_lists = st.lists(st.builds(Prompt, texts, weights, stops), min_size=1, max_size=4).map(tuple)


def cancels(prompts):
    return abs(math.fsum(p.weight for p in prompts)) < 1e-3


@settings(deadline=None)
@given(prompt_lists)
def test_what_is_formatted_is_read_back(prompts):
    assume(not cancels(prompts))
    assert parse(format_prompts(prompts)) == prompts


@settings(deadline=None)
@given(st.lists(prompt_lists, min_size=1, max_size=3))
def test_stories_are_read_back(stages):
    assume(not any(cancels(s) for s in stages))
    assert parse_story("^".join(format_prompts(s) for s in stages)) == tuple(stages)


@settings(deadline=None)
@given(st.text(alphabet='ab1.:|^"\\- ', max_size=30))
def test_any_text_is_prompts_that_round_trip_or_a_prompt_error(text):
    try:
        prompts = parse(text)
    except PromptError as error:
        assert repr(text) in str(error) and "character" in str(error)
    else:
        assert parse(format_prompts(prompts)) == prompts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red apple", [("a red apple", 1, -math.inf)]),
        ("a red apple:2 | blurry:-0.5", [("a red apple", 2, -math.inf), ("blurry", -0.5, -math.inf)]),
        ("a:2:0.5", [("a", 2, 0.5)]),
        (" a : 2 : .5 ", [("a", 2, 0.5)]),
        ("a:1e-2", [("a", 0.01, -math.inf)]),
        ("a:0|b", [("a", 0, -math.inf), ("b", 1, -math.inf)]),
        ("https://x.y:8080/a", [("https://x.y:8080/a", 1, -math.inf)]),
        ("https://x.y:8080/a?b=1:0.5", [("https://x.y:8080/a?b=1", 0.5, -math.inf)]),
        (r"C:\a\b.png", [(r"C:\a\b.png", 1, -math.inf)]),
        (r"C:\a\b.png:2", [(r"C:\a\b.png", 2, -math.inf)]),
        (r'"C:\a\b:1"', [(r"C:\a\b:1", 1, -math.inf)]),
        (r'"\\server\x|y"', [(r"\\server\x|y", 1, -math.inf)]),
        (r'"C:\dir\\"', [("C:\\dir\\", 1, -math.inf)]),
        ("note: a storm", [("note: a storm", 1, -math.inf)]),
        ("a:", [("a:", 1, -math.inf)]),
        ("a:1_000", [("a:1_000", 1, -math.inf)]),
        ("a:٣", [("a:٣", 1, -math.inf)]),
        ('"the time: 12:30":2', [("the time: 12:30", 2, -math.inf)]),
        ('"a|b" | c', [("a|b", 1, -math.inf), ("c", 1, -math.inf)]),
        (r'"a 12\" pizza"', [('a 12" pizza', 1, -math.inf)]),
        ('a sign "open|now:1" here:2', [('a sign "open|now:1" here', 2, -math.inf)]),
        ('"one" and "two"', [('"one" and "two"', 1, -math.inf)]),
    ],
)
def test_grammar(text, expected):
    assert [(p.text, p.weight, p.stop) for p in parse(text)] == expected


def test_story_has_stages():
    assert parse_story('a sea:2 ^ "x^2" | b') == ((Prompt("a sea", 2),), (Prompt("x^2"), Prompt("b")))
    assert parse_story("a") == (parse("a"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["character 1:", "empty"]),
        ("a || b", ["'a || b'", "character 4:", "drop the '|'"]),
        ("a | :2", ["character 5:", "':2'", "empty"]),
        ('a|" "', ["character 3:", "empty"]),
        ("a|b:nan", ["character 3:", "'nan'", "finite", "quotes"]),
        ("b:-Infinity", ["'-Infinity'", "finite"]),
        ("b:1e999", ["'1e999'", "finite"]),
        ("b:inf:1", ["'inf'", "finite"]),
        ("https://x.y:8080", ["8080", "1000"]),
        ('a 12" pizza', ["character 5:", "close it"]),
        ("a:1 | b:-1", ["sum to 0", "cancel"]),
        ("a:0.0009", ["sum to 0.0009"]),
        ("a ^ b", ["character 3:", "'^'", "quotes"]),
        ("|".join("a" * (MAX_PROMPTS + 1)), [f"character {2 * MAX_PROMPTS + 1}:", "20 are the most"]),
        ("a" * (MAX_CHARACTERS + 1), [str(MAX_CHARACTERS)]),
    ],
)
def test_errors_quote_place_and_remedy(text, said):
    with pytest.raises(PromptError) as caught:
        parse(text)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_limits_are_reached_before_they_are_passed():
    assert len(parse("|".join("a" * MAX_PROMPTS))) == MAX_PROMPTS
    assert len(parse("a" * MAX_CHARACTERS)[0].text) == MAX_CHARACTERS
    assert parse("a:0.001")[0].weight == 0.001


def test_errors_of_a_later_stage_count_from_the_beginning():
    with pytest.raises(PromptError, match="character 7: a prompt is empty"):
        parse_story("a ^ b|")
    with pytest.raises(PromptError, match="character 4: weights of 'b:0' sum to 0"):
        parse_story("a ^b:0")


@pytest.mark.parametrize(
    "values", [(" ",), ("a", math.nan), ("a", math.inf), ("a", 1001), ("a", 1, math.nan), ("a", 1, math.inf)]
)
def test_prompt_refuses(values):
    with pytest.raises(PromptError):
        Prompt(*values)


def test_format_refuses_what_cannot_be_read():
    for prompts in [(), (Prompt("a"), Prompt("b", -1)), (Prompt("a" * 2001),)]:
        with pytest.raises(PromptError):
            format_prompts(prompts)


@pytest.mark.parametrize(("text", "said"), [("a \ud800 moon", "character 3 .* no text"), ("a\udcff", "xff"), ("a\0b", "NUL")])
def test_what_is_no_text_is_refused(text, said):
    for make in (parse, parse_story, Prompt):
        with pytest.raises(PromptError, match=said):
            make(text)


def test_decomposed_letters_are_composed():
    for make in (lambda t: parse(t)[0].text, lambda t: parse_story(t)[0][0].text, lambda t: Prompt(t).text):
        assert make(unicodedata.normalize("NFD", "a café, йод")) == unicodedata.normalize("NFC", "a café, йод")
