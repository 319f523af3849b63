"""The rules of the house that a machine can check: who may import whom, what is heavy, what is documented."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from curate import errors, registry

ROOT = Path(__file__).parents[1]
PARTS = ("annotators", "scorers", "selectors")

RANKS = (
    ("counting", "errors"),
    ("kinds", "records", "identity", "arrays", "budgets", "durable", "spool"),
    ("contracts",),
    ("pieces",),
    ("registry", "memory", "weights", "comparing"),
    ("fitting",),
    ("choosing",),
    ("vectors",),
    ("testing", "store", "media"),
    ("formats",),
    ("recipe",),
    ("run",),
    ("report",),
    ("selected", "analysed", "compared"),
    ("opened",),
    ("api",),
    ("show", "demo", "console"),
    ("interruption",),
    ("asking", "finding", "moving", "removing"),
    ("cli",),
    ("__main__",),
)
"""A room imports only from rooms above it in this list; those on one line do not know each other."""

EXCEPT = {
    "formats": {"store", "testing", "registry"},
    "media": {"registry"},
    "recipe": {"testing"},
    "run": {"testing"},
    "report": {"testing"},
    "api": {"testing"},
}
"""What a room does not import although it stands lower."""

PARTS_MAY = {
    "counting",
    "errors",
    "kinds",
    "records",
    "arrays",
    "durable",
    "spool",
    "contracts",
    "fitting",
    "choosing",
    "media",
    "vectors",
    "weights",
}

FAMILIES_MAY = {
    "curate.annotators.label_studio": ("curate.annotators.tasks",),
    "curate.annotators.offline": ("curate.annotators.tasks",),
    "curate.annotators.rounds": ("curate.annotators.consensus", "curate.annotators.tasks"),
    "curate.scorers.noise": ("curate.annotators.consensus",),
    "curate.scorers.text": ("curate.scorers.noise.health",),
}
"""Other families that a family may know."""

HEAVY = [
    "cleanlab",
    "datasets",
    "faiss",
    "matplotlib",
    "numba",
    "open_clip",
    "pandas",
    "ray",
    "scipy",
    "sentence_transformers",
    "sklearn",
    "sqlglot",
    "torch",
    "transformers",
]
"""Never imported at the top of a module."""

HEAVY_FOR_HELP = (*HEAVY, "PIL", "duckdb", "numpy", "polars", "pyarrow", "soundfile")
"""Not imported by `curate --help` or `import curate`."""


THINGS = (
    "annotators|answers|bytes|cells|characters|checkpoints|classes|columns|dimensions|elements|entries|"
    "epochs|errors|examples|files|findings|folds|frames|generators|gradients|groups|ids|images|intervals|"
    "items|keys|labels|lists|models|neighbours|numbers|options|pages|pairs|parameters|parts|people|"
    "pieces|pixels|places|positions|prompts|questions|rates|ratings|rounds|rows|runs|scores|seconds|"
    "sentences|shards|steps|tasks|texts|times|tokens|values|vectors|versions|votes|weights|words"
)
"""What messages count, several of them."""

NO_ADJECTIVES = "all and are at by chose few for give in mix must name no of or to where with"
"""What stands between a value and such a word where the value does not count it."""

NO_COUNT = {
    ("curate.choosing.constraints", "what"),
    ("curate.formats.folder", "' or '.join(_wanted(kind)) or 'media'"),
    ("curate.formats.source", "format"),
    ("curate.formats.source", "shown"),
    ("curate.report.galleries", "kept"),
    ("curate.scorers.influence.curvature", "widths"),
    ("curate.selectors.pruning.items", "name"),
}
"""What stands before such a word in a message and is no number: the name of something, or several numbers."""


def modules() -> list[Path]:
    """All our Python files, each once: the three linked folders by their own path."""
    own = [p for p in (ROOT / "curate").rglob("*.py") if not set(p.relative_to(ROOT).parts[1:2]) & set(PARTS)]
    return sorted([*own, *(p for part in PARTS for p in (ROOT / part).rglob("*.py"))])


def dotted(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts if relative.parts[0] == "curate" else ("curate", *relative.parts)
    return ".".join(parts).removesuffix(".__init__")


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module a tree imports, anywhere in it, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: -node.level], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_every_file_is_seen() -> None:
    names = {dotted(path) for path in modules()}
    assert {"curate.errors", "curate.scorers.noise.confident", "curate.selectors.threshold.top"} <= names
    assert len(names) == len(modules())


def room(name: str) -> str:
    """The second part of a dotted name: the room of the house it is in."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_go_one_way(path: Path) -> None:
    own = dotted(path)
    if own == "curate":
        return  # the front door names what it offers, lazily
    rank = {name: i for i, names in enumerate(RANKS) for name in names}
    for found in imports(ast.parse(path.read_text()), own if path.name != "__init__.py" else own + ".x"):
        if found.partition(".")[0] != "curate" or found == "curate.__version__":
            continue
        target = room(found) or "api"  # `import curate` is the front door, and opens into the API
        if room(own) in PARTS:
            family = ".".join(own.split(".")[:3])
            homes = (family, *FAMILIES_MAY.get(family, ()))
            assert target in PARTS_MAY or found.startswith(tuple(f"{home}." for home in homes)), (
                f"{own} imports {found}"
            )
        elif target != room(own):
            assert target not in PARTS, f"{own} imports {found}: the engine knows no particular part"
            assert room(own) in rank, f"{room(own)!r} is not in RANKS: say where it stands"
            assert rank[target] < rank[room(own)], f"{own} imports {found}: the direction is {RANKS}"
            assert target not in EXCEPT.get(room(own), ()), f"{own} imports {found}"


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements run at import: not inside functions, not under TYPE_CHECKING."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    found = {
        name.partition(".")[0]
        for node in top_level(ast.parse(path.read_text()))
        for name in imports(node, dotted(path))
        if not isinstance(node, ast.ClassDef)
    }
    assert not found & set(HEAVY), f"{path.relative_to(ROOT)} imports {found & set(HEAVY)} at its top"


