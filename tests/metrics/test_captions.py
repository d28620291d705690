"""Scores of captions: published examples, sacrebleu's own corpus figures, and what people may hand in."""

import math

import numpy as np
import pytest
import sacrebleu

from labkit.metrics.captions import bleu, caption_scores, meteor, rouge
from labkit.metrics.intervals import bootstrap
from labkit.metrics.meteor import align, chunks, meteor_sentence, stem, tokens
from labkit.metrics.score import score_table

PARTY = "It is a guide to action which ensures that the military always obeys the commands of the party"
PARTY_REFERENCES = [
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
]


def test_modified_precisions_of_papineni_2002():
    """Section 2.1: candidate 1 has 17/18 unigrams and 10/17 bigrams, 'the the the …' 2/7."""
    found = bleu([PARTY], [PARTY_REFERENCES], 2, draws=20).parts
    assert found["1-gram precision"] == pytest.approx(17 / 18) and found["2-gram precision"] == pytest.approx(10 / 17)
    the = bleu(["the the the the the the the"], [["The cat is on the mat", "There is a cat on the mat"]], 1, draws=20)
    assert the.parts["1-gram precision"] == pytest.approx(2 / 7)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_bleu_is_sacrebleus_of_the_corpus(order):
    hypotheses = [PARTY, "a red apple in the snow", "the ship sails in a storm at night", "Dog."]
    references = [PARTY_REFERENCES[:2], ["a red apple lies in the snow", "an apple"], ["a ship in a storm at night", "a boat"],
                  ["the dog", "a dog runs"]]
    metric = sacrebleu.metrics.BLEU(lowercase=True, max_ngram_order=order)
    wanted = metric.corpus_score(hypotheses, list(zip(*references, strict=True))).score / 100
    assert bleu(hypotheses, references, order, draws=20).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("hypothesis", "score"), [  # of "the cat sat on the mat", as METEOR is explained everywhere
    ("on the mat sat the cat", 0.5), ("the cat sat on the mat", 0.9977), ("the cat was sat on the mat", 0.9654),
])  # fmt: skip
def test_meteor_of_the_cat_on_the_mat(hypothesis, score):
    assert meteor_sentence(hypothesis, ["the cat sat on the mat"]) == pytest.approx(score, abs=5e-5)


@pytest.mark.parametrize(("hypothesis", "reference", "score"), [  # nltk 3.10's meteor_score with a word-net that knows nothing
    ("a small boat sails home", "small boats sailed past", 0.718157),
    ("running dogs chase cats", "a dog runs after cats", 0.306122),
    ("red apple under white snow", "white snow covers one red apple", 0.635593),
    ("nothing alike here", "some other words", 0.0),
])
def test_meteor_where_no_word_comes_twice_is_nltks(hypothesis, reference, score):
    assert meteor_sentence(hypothesis, [reference]) == pytest.approx(score, abs=5e-6)


def test_of_a_word_said_often_the_neighbours_are_paired():
    """'the' comes three times and twice: paired beside 'military' there are 4 chunks of 12 matches, by greed from the end 6."""
    pairs = align(tokens(PARTY), tokens(PARTY_REFERENCES[0]))
    assert len(pairs) == 12 and chunks(pairs) == 4
    f = (12 / 18) * (12 / 16) / (0.9 * 12 / 18 + 0.1 * 12 / 16)
    assert meteor_sentence(PARTY, PARTY_REFERENCES) == pytest.approx(f * (1 - 0.5 * (4 / 12) ** 3))


def test_meteor_takes_stems_after_words_and_many_repeats_quickly():
    assert align(["dogs", "dog"], ["dog", "dogs"]) == [(0, 1), (1, 0)], "the word itself comes before its stem"
    assert stem("sailing") == stem("sails") == "sail"
    assert 0 < meteor_sentence("the cat " * 40, ["a cat the " * 30]) < 1


@pytest.mark.parametrize(("hypothesis", "f"), [("police kill the gunman", 0.75), ("the gunman kill police", 0.5)])
def test_rouge_l_of_lin_2004(hypothesis, f):
    """Section 3.1, β = 1: the order of words decides."""
    found = rouge([hypothesis], [["police killed the gunman"]], "L", draws=20)
    assert found.value == pytest.approx(f)
    assert rouge([hypothesis], [["police killed the gunman"]], "1", draws=20).value == pytest.approx(0.75)


def test_rouge_takes_the_best_reference_and_any_script():
    refs = ["no word of it", "красное яблоко в снегу"]
    found = rouge(["красное яблоко"], [refs], "1", "recall", draws=20)
    assert found.value == pytest.approx(0.5) and found.parts["precision"] == pytest.approx(1)


def test_every_score_says_what_it_is():
    scores = caption_scores(["a red apple", "a ship at sea"], [["a red apple"], ["a ship in a storm"]], draws=50)
    table = score_table(scores)
    assert list(table.index) == ["BLEU-1", "BLEU-4", "METEOR-ES", "ROUGE-1", "ROUGE-L"]
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert (table["n"] == 2).all() and table.loc["METEOR-ES", "variant"].startswith("stages exact and Porter stem")
    assert "n = 2" in str(scores[0]) and "sacrebleu" in str(scores[0])


def test_the_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(lambda rows: values[rows].mean(), 400, 2000)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert all(map(math.isnan, bootstrap(lambda rows: math.nan, 3, 20)))
    with pytest.raises(ValueError, match="draws=5"):
        bootstrap(lambda rows: 0.0, 3, 5)


@pytest.mark.parametrize(("hypotheses", "references", "said"), [
    ([], [], "0 captions"), (["a"], [["a"], ["b"]], "1 captions need"), (["a"], ["a"], "list of texts"),
    (["a"], [[]], "caption 0 hold no words"), (["a", "b"], [["a"], ["…"]], "caption 1 hold no words"),
])
def test_what_is_no_pair_is_told(hypotheses, references, said):
    for score in (bleu, meteor, rouge):
        with pytest.raises(ValueError, match=said):
            score(hypotheses, references)


def test_a_caption_without_words_scores_nothing():
    assert [s.value for s in caption_scores([""], [["a dog"]], draws=20)] == [0] * 5
