"""`authsvc import …`."""

import json
from dataclasses import asdict
from typing import BinaryIO

import click

from authsvc.cli.output import json_option, work
from authsvc.core.htpasswd import ImportHtpasswd, Outcome, import_users
from authsvc.errors import Conflict


@click.group(name="import")
def imports() -> None:
    """Take over accounts from elsewhere."""


@imports.command()
@click.argument("file", type=click.File("rb"))
@click.option("--skip-existing", is_flag=True, help="Leave users who are there already as they are.")
@click.option("--skip-invalid", is_flag=True, help="Import the other lines when some cannot be.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option
def htpasswd(file: BinaryIO, *, skip_existing: bool, skip_invalid: bool, dry_run: bool, as_json: bool) -> None:
    """Make users of a registry's htpasswd FILE (bcrypt); their passwords go on working.

    When a line cannot be imported, it is named and none is. FILE - is standard input.
    """
    command = ImportHtpasswd(
        # What is no UTF-8 becomes a character that no name has, and the line is named.
        text=file.read().decode("utf-8-sig", errors="replace"),
        skip_existing=skip_existing,
        skip_invalid=skip_invalid,
        dry_run=dry_run,
    )
    with work() as w:
        outcome = import_users(w.session, w.actor, command, w.now)
    _tell(outcome, dry_run=dry_run, as_json=as_json)
    if outcome.refused and not skip_invalid:
        raise Conflict("nothing was imported; --skip-invalid imports the other lines")


def _tell(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(outcome) | {"dry_run": dry_run}, ensure_ascii=False, indent=2))
        return
    for refusal in outcome.refused:
        click.echo(f"line {refusal.number} ({refusal.name}): {refusal.reason}", err=True)
    for name in outcome.existing:
        click.echo(f"left {name} as it was")
    click.echo(f"{'would import' if dry_run else 'imported'} {len(outcome.imported)} users")