@pytest.mark.parametrize(
    "code",
    [
        "import curate",
        "import curate.errors, curate.registry; curate.registry.names('scorers')",
        "import sys; sys.argv = ['curate', '--help']\n"
        "try:\n    from curate.cli import main; main()\nexcept SystemExit: pass",
    ],
    ids=["import", "registry", "help"],
)
def test_nothing_heavy_is_imported_before_it_is_used(code: str) -> None:
    script = f"{code}\nimport sys; print('HEAVY', *sorted(set(sys.modules) & set({HEAVY_FOR_HELP!r})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip().splitlines()[-1] == "HEAVY"


def test_no_part_bears_a_name_of_the_standard_library() -> None:
    for path in modules():
        if path.relative_to(ROOT).parts[0] in PARTS:
            names = {path.stem, *path.relative_to(ROOT).parts[1:-1]}
            assert not names & sys.stdlib_module_names, path.relative_to(ROOT)


def test_the_three_folders_are_no_packages_and_are_linked() -> None:
    for part in PARTS:
        assert not (ROOT / part / "__init__.py").exists()
        assert (ROOT / "curate" / part).resolve() == ROOT / part


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_files_are_of_a_size_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


REGISTERED = [(group, name) for group, names in registry.GROUPS.items() for name in sorted(names)]


@pytest.mark.parametrize(("group", "name"), REGISTERED, ids=lambda value: value)
def test_every_registered_component_is_tested_and_documented(group: str, name: str) -> None:
    cls = registry.load(group, name)
    assert (cls.__module__, cls.name) == (registry.GROUPS[group][name].partition(":")[0], name)
    home = registry.GROUPS[group][name].split(".")[
        1
    ]  # an analysis, or a scorer of answers, lives beside what it reads
    tests = [p.read_text() for p in (ROOT / "tests" / home).rglob("test_*.py")]
    assert any(cls.__name__ in text for text in tests), f"no test under tests/{home} mentions {cls.__name__}"
    page = ROOT / "docs" / group / f"{name}.md"
    assert page.exists(), f"write {page.relative_to(ROOT)}"
    text = page.read_text()
    assert text.startswith(f"# {name}\n"), f"{page.name} begins with its name"
    for parameter in (f.name for f in fields(cls) if f.init):
        assert f"`{parameter}`" in text, f"{page.name} does not say what `{parameter}` does"


