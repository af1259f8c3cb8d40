"""Reading the settings: defaults < the table in the database < `authsvc.toml` < environment < files named by `*_FILE`.

`AUTHSVC_PORT=5000` sets `port`, `AUTHSVC_TOKEN__LIFETIME=600` sets `token.lifetime`, and
`AUTHSVC_DATABASE__PASSWORD_FILE=/run/secrets/db`, or `password_file` under `[database]`, reads `database.password` from
that file. Values of the table name no files: who may change it must not read this machine's secrets.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from authsvc.errors import Invalid, Misconfigured, say
from authsvc.settings.given import Given, Tree
from authsvc.settings.sections import Settings
from authsvc.settings.stored import is_storable

PREFIX = "AUTHSVC_"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the data directory's `authsvc.toml` and the environment, without the table.

    Args:
        environ: the environment, `os.environ` when None.

    Raises:
        Misconfigured: with every mistake, one a line.
    """
    mistakes: list[str] = []
    given = _read(os.environ if environ is None else environ, mistakes)
    try:
        settings = with_stored(given, {})
    except Invalid as exc:
        mistakes += [f"{name}: {reason}" for name, reason in exc.fields.items()]
    if mistakes:
        raise Misconfigured("these settings are wrong:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    return settings


def with_stored(given: Given, stored: Tree) -> Settings:
    """The settings with those of the table, by name, under what is given. What is no setting of the table is ignored.

    A source that the file or the environment mentions is theirs alone: were its password given there and its address
    stored, whoever may change the table could have the password sent to a server of theirs.

    Raises:
        Invalid: with every mistake, by the name of the setting.
    """
    try:
        settings = Settings.model_validate(given.over(_tree(given, stored)))
    except ValidationError as exc:
        raise Invalid(dict(map(_sentence, exc.errors()))) from exc
    return settings.with_given(given)


def _tree(given: Given, stored: Tree) -> dict[str, Any]:
    """What is stored and not given, as a tree."""
    tree: dict[str, Any] = {}
    for name, value in stored.items():
        if is_storable(name) and given.origin(name) is None:
            *section, leaf = name.split(".")
            branch = tree.setdefault(section[0], {}) if section else tree
            branch[leaf] = value
    return tree


def _sentence(error: ErrorDetails) -> tuple[str, str]:
    """The name of a setting, and what is wrong with it.

    What several settings break together says whose fault it is in front of its reason.
    """
    name, facts = ".".join(str(part) for part in error["loc"]), error.get("ctx", {})
    if error["type"] == "value_error":
        *whose, reason = facts["error"].args
        return whose[0] if whose else name, reason
    wrong = _WRONG.get(error["type"])
    return name, wrong(facts) if wrong else error["msg"]


_WRONG: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "extra_forbidden": lambda _: say("unknown setting"),
    "missing": lambda _: say("this is needed"),
    "int_parsing": lambda _: say("a whole number"),
    "int_from_float": lambda _: say("a whole number"),
    "float_parsing": lambda _: say("a number"),
    "bool_parsing": lambda _: say("true or false"),
    "greater_than_equal": lambda facts: say("%(least)s or more", least=facts["ge"]),
    "less_than_equal": lambda facts: say("%(most)s or less", most=facts["le"]),
    "literal_error": lambda facts: say("one of %(words)s", words=facts["expected"]),
    "string_pattern_mismatch": lambda _: say("this is not written as it has to be"),
    "string_too_short": lambda facts: say("at least %(least)s characters", least=facts["min_length"]),
    "too_short": lambda facts: say("at least %(least)s of them", least=facts["min_length"]),
}
"""What pydantic finds wrong, in words that a page can translate; of the rest its own are taken."""


def _read(environ: Mapping[str, str], mistakes: list[str]) -> Given:
    environment = _from_environment(environ, mistakes)
    home = Path(str(environment.get("home") or "data")).expanduser().absolute()
    return Given(_from_file(home / "authsvc.toml", mistakes), {**environment, "home": str(home)})


def _from_file(path: Path, mistakes: list[str]) -> dict[str, Any]:
    try:
        return _with_files(tomllib.loads(path.read_text(encoding="utf-8")), mistakes)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        mistakes.append(f"{path}: {exc}")
        return {}


def _with_files(tree: dict[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """The same with what the files hold that are named by `…_file`."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if name.endswith("_file") and isinstance(value, str):
            found[name.removesuffix("_file")] = _secret_file(name, value, mistakes)
        else:
            found[name] = _with_files(value, mistakes) if isinstance(value, dict) else value
    return found


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        value = _secret_file(variable, text, mistakes) if name.endswith("_file") else text
        name = name.removesuffix("_file")
        *sections, leaf = name.split("__")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
            if not isinstance(branch, dict):
                mistakes.append(f"{variable}: {section} is not a section")
                branch = {}
        branch[leaf] = value
    return tree


def _secret_file(variable: str, path: str, mistakes: list[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        mistakes.append(f"{variable}: {exc}")
        return ""
