"""`authsvc robot …`, `authsvc access-token …` and `authsvc refresh-token …`."""

import click

from authsvc.cli.output import Work, done, json_option, moment, show, work
from authsvc.core import access_tokens, refresh_tokens, robots
from authsvc.domain.permissions import TOKEN_ACTIONS


@click.group()
def robot() -> None:
    """Accounts for machines. NAME is without the prefix: ci, or acme+ci for one of project acme."""


_permission = click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PLACE:RESOURCE:ACTIONS",
    help="What it may do, such as acme:repository:pull,push; * as PLACE is every project, / outside projects.",
)


@robot.command(name="add")
@click.argument("name")
@click.option("--project", default="", help="Make it a robot of this project.")
@click.option("--days", default=30, show_default=True, help="How long its secret is good; -1 for ever.")
@click.option("--description", default="")
@_permission
@json_option
def add_robot(name: str, *, project: str, days: int, description: str, allowed: tuple[str, ...], as_json: bool) -> None:
    """Add a robot and print its secret, this once."""
    with work() as w:
        command = robots.AddRobot(
            name=name,
            project=project,
            days=days,
            description=description,
            permissions=tuple(map(robots.parse_permission, allowed)),
        )
        made = robots.add(w.session, w.actor, command, w.now)
        _tell_secret(w, made, as_json=as_json)


@robot.command(name="list")
@click.option("--project", default="", help="Those of this project only.")
@json_option
def list_robots(*, project: str, as_json: bool) -> None:
    """Every robot."""
    with work() as w:
        rows = [
            {
                "name": w.settings.robot_prefix + row.name,
                "project": row.project,
                "enabled": row.enabled,
                "expires": _end(row.expires_at),
                "last_used": _time(row.last_used_at),
                "permissions": " ".join(row.permissions),
                "trusts": " ".join(row.trusts),
            }
            for row in robots.list_all(w.session, w.actor, project)
        ]
    show(rows, as_json=as_json, empty="no robots")


@robot.command()
@click.option("--days", type=int, help="How far ahead to look; the setting robot_warning_days when left out.")
@json_option
def expiring(*, days: int | None, as_json: bool) -> None:
    """Robots that have expired or soon will."""
    with work() as w:
        within = days if days is not None else w.settings.robot_warning_days
        rows = [
            {"name": w.settings.robot_prefix + row.name, "expires": _end(row.expires_at)}
            for row in robots.list_expiring(w.session, w.actor, within, w.now)
        ]
    show(rows, as_json=as_json, empty="no robot expires soon")


@robot.command(name="set")
@click.argument("name")
@click.option("--enable/--disable", "enabled", default=None)
@click.option("--days", type=int, help="Counted from its creation; -1 for ever.")
@_permission
@json_option
def set_robot(name: str, *, enabled: bool | None, days: int | None, allowed: tuple[str, ...], as_json: bool) -> None:
    """Enable, disable or prolong a robot, or give it other rights in place of all it has."""
    with work() as w:
        given = tuple(map(robots.parse_permission, allowed)) or None
        command = robots.ChangeRobot(name=bare(w, name), enabled=enabled, days=days, permissions=given)
        changed = robots.change(w.session, w.actor, command, w.now)
        facts = {"name": changed.name, "enabled": changed.enabled, "expires": _end(changed.expires_at)}
    done(facts, f"changed {name}", as_json=as_json)


@robot.command()
@click.argument("name")
@json_option
def refresh(name: str, *, as_json: bool) -> None:
    """Give a robot a new secret and print it, this once; the old one is refused at once."""
    with work() as w:
        _tell_secret(w, robots.refresh(w.session, w.actor, bare(w, name), w.now), as_json=as_json)


@robot.command(name="delete")
@click.argument("name")
@json_option
def delete_robot(name: str, *, as_json: bool) -> None:
    """Delete a robot."""
    with work() as w:
        robots.delete(w.session, w.actor, bare(w, name), w.now)
    done({"name": name}, f"deleted {name}", as_json=as_json)


@click.group("access-token")
def access_token() -> None:
    """Personal access tokens: what people give to docker in place of their password."""


