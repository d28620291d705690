"""Key phrases of a song, in English and Russian: what of it makes a picture, with reasons.

    KeyPhrases(text=lyrics).compute(lab).table
"""

from labkit.lyrics.phrases import KeyPhrases, KeyPhrasesResult, Weights
from labkit.lyrics.reader import Lyrics, Song, examples, read_lyrics
from labkit.lyrics.words import load_glossary, load_norms, songs

__all__ = ["KeyPhrases", "KeyPhrasesResult", "Lyrics", "Song", "Weights", "examples", "load_glossary", "load_norms",
           "read_lyrics", "songs"]
