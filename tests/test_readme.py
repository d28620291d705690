"""The README says what every file is, and links to nothing that is not there."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_module_app_notebook_and_benchmark_has_its_line():
    listed = set(re.findall(r"^\| `([^`]+)` \|", README, flags=re.MULTILINE))
    there = set()
    for folder, ending in (("labkit", "*.py"), ("apps", "*.py"), ("benchmarks", "*.py"), ("notebooks", "*.ipynb")):
        there |= {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(ending)
                  if p.name != "__init__.py" and ".ipynb_checkpoints" not in p.parts}
    assert there - listed == set(), "files without a line in the README's table"
    modules = {name for name in listed if name.endswith((".py", ".ipynb"))}
    assert {name for name in modules if not (ROOT / name).is_file()} == set(), "lines for files that are gone"


def test_links_and_pictures_exist():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if not t.startswith("http")]
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_pictures_are_small_enough_to_read_on_a_web_page():
    tracked = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert sum((ROOT / name).stat().st_size for name in tracked) < 3_000_000
