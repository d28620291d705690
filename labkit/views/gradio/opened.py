"""A map that `python -m labkit project FOLDER` wrote, opened in the studio: from there its pictures go to methods.

    python -m labkit apps --map out/map.html --folder FOLDER

The map knows its pictures' names within the folder, and their captions; what is sent is the file itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from PIL import Image

from labkit.image import ImageError, open_upload, read_recipe
from labkit.prompt import Prompt, PromptError, format_prompts
from labkit.spec import SpecError
from labkit.text import plain

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def sentence_in(path: str) -> str:
    """The prompt in the recipe of a picture that labkit saved; "" in any other picture."""
    try:
        spec = read_recipe(Path(path).read_bytes()).get("spec")
    except (ImageError, OSError):
        return ""
    prompt = spec.get("prompt") if isinstance(spec, dict) else None
    return prompt if isinstance(prompt, str) else ""


@dataclass(frozen=True)
class OpenedMap:
    """`text` the page, `names` of its pictures within `folder`, `captions` theirs, or none at all.

    shown  the one that whoever starts the app opens before anything is uploaded."""

    shown: ClassVar[OpenedMap | None] = None

    text: str = field(repr=False)
    names: list[str] = field(repr=False)
    captions: list[str] = field(repr=False)
    folder: Path

    @classmethod
    def read(cls, path: str, folder: str) -> OpenedMap:
        """The map in a file. Raises `SpecError` on what is no such file, and where its pictures are not in the folder."""
        where, home = plain(path, 200), Path(folder).resolve()
        try:
            text = Path(path).read_text(encoding="utf-8")
            about = json.loads(DATA.search(text)[1])
            names, captions = list(map(str, about["names"])), list(map(str, about["captions"]))
        except OSError as error:
            raise SpecError(f"--map: {where}: {error.strerror}; give a file that `labkit project` wrote") from None
        except (ValueError, TypeError, KeyError):  # no JSON, no block of it, another one
            raise SpecError(f"--map: {where}: is no map; give a file that `labkit project` wrote") from None
        found = cls(text, names, captions, home)
        if lacking := next((name for name in names if not found.file(name).is_file()), None):
            raise SpecError(f"--folder: {plain(folder, 200)}: holds no {plain(lacking)}, which the map shows; give the folder "
                            "that it was made of")
        return found

    def file(self, name: str) -> Path:
        """The file of that name. Raises `SpecError` where it would lie outside of the folder."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise SpecError(f"--map: {plain(name)}: lies outside of the folder")
        return path

    def picture(self, k: int) -> tuple[Image.Image, str]:
        """The picture with that number, and its sentence as a prompt: its recipe's, or its caption. Raises `ImageError`."""
        path = self.file(self.names[k])
        return open_upload(path), sentence_in(str(path)) or self.sentence(k)

    def sentence(self, k: int) -> str:
        """A caption as a prompt; "" where there is none that could be one."""
        try:
            return format_prompts((Prompt(self.captions[k]),)) if self.captions else ""
        except PromptError:
            return ""
