"""What pyproject.toml cannot say: the wheel carries data/ as labkit/_data, requirements.txt is one list."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

listed = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8")
runtime, _, tests = listed.partition("# tests")


def requirements(text: str) -> list[str]:
    """The requirement lines of a piece of requirements.txt."""
    return [line.strip() for line in text.splitlines() if line[:1].isalpha()]


setup(
    packages=[*find_namespace_packages(include=["labkit", "labkit.*"]), "labkit._data"],
    package_dir={"labkit._data": "data"},
    package_data={"labkit._data": ["**/*"], "labkit.views.explorer": ["page.html", "page.css", "page.js"]},
    install_requires=requirements(runtime),
    extras_require={"test": requirements(tests.partition("\n")[2]), "postgres": ["psycopg[binary]>=3.2"],
                    "russian": ["pymorphy3>=2.0"]},
)
