"""`authsvc audit …`."""

import click

from authsvc.cli.output import json_option, moment, show, work
from authsvc.core import audit as trail


@click.group()
def audit() -> None:
    """What was changed, and which logins were refused."""


@audit.command(name="list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="How many rows.")
@json_option
def list_(limit: int, *, as_json: bool) -> None:
    """The newest events, newest first."""
    with work() as w:
        rows = [
            {
                "id": event.id,
                "time": moment(event.at),
                "actor": event.actor,
                "credential": event.credential,
                "source": event.source,
                "action": event.action,
                "object": event.object,
                "result": event.result,
                "detail": event.detail,
                "request_id": event.request_id,
            }
            for event in trail.list_newest(w.session, w.actor, limit)
        ]
    show(rows, as_json=as_json, empty="nothing happened yet")


@audit.command()
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Walk the chain of hashes: was a row changed, removed or reordered?"""
    with work() as w:
        found = trail.verify(w.session, w.actor)
    if found.broken_at is not None:
        click.echo(f"row {found.broken_at} is not what was written; the {found.whole} rows before it are", err=True)
        ctx.exit(3)
    click.echo(f"all {found.whole} rows are as they were written")
