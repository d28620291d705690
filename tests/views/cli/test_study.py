"""The command `study`: lists what is kept, and makes what is named."""

import pytest

from labkit.evaluation import catalogue
from labkit.kinds import KINDS
from labkit.spec import SpecError
from labkit.views.cli.commands.study import main


@pytest.fixture
def made(monkeypatch):
    """The studies that the command has asked for; none is really made."""
    asked = []
    monkeypatch.setattr(catalogue, "make_study", lambda name, n_jobs: asked.append((name, n_jobs)) or f"made {name}")
    return asked


def test_without_a_name_all_are_listed_with_their_state(made, monkeypatch, capsys):
    def load(name):
        if name == "ways":
            raise FileNotFoundError(name)
        return catalogue.StoredStudy(name, None, {"date": "2026-01-02"}, ("clip is another now",) if name == "range" else ())

    monkeypatch.setattr(catalogue, "load_study", load)
    assert main([]) == 0 and not made
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(catalogue.STUDIES)
    states = dict(line.split(maxsplit=1) for line in lines[::2])
    assert states["ways"] == "not made yet" and states["range"] == "stale: clip is another now"
    assert states["iterations"] == "made on 2026-01-02"


def test_named_ones_are_made_and_all_means_all(made, capsys):
    assert main(["range", "ways", "--jobs", "2"]) == 0 and made == [("range", 2), ("ways", 2)]
    assert "made range" in capsys.readouterr().out
    made.clear()
    main(["all"])
    served = [name for name, study in catalogue.STUDIES.items()
              if all(KINDS[kind].pocket for spec in study.templates for kind in spec.needs)]
    assert [name for name, _ in made] == served and len(served) >= 10
    others = [name for name in catalogue.STUDIES if name not in served]
    assert (f"left out, as their models are not shipped: {', '.join(others)}" in capsys.readouterr().err) == bool(others)


def test_an_unknown_name_is_refused_before_anything_is_made(made):
    with pytest.raises(SpecError, match="'rnge' is none; there are"):
        main(["range", "rnge"])
    assert not made
