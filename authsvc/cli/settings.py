"""`authsvc setting …`: settings that are changed while the service runs."""

import sys
from collections.abc import Iterator, Sequence

import click

from authsvc.cli.output import Work, done, json_option, moment, show, work
from authsvc.core import settings_store
from authsvc.core.settings_store import Basis, Listed, SetSetting, SetSource
from authsvc.settings import Kind, Origin, kind_of

_SOON = "running processes follow within two seconds"


@click.group()
def setting() -> None:
    """Settings kept in the database. What the file or the environment says goes before them."""


@setting.command(name="list")
@click.option("--all", "every", is_flag=True, help="Those that have their default, too.")
@json_option
def list_(*, every: bool, as_json: bool) -> None:
    """What is set, and where: table, file or environment. Secrets are not shown."""
    with work() as w:
        listed = settings_store.list_all(w.session, w.actor, _basis(w))
    rows = [_row(one, as_json=as_json) for one in listed if every or one.origin is not Origin.DEFAULT]
    show(rows, as_json=as_json, empty="every setting has its default")


@setting.command(name="set")
@click.argument("name")
@click.argument("values", nargs=-1, metavar="VALUE | FIELD=VALUE...")
@click.option("--secret", metavar="FIELD", help="Ask for this field, or read it as a line from standard input.")
@click.option("--default", "defaults", multiple=True, metavar="FIELD", help="Give this field its default again.")
@json_option
def set_(name: str, *, values: tuple[str, ...], secret: str | None, defaults: tuple[str, ...], as_json: bool) -> None:
    """Give NAME a value, as AUTHSVC_… would, or a source (ldap.corp, uaa.NAME, oidc.NAME) some fields.

    Fields of a source that are not named stay as they are.
    """
    kind = kind_of(name)
    if kind is None:
        command: SetSetting | SetSource = SetSetting(name=name, value=_only(values, secret, defaults))
    else:
        fields = dict(_fields(kind, values, secret)) | dict.fromkeys(defaults)
        section, _, source = name.partition(".")
        command = SetSource(kind=section, name=source, fields=fields)
    with work() as w:
        if isinstance(command, SetSource):
            settings_store.set_source(w.session, w.actor, command, _basis(w), w.now)
        else:
            settings_store.set_value(w.session, w.actor, command, _basis(w), w.now)
    done({"name": name}, f"{name} is set; {_SOON}", as_json=as_json)


@setting.command()
@click.argument("name")
@json_option
def unset(name: str, *, as_json: bool) -> None:
    """Take NAME out of the database: it has its default again, or the source is gone."""
    with work() as w:
        settings_store.remove(w.session, w.actor, name, _basis(w), w.now)
    done({"name": name}, f"{name} is no longer set in the database; {_SOON}", as_json=as_json)


def _basis(w: Work) -> Basis:
    return Basis.of(w.given)


def _row(one: Listed, *, as_json: bool) -> dict[str, object]:
    row: dict[str, object] = {"name": one.name, "value": one.value, "from": one.origin.value}
    if as_json:
        changed = moment(one.changed_at) if one.changed_at is not None else ""
        return row | {"default": one.default, "changed": changed, "by": one.changed_by, "problem": one.problem}
    return row | {"value": one.problem or _text(one.value)}


def _text(value: object) -> str:
    """A value as it can be typed."""
    match value:
        case dict():
            return " ".join(f"{name}={_text(one)}" for name, one in value.items())
        case bool():
            return str(value).lower()
        case list():
            separator = ";" if any("," in str(one) for one in value) else ","
            return separator.join(map(str, value))
        case _:
            return "" if value is None else str(value)


def _only(values: Sequence[str], secret: str | None, defaults: Sequence[str]) -> str:
    if len(values) != 1 or secret or defaults:
        raise click.UsageError("give one VALUE; FIELD=VALUE, --secret and --default are for sources, such as ldap.corp")
    return values[0]


def _fields(kind: Kind, values: Sequence[str], secret: str | None) -> Iterator[tuple[str, str]]:
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.UsageError(f"{value} is not FIELD=VALUE")
        if name == kind.secret:
            raise click.UsageError(f"others could read {name} here: use --secret {name}")
        yield name, text
    if secret is not None:
        yield _secret(kind, secret)


def _secret(kind: Kind, name: str) -> tuple[str, str]:
    if name != kind.secret:
        raise click.BadParameter(f"{kind.secret} is the field that is secret", param_hint="--secret")
    given: str = click.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise click.BadParameter(f"{name} is empty", param_hint="--secret")
    return name, given