@access_token.command(name="add")
@click.argument("user")
@click.argument("name")
@click.option("--days", default=90, show_default=True, help="How long it is good; 0 for ever.")
@click.option("--action", "actions", multiple=True, type=click.Choice(list(TOKEN_ACTIONS)), help="pull and push.")
@click.option("--repository", "patterns", multiple=True, metavar="PATTERN", help="Such as acme/web-* or acme/**; all.")
@json_option
def add_token(
    user: str, name: str, *, days: int, actions: tuple[str, ...], patterns: tuple[str, ...], as_json: bool
) -> None:
    """Make a token for a user and print it, this once."""
    with work() as w:
        command = access_tokens.AddToken(
            user=user, name=name, days=days or None, actions=actions or ("pull", "push"), patterns=patterns
        )
        made = access_tokens.add(w.session, w.actor, command, w.now)
        facts = {"user": user, "name": name, "secret": made.secret, "expires": _end(made.token.expires_at)}
    done(facts, f"{made.secret}\nshown this once; docker login -u {user} takes it as the password", as_json=as_json)


@access_token.command(name="list")
@click.argument("user")
@json_option
def list_tokens(user: str, *, as_json: bool) -> None:
    """A user's tokens."""
    with work() as w:
        rows = [
            {
                "name": row.name,
                "actions": row.actions,
                "repositories": row.patterns or "**",
                "expires": _end(row.expires_at),
                "last_used": _time(row.last_used_at),
            }
            for row in access_tokens.list_all(w.session, w.actor, user)
        ]
    show(rows, as_json=as_json, empty=f"{user} has no tokens")


@access_token.command(name="revoke")
@click.argument("user")
@click.argument("name")
@json_option
def revoke_token(user: str, name: str, *, as_json: bool) -> None:
    """Revoke a token; it is refused at once."""
    with work() as w:
        access_tokens.revoke(w.session, w.actor, user, name, w.now)
    done({"user": user, "name": name}, f"revoked {name} of {user}", as_json=as_json)


@click.group("refresh-token")
def refresh_token() -> None:
    """What docker keeps in place of a password, where token.refresh_tokens is on."""


@refresh_token.command(name="list")
@click.option("--user", default="", help="Those of this user only.")
@json_option
def list_refresh(*, user: str, as_json: bool) -> None:
    """Refresh tokens that are good."""
    with work() as w:
        rows = [
            {
                "id": row.id,
                "user": row.user,
                "service": row.service,
                "client": row.client,
                "created": moment(row.created_at),
                "expires": moment(row.expires_at),
                "last_used": _time(row.last_used_at),
            }
            for row in refresh_tokens.list_all(w.session, w.actor, user)
        ]
    show(rows, as_json=as_json, empty="no refresh tokens")


@refresh_token.command(name="revoke")
@click.argument("token_id", metavar="[ID]", type=int, required=False)
@click.option("--user", help="All of this user.")
@click.option("--all", "every", is_flag=True, help="All there are.")
@json_option
def revoke_refresh(token_id: int | None, *, user: str | None, every: bool, as_json: bool) -> None:
    """Revoke one refresh token, or those of a user, or all; they are refused at once."""
    if sum((token_id is not None, user is not None, every)) != 1:
        raise click.UsageError("name one ID, or --user NAME, or --all")
    with work() as w:
        if token_id is not None:
            refresh_tokens.revoke(w.session, w.actor, token_id, w.now)
        elif user is not None:
            refresh_tokens.revoke_user(w.session, w.actor, user, w.now)
        else:
            refresh_tokens.revoke_all(w.session, w.actor, w.now)
    done({"id": token_id, "user": user, "all": every}, "revoked", as_json=as_json)


def bare(w: Work, name: str) -> str:
    """The name without its prefix, which a person may or may not have typed."""
    return name.removeprefix(w.settings.robot_prefix)


def _tell_secret(w: Work, made: robots.Made, *, as_json: bool) -> None:
    name = w.settings.robot_prefix + made.robot.name
    facts = {"name": name, "secret": made.secret, "expires": _end(made.robot.expires_at)}
    done(facts, f"{made.secret}\nshown this once; docker login -u '{name}' takes it as the password", as_json=as_json)


def _end(seconds: int | None) -> str:
    return "never" if seconds is None else moment(seconds)


def _time(seconds: int | None) -> str:
    return "" if seconds is None else moment(seconds)
