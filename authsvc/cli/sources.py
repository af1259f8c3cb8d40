"""`authsvc source`: whether the sources of identity answer as they should."""

from collections.abc import Sequence

import click

from authsvc.cli.output import json_option, show, work
from authsvc.identity import probes


@click.group()
def source() -> None:
    """Sources of identity: directories and providers."""


@source.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, name: str | None, *, as_json: bool) -> None:
    """Try the source NAME (each one when none is named), step by step: its servers, TLS, our account or client there.

    Exits with 1 when a step fails.
    """
    show_check(
        ctx, name, ("ldap", "uaa", "oidc"), as_json=as_json, empty="there is no source but local in the settings"
    )


def show_check(ctx: click.Context, name: str | None, kinds: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Try sources of these kinds, show each step, and exit with 1 when one fails.

    Args:
        name: of the source; None for each one.
        empty: the sentence for no sources.
    """
    with work() as w:
        settings = w.settings
    known = [one for one in probes.list_sources(settings) if one[0] in kinds]
    chosen = [(kind, one) for kind, one in known if name in {None, one}]
    if name is not None and not chosen:
        raise click.BadParameter(f"one of {', '.join(one for _, one in known) or 'none'}", param_hint="NAME")
    steps = [(one, step) for kind, one in chosen for step in probes.probe(settings, kind, one)]
    rows = [
        {
            "source": one,
            "server": step.server,
            "step": step.step,
            "ok": step.is_well,
            "ms": step.milliseconds,
            "result": step.message,
            "mend": step.mend,
        }
        for one, step in steps
    ]
    show(rows, as_json=as_json, empty=empty)
    ctx.exit(0 if all(step.is_well for _, step in steps) else 1)
