"""`authsvc session …`."""

import click

from authsvc.cli.output import done, json_option, moment, show, work
from authsvc.core import sessions


@click.group()
def session() -> None:
    """Browsers that are logged in to the site."""


@session.command(name="list")
@click.option("--user", default="", help="Those of this user only.")
@json_option
def list_(user: str, *, as_json: bool) -> None:
    """Sessions that have not ended, the one used last first."""
    with work() as w:
        rows = [
            {
                "id": row.id,
                "user": row.user,
                "address": row.address,
                "browser": row.browser,
                "begun": moment(row.created_at),
                "last_seen": moment(row.last_seen_at),
            }
            for row in sessions.list_all(w.session, w.actor, w.settings.session, w.now, user)
        ]
    show(rows, as_json=as_json, empty="no sessions")


@session.command()
@click.argument("session_id", metavar="[ID]", type=int, required=False)
@click.option("--user", help="All of this user.")
@click.option("--all", "every", is_flag=True, help="All there are.")
@json_option
def end(session_id: int | None, *, user: str | None, every: bool, as_json: bool) -> None:
    """End one session, or those of a user, or all; the browsers are logged out at once."""
    if sum((session_id is not None, user is not None, every)) != 1:
        raise click.UsageError("name one ID, or --user NAME, or --all")
    with work() as w:
        if session_id is not None:
            sessions.end(w.session, w.actor, session_id, w.now)
        elif user is not None:
            sessions.end_user(w.session, w.actor, user, w.now)
        else:
            sessions.end_all(w.session, w.actor, w.now)
    done({"id": session_id, "user": user, "all": every}, "ended", as_json=as_json)
