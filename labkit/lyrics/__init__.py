"""Key phrases of a song, in English and Russian: what of it makes a picture, with reasons.

    KeyPhrases(text=lyrics).compute(lab).table
"""

from labkit.lyrics.phrases import KeyPhrases, KeyPhrasesResult, Weights
from labkit.lyrics.words import Song, examples, load_glossary, load_norms, songs

__all__ = ["KeyPhrases", "KeyPhrasesResult", "Song", "Weights", "examples", "load_glossary", "load_norms", "songs"]