def test_every_page_of_the_docs_is_about_something_registered() -> None:
    for group in registry.GROUPS:
        pages = {page.stem for page in (ROOT / "docs" / group).glob("*.md")}
        assert pages <= set(registry.GROUPS[group]), f"docs/{group} has pages about nothing"


def test_the_exception_tree_is_all_exported_and_drawn() -> None:
    raised = {n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, Exception)}
    assert sorted(errors.__all__) == sorted({*raised, "check_installed", "require"})
    for name in raised:
        assert issubclass(getattr(errors, name), errors.CurateError)
        assert name in (errors.__doc__ or "")
        assert inspect.getdoc(getattr(errors, name))


def defined(tree: ast.Module) -> set[str]:
    """Names a module binds at its top, those for the type checker alone included."""
    names: set[str] = set()
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.If))]
    for node in (node for body in bodies for node in body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_module_says_what_it_is_and_exports_what_exists(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            exported = ast.literal_eval(node.value)
            assert len(exported) == len(set(exported)), "a name is exported twice"
            assert set(exported) <= defined(tree), set(exported) - defined(tree)


def uncounted(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a tree's f-strings put before a plural as it is, as in f"{n} rows", and the words that follow it."""
    told = re.compile(
        rf" ((?:[a-z-]*[a-rt-z-] ){{0,2}}?)(?:{THINGS})\b"
    )  # at most two words between: no verbs in s
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        texts = [part.value if isinstance(part, ast.Constant) else "" for part in node.values]
        for before, part, after in zip(["", *texts], node.values, texts[1:], strict=False):
            found = told.match(after)
            if (
                isinstance(part, ast.FormattedValue)
                and found
                and not set(NO_ADJECTIVES.split()) & set(found[1].split())
            ):
                size = before.endswith(" x ")  # 640 x 1 pixels
                if not size and may_be_one(part):
                    yield ast.unparse(part.value), found[0]


def may_be_one(part: ast.FormattedValue) -> bool:
    """Whether what stands in an f-string could be the whole number 1: no share, shape, list or constant."""
    value, spec = ast.unparse(part.value), ast.unparse(part.format_spec) if part.format_spec else "f','"
    several = isinstance(part.value, ast.ListComp) or (
        isinstance(part.value, ast.Subscript) and isinstance(part.value.slice, ast.Slice)
    )
    several = several or value.endswith((".shape", ".tolist()")) or value.startswith("sorted(")
    return spec == "f','" and not several and not value.isupper()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{len(rows)} rows are empty", True),
        ("of {n:,} usable items", True),
        ("{counted(n, 'row')} of {k} classes", True),
        ("{counted(n, 'row')} of {counted(k, 'class', 'classes')}", False),
        ("{share:.1%} labels", False),
        ("{counts['rows']} rows", True),
        ("{sorted(widths)} columns, as {bad[:5]} values", False),
        ("{a.shape} rows, {w} x {h} pixels, {LIMIT} bytes at most", False),
        ("{name} holds rows, {n} of these rows", False),
    ],
)
def test_a_count_before_a_plural_is_seen(text: str, found: bool) -> None:
    assert bool(list(uncounted(ast.parse(f'f"{text}"')))) == found


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_one_thing_is_not_told_as_one_things(path: Path) -> None:
    for value, words in uncounted(ast.parse(path.read_text())):
        assert (dotted(path), value) in NO_COUNT, (
            f'{path.relative_to(ROOT)}: "{{{value}}}{words}" would say "1{words}": write it with curate.counting.counted'
        )
