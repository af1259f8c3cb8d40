"""Rules that no linter knows."""

import ast
from importlib import metadata
from pathlib import Path

import pytest

import authsvc

SOURCE = Path(authsvc.__file__).parent
TESTS = Path(__file__).parent
MIRRORED = ("domain", "core", "identity", "web", "web/admin", "jobs", "registry", "db", "cli")
MODULES = [
    path.relative_to(SOURCE)
    for folder in MIRRORED
    for path in sorted((SOURCE / folder).glob("*.py"))
    if path.stem != "__init__"
]

TESTED_ELSEWHERE = {
    Path("cli/run.py"): "tests/stack and tests/e2e run it",
    Path("cli/doctor.py"): "tests/stack and tests/e2e run it",
}

# Below these, a version has a known hole or lacks what this project needs.
FLOORS = {
    "PyJWT": (2, 15, 0),
    "gunicorn": (26, 1),
    "Flask": (3, 1, 3),
    "Werkzeug": (3, 1, 6),
    "Jinja2": (3, 1, 6),
    "PyMySQL": (1, 1, 1),
    "Authlib": (1, 9, 0),
}

UNGUARDED = {
    "audit.record": "writes what the caller, who was let in, does; whoever is refused is recorded too",
    "audit.refused_login": "writes down whoever was not let in",
    "onboarding.add": "belongs to a login that a source just vouched for, or to a use case that asked the table",
    "onboarding.refresh": "the same",
    "projects.get_visible": "is a guard, too: what an actor may know of",
    "projects.list_page": "has what an actor may know of, and nothing else",
    "previews.of_member": "is let in as the change itself is, by members.require_set and require_remove",
    "refresh_tokens.add": "belongs to a login that was just proved",
    "refresh_tokens.replace": "belongs to a refresh that was just proved",
    "refresh_tokens.revoke_family": "answers a token that came back after its end, whoever shows it",
    "rights.require": "is the guard",
    "robots.get_visible": "is a guard, too: what an actor may know of",
    "robots.require_as_strong": "is a guard, too",
    "search.search": "finds what its lists show, each of which asks",
    "sessions.begin": "belongs to a login that was just proved",
    "users.fewest_characters": "says how much a use case that asked the table asks for",
}


def takes_actor(function: ast.FunctionDef) -> bool:
    return any(argument.arg == "actor" for argument in [*function.args.args, *function.args.kwonlyargs])


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The functions of a module, by name."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def calls_require(path: Path, name: str) -> bool:
    """Whether a function calls `require`, itself or through one of its module."""
    if name == "require":
        return True
    found = functions(path)
    called = [
        node.func.id for node in ast.walk(found[name]) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return "require" in called or any(calls_require(path, one) for one in called if one in found and one != name)


def use_cases() -> dict[str, tuple[Path, str]]:
    """Every public function of the core that is told who asks."""
    return {
        f"{path.stem}.{name}": (path, name)
        for path in sorted((SOURCE / "core").glob("*.py"))
        for name, node in functions(path).items()
        if not name.startswith("_") and takes_actor(node)
    }


def released(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in metadata.version(name).split(".") if part.isdigit())


@pytest.mark.parametrize("module", [module for module in MODULES if module not in TESTED_ELSEWHERE], ids=str)
def test_every_module_has_its_tests(module):
    assert (TESTS / module.parent / f"test_{module.name}").is_file()


@pytest.mark.parametrize("folder", MIRRORED)
def test_every_test_file_has_its_module(folder):
    modules = tuple(f"test_{module.stem}" for module in MODULES if module.parent == Path(folder))
    assert [path.name for path in (TESTS / folder).glob("test_*.py") if not path.name.startswith(modules)] == []


def test_no_exception_to_the_mirror_is_out_of_date():
    assert TESTED_ELSEWHERE.keys() <= set(MODULES)


@pytest.mark.parametrize("name", sorted(use_cases().keys() - UNGUARDED.keys()))
def test_a_use_case_asks_the_rights_table(name):
    assert calls_require(*use_cases()[name])


def test_no_exception_to_the_guard_is_out_of_date():
    assert UNGUARDED.keys() <= use_cases().keys()


def test_the_walk_finds_use_cases():
    assert {
        "users.add",
        "members.set_role",
        "audit.verify",
        "robots.refresh",
        "access_tokens.revoke",
    } <= use_cases().keys()


@pytest.mark.parametrize("name", FLOORS)
def test_a_dependency_is_new_enough(name):
    assert released(name) >= FLOORS[name]


@pytest.mark.parametrize("name", FLOORS)
def test_a_dependency_that_is_too_old_is_not_installed(name):
    required = [
        line
        for line in metadata.requires("authsvc")
        if line.lower().startswith(name.lower() + ">=") or line.lower().startswith(name.lower() + "<")
    ]
    assert any(f">={'.'.join(map(str, FLOORS[name]))}" in line for line in required)
