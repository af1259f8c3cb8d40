"""`authsvc user …`."""

import sys

import click

from authsvc.cli.output import Whole, done, json_option, moment, progress, show, whole, work
from authsvc.core import directories, throttle, users
from authsvc.identity import Directory


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


@user.command(name="import")
@click.argument("source")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def import_users(source: str, names: tuple[str, ...], *, as_json: bool) -> None:
    """Make accounts for people of a directory who have not logged in yet."""
    with whole() as w:
        found = [directories.import_user(w.engine, w.actor, _directory(w, source), name, w.now) for name in names]
    done({"names": [one.name for one in found]}, f"imported {', '.join(one.name for one in found)}", as_json=as_json)


@user.command()
@click.argument("source", required=False)
@click.option("--force", is_flag=True, help="Even if most people would lose their access.")
@json_option
def sync(source: str | None, *, force: bool, as_json: bool) -> None:
    """Ask a directory, or each, about everybody who came from it; who vanished there is disabled here."""
    rows = []
    with whole() as w:
        for name in [source] if source else w.services.directories:
            told = progress(f"asking {name}")
            found = directories.sync(w.engine, w.actor, _directory(w, name), w.now, force=force, progress=told)
            rows.append(
                {
                    "source": name,
                    "people": found.asked,
                    "changed": len(found.changed),
                    "vanished": " ".join(found.vanished),
                    "refused": "; ".join(found.refused),
                }
            )
    show(rows, as_json=as_json, empty="there is no directory")


def _directory(w: Whole, name: str) -> Directory:
    if name not in w.services.directories:
        there = ", ".join(w.services.directories) or "none is configured"
        raise click.BadParameter(f"{name} is no directory: {there}", param_hint="SOURCE")
    return w.services.directories[name]


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
