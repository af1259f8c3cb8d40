"""`authsvc key …`."""

import click

from authsvc.cli.output import done, json_option, moment, show, work
from authsvc.core import keys
from authsvc.core.sealing import Sealer


@click.group()
def key() -> None:
    """The keys that sign tokens."""


@key.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """Every key; the newest one signs."""
    with work() as w:
        rows = [
            {
                "key_id": row.key_id,
                "signs": row.signs,
                "created": moment(row.created_at),
                "ends": moment(row.ends_at),
            }
            for row in keys.list_all(w.session, w.actor)
        ]
    show(rows, as_json=as_json, empty="no keys: run `authsvc migrate`")


@key.command()
@json_option
def rotate(*, as_json: bool) -> None:
    """Make a new key that signs from now on, in every process.

    Tokens signed before stay good until they end, and no registry is restarted: it trusts the CA, which stays.
    """
    with work() as w:
        paths = w.given.paths
        ca = keys.load_ca(paths.ca_certificate, paths.ca_key)
        made = keys.add(w.session, w.actor, ca, Sealer.from_file(paths.master_key), w.now)
    done({"key_id": made.key_id, "ends": moment(made.ends_at)}, f"{made.key_id} signs from now on", as_json=as_json)
