"""README and docs link to nothing that is not there, and docs/files.md is what its command writes."""

import re
import subprocess
from pathlib import Path

import pytest

from labkit.views.cli.commands.files import PAGE, first_line, page

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "apps" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_table_of_files_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m labkit files`"


def test_a_file_that_does_not_say_what_it_is_is_named(tmp_path):
    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit" / "good.py").write_text('"""Says | it.\n\nAnd more."""')
    assert first_line(tmp_path / "labkit" / "good.py") == r"Says \| it"
    (tmp_path / "labkit" / "silent.py").write_text("x = 1")
    with pytest.raises(ValueError, match="labkit/silent.py: opens with no line"):
        page(tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_and_pictures_exist(path):
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")) if not t.startswith("http")]
    assert [t for t in targets if not (path.parent / t).exists()] == []


def test_pictures_are_small_enough_to_read_on_a_web_page():
    tracked = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert sum((ROOT / name).stat().st_size for name in tracked if (ROOT / name).exists()) < 3_000_000
