"""`authsvc doctor` and `authsvc health`."""

import json
import time
from pathlib import Path

import click

from authsvc import services, settings
from authsvc.cli.output import json_option
from authsvc.core import health as core_health
from authsvc.registry.client import RegistryClient
from authsvc.stack.doctor import State, examine

_COLORS = {State.OK: "green", State.WARN: "yellow", State.WRONG: "red", State.UNKNOWN: "cyan"}


@click.command()
@click.option("--registry", help="The registry's address; ours when left out.")
@click.option("--config", type=click.Path(path_type=Path), help="The registry's configuration file.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, registry: str | None, config: Path | None, *, as_json: bool) -> None:
    """Check that a registry trusts this service, and say how to mend what is wrong.

    Exits with 3 when something is wrong.
    """
    found = settings.load()
    is_ours = registry is None and config is None and not found.registry.url
    own = found.paths.rendered / "registry" / "config.yml"
    client = RegistryClient(registry or found.registry_address)
    findings = examine(services.build(found), client, own if is_ours else config, int(time.time()), is_ours=is_ours)
    wrong, lines = False, []
    for finding in findings:
        wrong = wrong or finding.state is State.WRONG
        lines.append({"check": finding.check, "state": finding.state, "message": finding.message})
        if not as_json:
            click.echo(
                f"{click.style(f'{finding.state:<7}', _COLORS[finding.state])}  {finding.check}: {finding.message}"
            )
    if as_json:
        click.echo(json.dumps(lines, ensure_ascii=False, indent=2))
    ctx.exit(3 if wrong else 0)


@click.command()
@click.argument("part", required=False)
@json_option
@click.pass_context
def health(ctx: click.Context, part: str | None, *, as_json: bool) -> None:
    """Whether each PART works (all of them when none is named): database, jobservice, registry.

    Exits with 3 when one does not.
    """
    built = services.build(settings.load())
    found = core_health.components(built.engine, int(time.time())) | {"registry": built.registry.answers()}
    if part is not None and part not in found:
        raise click.BadParameter(f"one of {', '.join(found)}", param_hint="PART")
    wanted = {name: well for name, well in found.items() if part in (None, name)}
    for name, well in {} if as_json else wanted.items():
        click.echo(f"{name}: {'healthy' if well else 'unhealthy'}")
    if as_json:
        click.echo(json.dumps(wanted))
    ctx.exit(0 if all(wanted.values()) else 3)
