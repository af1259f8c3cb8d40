"""README's tables say what the code does. `python -m tests.test_readme` prints both as they must stand there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from authsvc.domain.permissions import MEMBER_ROLES, PROJECT_MATRIX, Role
from authsvc.settings import ACTIVE_DIRECTORY, SCALARS, LdapSettings, OidcSettings, Settings, UaaSettings, load

README = Path(__file__).parent.parent / "README.md"
ROLES = ("resource", *MEMBER_ROLES, Role.VISITOR)
SETTINGS = ("setting", "default", "meaning")
IN_PROVIDER = ("setting of an OIDC provider", "default", "meaning")
IN_DIRECTORY = ("setting of a directory", "default", "meaning")
OF_PROVIDER = ("setting of a UAA", "default", "meaning")


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().strip("`").replace("–", "") for cell in line.strip().strip("|").split("|"))


def table(*head: str) -> dict[str, tuple[str, ...]]:
    """The rows of README's table with that head, by their first cell."""
    lines = iter(README.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if cells(line) == head:
            break
    rows = {}
    for line in lines:
        if not line.startswith("|"):
            break
        rows[cells(line)[0]] = cells(line)[1:]
    return {name: row for name, row in rows.items() if name.strip("-: ")}


def shown(value: object) -> str:
    if value in (None, "", ()):
        return ""
    return (
        ", ".join(value) if isinstance(value, tuple) else str(value) if isinstance(value, str) else str(value).lower()
    )


def default_settings(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from default_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", shown(value)


DEFAULTS = dict(default_settings(Settings()))
DIRECTORY = LdapSettings.model_construct(urls=(), base="")
IN_DIRECTORIES = {name: shown(getattr(DIRECTORY, name)) for name in LdapSettings.model_fields}
OF_PROVIDERS = dict(default_settings(UaaSettings.model_construct(client_id="", client_secret=None)))


PROVIDER = OidcSettings.model_construct(issuer="", client_id="", client_secret="")
IN_PROVIDERS = {name: shown(getattr(PROVIDER, name)) for name in OidcSettings.model_fields}


@pytest.mark.parametrize("resource", PROJECT_MATRIX)
def test_readme_has_the_rights_of_the_code(resource):
    assert table(*ROLES).get(resource) == PROJECT_MATRIX[resource]


def test_readme_has_no_right_that_the_code_has_not():
    assert table(*ROLES).keys() <= PROJECT_MATRIX.keys()


@pytest.mark.parametrize("setting", DEFAULTS)
def test_readme_has_each_setting_with_its_default(setting):
    default, meaning = table(*SETTINGS).get(setting, ("missing", ""))
    assert (default, bool(meaning)) == (DEFAULTS[setting], True)


@pytest.mark.parametrize("setting", IN_DIRECTORIES)
def test_readme_has_each_setting_of_a_directory_with_its_default(setting):
    default, meaning = table(*IN_DIRECTORY).get(setting, ("missing", ""))
    assert (default, bool(meaning)) == (IN_DIRECTORIES[setting], True)


def test_readme_has_no_setting_of_a_directory_that_the_code_has_not():
    assert table(*IN_DIRECTORY).keys() <= IN_DIRECTORIES.keys()


@pytest.mark.parametrize("setting", IN_PROVIDERS)
def test_readme_has_each_setting_of_an_oidc_provider_with_its_default(setting):
    default, meaning = table(*IN_PROVIDER).get(setting, ("missing", ""))
    assert (default, bool(meaning)) == (IN_PROVIDERS[setting], True)


def test_readme_has_no_setting_of_an_oidc_provider_that_the_code_has_not():
    assert table(*IN_PROVIDER).keys() <= IN_PROVIDERS.keys()


def test_readmes_provider_is_one(tmp_path):
    block = next(part for part in README.read_text(encoding="utf-8").split("```") if "[oidc.keycloak]" in part)
    (tmp_path / "authsvc.toml").write_text(block.removeprefix("toml\n"), encoding="utf-8")
    found = load({"AUTHSVC_HOME": str(tmp_path), "AUTHSVC_OIDC__KEYCLOAK__CLIENT_SECRET": "x"})
    assert found.oidc["keycloak"].label == "Company login"


def test_readme_has_what_active_directory_changes():
    changed = {name: (shown(value),) for name, value in ACTIVE_DIRECTORY.items()}
    assert table("setting of a directory", "default with `active-directory") == changed


@pytest.mark.parametrize("setting", OF_PROVIDERS)
def test_readme_has_each_setting_of_a_provider_with_its_default(setting):
    default, meaning = table(*OF_PROVIDER).get(setting, ("missing", ""))
    assert (default, bool(meaning)) == (OF_PROVIDERS[setting], True)


def test_readme_has_no_setting_of_a_provider_that_the_code_has_not():
    assert table(*OF_PROVIDER).keys() <= OF_PROVIDERS.keys()


def test_readme_names_what_the_table_may_hold():
    _, _, after = README.read_text(encoding="utf-8").partition("It may hold ")
    assert tuple(re.findall(r"`([^`]+)`", after.partition("and whole sources")[0])) == SCALARS


def test_readme_has_no_setting_that_the_code_has_not():
    assert table(*SETTINGS).keys() <= DEFAULTS.keys()


def expected() -> Iterator[str]:
    """Both tables as markdown; the meanings are for a person to write."""
    yield from ("| " + " | ".join(ROLES) + " |", "| --- " * len(ROLES) + "|")
    for resource, row in PROJECT_MATRIX.items():
        yield "| " + " | ".join([f"`{resource}`", *(cell or "–" for cell in row)]) + " |"
    yield from ("", "| " + " | ".join(SETTINGS) + " |", "| --- | --- | --- |")
    for name, default in DEFAULTS.items():
        yield f"| `{name}` | {f'`{default}`' if default else '–'} | … |"


if __name__ == "__main__":
    print(*expected(), sep="\n")
