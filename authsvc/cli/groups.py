"""`authsvc group …`."""

import click

from authsvc.cli.output import done, json_option, moment, show, work
from authsvc.core import groups


@click.group()
def group() -> None:
    """Groups, which are given roles in projects as people are."""


@group.command()
@click.argument("name")
@click.option("--source", default=groups.LOCAL, help="The directory that it is of; ours when left out.")
@click.option("--key", default="", metavar="DN", help="What the directory tells it by.")
@json_option
def add(name: str, *, source: str, key: str, as_json: bool) -> None:
    """Add a group. A directory's appears by itself when somebody in it logs in."""
    with work() as w:
        if source not in w.settings.chain:
            raise click.BadParameter(f"one of {', '.join(w.settings.chain)}", param_hint="--source")
        groups.add(w.session, w.actor, groups.AddGroup(name=name, source=source, key=key), w.now)
    done({"name": name, "source": source}, f"added group {name}", as_json=as_json)


@group.command(name="list")
@json_option
def list_groups(*, as_json: bool) -> None:
    """Every group."""
    with work() as w:
        rows = [
            {"name": row.name, "source": row.source, "key": row.key, "users": row.users, "roles": row.roles}
            for row in groups.list_all(w.session, w.actor)
        ]
    show(rows, as_json=as_json, empty="no groups")


@group.command(name="show")
@click.argument("name")
@json_option
def show_users(name: str, *, as_json: bool) -> None:
    """Who belongs to a group: a directory's as last seen."""
    with work() as w:
        rows = [
            {"name": row.name, "email": row.email, "enabled": row.enabled, "created": moment(row.created_at)}
            for row in groups.list_users(w.session, w.actor, name)
        ]
    show(rows, as_json=as_json, empty=f"nobody is in {name}")


@group.command()
@click.argument("name")
@click.argument("user")
@json_option
def add_user(name: str, user: str, *, as_json: bool) -> None:
    """Put a user into a group of our own."""
    with work() as w:
        groups.add_user(w.session, w.actor, groups.Belonging(group=name, user=user), w.now)
    done({"name": name, "user": user}, f"{user} is in {name}", as_json=as_json)


@group.command()
@click.argument("name")
@click.argument("user")
@json_option
def remove_user(name: str, user: str, *, as_json: bool) -> None:
    """Take a user out of a group of our own."""
    with work() as w:
        groups.remove_user(w.session, w.actor, groups.Belonging(group=name, user=user), w.now)
    done({"name": name, "user": user}, f"{user} is no longer in {name}", as_json=as_json)


@group.command()
@click.argument("name")
@json_option
def delete(name: str, *, as_json: bool) -> None:
    """Delete a group and the roles that it was given."""
    with work() as w:
        groups.delete(w.session, w.actor, name, w.now)
    done({"name": name}, f"deleted group {name}", as_json=as_json)
