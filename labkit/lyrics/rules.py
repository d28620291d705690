"""What a phrase may be made of: the rules that both languages share, and those of English."""

from __future__ import annotations

from functools import lru_cache

from labkit.lyrics.words import script, seed_words, stop_words

KEPT = 20_000  # words whose analysis is kept
Chunk = tuple[int, int, tuple[str, ...]]  # start and end of a noun phrase in a run of words, and its tokens


class Rules:
    """What the rules of both languages share. `stems`: whether their lemmas are only stems."""

    code: str
    stems = False

    def stop(self, word: str) -> bool:
        """Whether a phrase breaks at the word: a stop word or a single letter."""
        return word in stop_words(self.code) or len(word) == 1 and word.isalpha()


class English(Rules):
    """Rules of ours: plurals and participles by their endings, nouns by our word list."""

    code, name = "en", "English by word list and endings"
    connectors = frozenset("of on in at with under over above below behind beside between near by through across".split())
    articles = frozenset({"the", "a", "an", "my", "your", "his", "her", "our", "their"})
    irregular = dict(pair.split(":") for pair in (
        "men:man women:woman children:child feet:foot teeth:tooth mice:mouse geese:goose leaves:leaf wolves:wolf "
        "knives:knife wives:wife lives:life thieves:thief people:people kisses:kiss glasses:glass dresses:dress "
        "shoes:shoe toes:toe clothes:clothes lovers:lover skies:sky news:news heroes:hero echoes:echo").split())

    @lru_cache(KEPT)  # noqa: B019 - the rules are few and live as long as the program
    def lemma(self, word: str) -> str:
        """The singular: stars → star, snowmen → snowman, berries → berry."""
        word = word.removesuffix("'s").removesuffix("'")
        if word in seed_words("en"):
            return word
        if word in self.irregular:
            return self.irregular[word]
        for end, instead in (("men", "man"), ("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh")):
            if word.endswith(end) and len(word) > len(end) + 1:
                return word.removesuffix(end) + instead
        return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word

    @lru_cache(KEPT)  # noqa: B019
    def stem(self, word: str) -> str:
        """The listed word that an inflected one comes from: shining → shine, crowded → crowd; else the lemma."""
        lemma, listed = self.lemma(word), seed_words("en")
        for end in ("ing", "ed", "in'"):
            cut = lemma.removesuffix(end)
            if cut != lemma and lemma not in listed and len(cut) > 2:
                doubled = [cut[:-1]] if cut[-1] == cut[-2] else []
                return next((w for w in (cut, cut + "e", *doubled) if w in listed), lemma)
        return lemma

    def is_noun(self, word: str) -> bool:
        """Whether a phrase may end in the word: a listed noun, or an unlisted word that does not look like another kind."""
        lemma, listed = self.lemma(word), seed_words("en")
        if lemma in listed:
            return "n" in listed[lemma][0]
        return script(lemma) != "number" and not lemma.endswith(("ly", "ing", "ed", "in'", "n't", "'ll", "'re", "'ve", "'d"))

    def chunks(self, words: tuple[str, ...], most: int) -> list[Chunk]:
        """(start, end, tokens) of the noun phrases in a run of normalised words: they end in a noun that no noun follows."""
        nouns = [self.is_noun(w) for w in words] + [False]
        for i, w in enumerate(words[1:], 1):  # night falls: what can be a verb in -s is one after a noun
            lemma = self.lemma(w)
            nouns[i] &= not (nouns[i - 1] and w != lemma and "v" in seed_words("en").get(lemma, ("",))[0])
        return [(start, i + 1, tuple(map(self.lemma, words[start:i + 1])))
                for i in range(len(words)) if nouns[i] and not nouns[i + 1]
                for start in range(max(0, i + 1 - most), i + 1)]

    def base(self, words: tuple[str, ...]) -> str:
        """The citation form: in lower case, as it stands."""
        return " ".join(words)
