"""The rules of the house: versions, floors, style."""

import ast
import json
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "labkit"
MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = [*MODULES, *sorted((ROOT / "apps").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What Colab ships (its runtime of 2026-08); its Python was 3.12 in the runtime before.
COLAB = {
    "torch": "2.11.0", "torchvision": "0.26.0", "numpy": "2.1.3", "gradio": "6.24.0", "ipywidgets": "7.7.1",
    "ipython": "7.34.0", "ipykernel": "6.17.1", "diffusers": "0.39.0", "transformers": "5.15.0",
    "huggingface-hub": "1.27.0", "datasets": "4.0.0", "einops": "0.8.2",
    "safetensors": "0.8.0", "joblib": "1.5.3",
}  # fmt: skip

# Licences that would bind ours, or packages that DESIGN.md rules out for another reason.
FORBIDDEN = {
    "yake", "krippendorff", "fast-krippendorff", "potato", "potato-annotation", "pixray", "clip-lora", "nltk",
}  # fmt: skip

LIGHTNING = ("pytorch_lightning", "lightning", "taming.models", "taming.data")

# Imports point one way: to the same layer or to one above it in this list. A new part of labkit goes in here.
LAYERS = [
    {"loop", "prompt", "spec", "data", "fetch", "weights", "files", "text", "image", "precision", "tables", "kinds"},
    {"zoo"},
    {"models"},
    {"clip", "latents", "lyrics", "metrics", "pairs", "sketches", "world"},
    {"lab"},
    {"methods", "training", "survey"},
    {"runs"},
    {"evaluation"},
    {"views", "check"},
    {"__main__"},
]


def requirement_lines(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in found}


REQUIREMENTS = requirement_lines("requirements.txt")
CONSTRAINTS = requirement_lines("constraints.txt")


def imports(path: Path) -> list[str]:
    """Every module that a file imports, early or late, by its absolute name.

    `from labkit.x import y` is labkit.x.y where that is a module; what only type checkers see is left out.
    """
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*parent, *filter(None, [base])])
            inner = [f"{base}.{alias.name}" for alias in node.names]
            found.extend(name if is_module(name) else base for name in inner)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def is_module(name: str) -> bool:
    """Is there such a module of ours?"""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def layer(part: str) -> int:
    for height, parts in enumerate(LAYERS):
        if part in parts:
            return height
    raise AssertionError(f"labkit.{part} has no place in LAYERS")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(("name", "version"), COLAB.items())
def test_ranges_admit_what_colab_ships(name, version):
    if name in REQUIREMENTS:
        assert REQUIREMENTS[name].specifier.contains(version)
    else:
        assert name == "datasets", "not asked for: then it should not be in this table"


def test_requirements_are_lower_bounds():
    for requirement in REQUIREMENTS.values():
        upper = {str(s) for s in requirement.specifier if s.operator != ">="}
        assert upper == ({"<7"} if requirement.name == "gradio" else set()), requirement
        assert requirement.marker is None and requirement.url is None, requirement


def test_constraints_are_exact_and_satisfy_the_requirements():
    for name, requirement in REQUIREMENTS.items():
        assert name in CONSTRAINTS, f"constraints.txt has no line for {name}"
        (pin,) = CONSTRAINTS[name].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version), (requirement, pin)
    for name in CONSTRAINTS:
        assert not name.startswith(("nvidia-", "cuda-", "triton", "labkit")), f"{name} is torch's own affair"


def test_torch_and_torchvision_are_a_pair():
    """A torchvision is compiled against one torch and says which."""
    torch, torchvision = (next(iter(CONSTRAINTS[n].specifier)).version for n in ("torch", "torchvision"))
    if Version(metadata.version("torchvision")).public != torchvision:
        pytest.skip(f"the pinned torchvision {torchvision} is not the one installed")
    (asked,) = (r for r in map(Requirement, metadata.requires("torchvision")) if r.name == "torch")
    assert asked.specifier.contains(torch)


def test_pythons_are_declared():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = SpecifierSet(project["requires-python"])
    admitted = [minor for minor in range(8, 20) if declared.contains(f"3.{minor}.0")]
    assert admitted == [11, 12, 13]


