"""The checks of the exercises of notebook 00, the start."""

from __future__ import annotations

from labkit.views.notebook.exercises import exercise


@exercise("00-cutouts")
def cutouts_of_the_recipe(value) -> str:
    """How many cutouts a step the first picture was made with: the spec's default."""
    from labkit import VQGANCLIP

    right = VQGANCLIP(prompt="-").cutouts.cutn
    if value == right:
        return ""
    if isinstance(value, dict):
        return "that is the whole table; go on into it until you reach one number"
    return "look in the recipe under spec, then cutouts, then cutn"


@exercise("00-prompt")
def a_prompt_of_the_world(value) -> str:
    """A prompt with two subjects, a colour and a setting, every word known."""
    from labkit.world import read, unknown_words

    if not isinstance(value, str):
        return "give a text in quotes"
    unknown, found = unknown_words(value), read(value)
    if unknown:
        return f"the pocket models have never seen {', '.join(map(repr, unknown))}"
    if len(set(found.subjects)) < 2:
        named = ", ".join(found.subjects) or "none"
        return f"two different subjects are asked for; the text names {named}"
    if not any(found.colours):
        return "give one of the subjects a colour, as in 'a red car'"
    return "" if found.setting else "say where, as in 'in the snow' or 'at night'"
