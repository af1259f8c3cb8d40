"""`authsvc user …`."""

import sys

import click

from authsvc.cli.output import done, json_option, moment, show, work
from authsvc.core import throttle, users


@click.group()
def user() -> None:
    """People who may log in."""


_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Make a system administrator.")
@click.option("--email", default="", help="An address.")
@_stdin
@json_option
def add(name: str, *, admin: bool, email: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user; asks for the password."""
    password = _password(from_stdin=password_stdin)
    with work() as w:
        command = users.AddUser(
            name=name, password=password, email=email, admin=admin, min_length=w.settings.password.min_length
        )
        added = users.add(w.session, w.actor, command, w.now)
    done({"name": added.name, "admin": added.admin}, f"added {added.name}", as_json=as_json)


@user.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """Every user."""
    with work() as w:
        rows = [
            {
                "name": row.name,
                "email": row.email,
                "admin": row.admin,
                "enabled": row.enabled,
                "source": row.source,
                "created": moment(row.created_at),
            }
            for row in users.list_all(w.session, w.actor)
        ]
    show(rows, as_json=as_json, empty="no users")


@user.command()
@click.argument("name")
@_stdin
@json_option
def passwd(name: str, *, password_stdin: bool, as_json: bool) -> None:
    """Give a user a new password; the old one is refused at once."""
    password = _password(from_stdin=password_stdin)
    with work() as w:
        command = users.SetPassword(name=name, password=password, min_length=w.settings.password.min_length)
        changed = users.set_password(w.session, w.actor, command, w.now)
    done({"name": changed.name}, f"{changed.name} has a new password", as_json=as_json)


@user.command()
@click.argument("name")
@json_option
def disable(name: str, *, as_json: bool) -> None:
    """Keep a user out without forgetting their roles."""
    _set_enabled(name, enabled=False, as_json=as_json)


@user.command()
@click.argument("name")
@json_option
def enable(name: str, *, as_json: bool) -> None:
    """Let a disabled user in again."""
    _set_enabled(name, enabled=True, as_json=as_json)


@user.command()
@click.argument("name")
@json_option
def unlock(name: str, *, as_json: bool) -> None:
    """Forget a user's failed logins, so that the next one need not wait."""
    with work() as w:
        unlocked = throttle.unlock(w.session, w.actor, name, w.now)
    done({"name": unlocked}, f"{unlocked} need not wait to log in", as_json=as_json)


@user.command()
@click.argument("name")
@json_option
def delete(name: str, *, as_json: bool) -> None:
    """Delete a user and their roles."""
    with work() as w:
        users.delete(w.session, w.actor, users.DeleteUser(name=name), w.now)
    done({"name": name}, f"deleted {name}", as_json=as_json)


def _set_enabled(name: str, *, enabled: bool, as_json: bool) -> None:
    with work() as w:
        changed = users.set_enabled(w.session, w.actor, users.SetEnabled(name=name, enabled=enabled), w.now)
    word = "enabled" if enabled else "disabled"
    done({"name": changed.name, "enabled": enabled}, f"{changed.name} is {word}", as_json=as_json)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password: use --password-stdin")
    given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return given