def test_what_is_imported_is_asked_for():
    """What we import of others belongs to a package of requirements.txt: nothing comes by chance."""
    owners = metadata.packages_distributions()
    for path in [*OURS, *sorted((ROOT / "tests").rglob("*.py"))]:
        for name in imports(path):
            top = name.partition(".")[0]
            # A folder of ours is ours, though a package (drawdata) leaves its tests beside all others.
            if top in sys.stdlib_module_names or top not in owners or (ROOT / top).is_dir():
                continue
            distributions = {canonicalize_name(d) for d in owners[top]}
            assert distributions & set(REQUIREMENTS), f"{path.name} imports {top} of {distributions}"


# Asked for by name though none of our files imports them: what they are for.
FOR_OTHERS = {
    "einops": "taming.modules", "jupyterlab": "make lab", "ipykernel": "the notebooks' kernel", "pytest-xdist": "make test",
    "ruff": "make test",
}  # fmt: skip


def test_what_is_asked_for_is_used():
    owners = metadata.packages_distributions()
    used = {name.partition(".")[0] for path in [*OURS, *sorted((ROOT / "tests").rglob("*.py")), ROOT / "setup.py"]
            for name in imports(path)}
    distributions = {canonicalize_name(d) for top in used for d in owners.get(top, ())}
    assert set(REQUIREMENTS) - distributions == set(FOR_OTHERS)


def test_nothing_forbidden():
    assert not FORBIDDEN & {*REQUIREMENTS, *CONSTRAINTS}
    for path in OURS:
        for name in imports(path):
            where = f"{path.relative_to(ROOT)} imports {name}"
            assert canonicalize_name(name.partition(".")[0]) not in FORBIDDEN, where
            # taming's other parts need Lightning, which labkit never imports
            assert not name.startswith(LIGHTNING), where


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)) or not text.strip(), "opens with a docstring"


def test_imports_point_one_way():
    for path in MODULES:
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part == "__init__":  # the names a notebook needs, from anywhere
            continue
        for name in imports(path):
            top, _, rest = name.partition(".")
            if top == "labkit" and rest:
                where = f"{path.relative_to(ROOT)} imports {name}, which is further up"
                assert layer(rest.partition(".")[0]) <= layer(part), where


def test_no_import_cycles():
    """Not even late ones, inside functions."""
    names = {name_of(path): path for path in MODULES}
    graph = {name: {target for target in imports(path) if target in names and target != name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_only_views_print():
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] in ("views", "__main__.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        lines = [call.lineno for call in calls if ast.unparse(call.func) == "print"]
        assert not lines, f"{path.relative_to(ROOT)} prints on lines {lines}"


def test_pictures_come_in_by_one_door():
    """A file that Pillow opens beside `labkit.image` is not looked at before: how large it is, whether it is whole, its mode.

    What we made ourselves a moment before may: drawings of the world, and films, which have several pictures.
    """
    for path in MODULES:
        where = str(path.relative_to(PACKAGE))
        if where.startswith("image") or where in ("world/sprites.py", "runs/film.py"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert "Image.open" not in {ast.unparse(call.func) for call in calls}, f"{where}: use labkit.image.open_upload"


def test_apps_and_notebooks_import_public_names():
    private = re.compile(r"^\s*(from|import) labkit.*[ .,(]_", re.MULTILINE)
    for path in (ROOT / "apps").rglob("*.py"):
        assert not private.findall(path.read_text(encoding="utf-8")), path.name
    for path in NOTEBOOKS:
        for number, source in code_cells(path):
            assert not private.findall(source), f"{path.name}, cell {number}"


def code_cells(path: Path) -> list[tuple[int, str]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(i, "".join(c["source"])) for i, c in enumerate(cells) if c["cell_type"] == "code"]


@pytest.mark.parametrize("module", ["labkit", "labkit.views.cli", "apps.studio", "tests.test_house"])
def test_our_warnings_are_errors(module):
    with pytest.raises(FutureWarning, match="old"):
        warnings.warn_explicit("old", FutureWarning, "x.py", 1, module=module, registry={})


def test_last_line_of_a_run_counts_skips():
    one = "tests/test_house.py::test_pythons_are_declared"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert re.fullmatch(r"1 passed, 0 skipped in [0-9.]+s", done.stdout.splitlines()[-1]), done.stdout


def ruff(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "ruff", *args], cwd=ROOT, capture_output=True, text=True)


def test_ruff_is_content_with_modules_and_notebooks():
    seen = ruff("check", "--no-cache", "--show-files", ".").stdout.splitlines()
    assert {str(p) for p in [*OURS, *NOTEBOOKS]} <= set(seen), "ruff leaves files out"
    result = ruff("check", "--no-cache", "--output-format", "concise", ".")
    assert result.returncode == 0, result.stdout + result.stderr
