"""Rules that no linter knows."""

import ast
from importlib import metadata
from pathlib import Path

import pytest

import authsvc
from authsvc.core import audit, keys, members, projects, rights, users

SOURCE = Path(authsvc.__file__).parent
TESTS = Path(__file__).parent
MIRRORED = ("domain", "core", "identity", "web", "jobs", "registry", "db", "cli")
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
}

GUARDED = (users, projects, members, audit, keys, rights)
UNGUARDED = {
    "audit.record": "writes what the caller, who was let in, does; whoever is refused is recorded too",
    "audit.refused_login": "writes down whoever was not let in",
    "rights.require": "is the guard",
}


def takes_actor(function: ast.FunctionDef) -> bool:
    return any(argument.arg == "actor" for argument in [*function.args.args, *function.args.kwonlyargs])


def calls_require(function: ast.FunctionDef) -> bool:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(isinstance(called, ast.Name) and called.id == "require" for called in calls)


def use_cases() -> dict[str, ast.FunctionDef]:
    """Every public function of the core that is told who asks."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{node.name}": node
        for module in GUARDED
        for node in ast.parse(Path(module.__file__).read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and takes_actor(node)
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
    assert calls_require(use_cases()[name])


def test_no_exception_to_the_guard_is_out_of_date():
    assert UNGUARDED.keys() <= use_cases().keys()


def test_the_walk_finds_use_cases():
    assert {"users.add", "members.set_role", "audit.verify", "keys.add", "rights.explain"} <= use_cases().keys()


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
