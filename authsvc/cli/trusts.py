"""`authsvc robot trust …`, and with it all of `authsvc robot`."""

import click

from authsvc.cli.machines import bare, robot
from authsvc.cli.output import done, json_option, show, work
from authsvc.core import trusts
from authsvc.domain.trusts import parse_rule


@robot.group()
def trust() -> None:
    """Issuers whose identity tokens a robot takes in place of its secret: CI without stored secrets."""


@trust.command()
@click.argument("robot")
@click.option("--issuer", required=True, metavar="URL", help="The tokens' iss, to the letter.")
@click.option("--audience", required=True, help="What their aud must be, such as registry.example.com.")
@click.option(
    "--claim",
    "rules",
    multiple=True,
    metavar="NAME=PATTERN",
    help="What a claim must be. * stands for anything up to the next / : or @, ** for anything. All must hold.",
)
@click.option("--jwks-url", default="", metavar="URL", help="Where its keys are, if its discovery document is no help.")
@click.option("--whole-issuer", is_flag=True, help="Let in everybody it gives such tokens to; a private one's only.")
@json_option
def add(
    robot: str, *, issuer: str, audience: str, rules: tuple[str, ...], jwks_url: str, whole_issuer: bool, as_json: bool
) -> None:
    """Trust an issuer under conditions. Several trusts are alternatives."""
    with work() as w:
        command = trusts.AddTrust(
            robot=bare(w, robot),
            issuer=issuer,
            audience=audience,
            rules=tuple(map(parse_rule, rules)),
            jwks_url=jwks_url,
            whole_issuer=whole_issuer,
        )
        made = trusts.add(w.session, w.actor, command, w.settings, w.now)
        name = w.settings.robot_prefix + command.robot
    sentence = f"{name} trusts {issuer}; docker login -u '{name}' takes its identity tokens as the password"
    done({"id": made.id, "robot": name, "issuer": issuer}, sentence, as_json=as_json)


@trust.command(name="list")
@click.argument("robot", default="")
@json_option
def list_trusts(robot: str, *, as_json: bool) -> None:
    """Every trust, or those of ROBOT."""
    with work() as w:
        rows = [
            {
                "id": row.trust.id,
                "robot": w.settings.robot_prefix + row.robot,
                "issuer": row.trust.issuer,
                "audience": row.trust.audience,
                "claims": " ".join(map(str, row.trust.rules)),
                "keys": row.trust.jwks_url,
            }
            for row in trusts.list_all(w.session, w.actor, bare(w, robot))
        ]
    show(rows, as_json=as_json, empty="no trusts")


@trust.command()
@click.argument("robot")
@click.argument("trust_id", metavar="ID", type=int)
@json_option
def remove(robot: str, trust_id: int, *, as_json: bool) -> None:
    """Take a trust away; its tokens are refused at once."""
    with work() as w:
        trusts.remove(w.session, w.actor, bare(w, robot), trust_id, w.now)
    done({"id": trust_id, "robot": robot}, f"removed trust {trust_id} of {robot}", as_json=as_json)
