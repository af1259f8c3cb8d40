"""`authsvc ldap`: whether directories answer, and what they say about somebody."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import click

from authsvc.cli.output import Work, json_option, show, work
from authsvc.cli.sources import show_check
from authsvc.core import groups as core_groups
from authsvc.errors import NotFound
from authsvc.identity.ldap import Description, LdapBackend
from authsvc.identity.ldap_groups import Membership
from authsvc.settings import LdapSettings


@click.group()
def ldap() -> None:
    """Directories: LDAP and Active Directory."""


@ldap.command()
@click.argument("source", required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, source: str | None, *, as_json: bool) -> None:
    """Try the directory SOURCE, or each one, as `authsvc source check` does.

    Exits with 1 when a step fails.
    """
    show_check(ctx, source, ("ldap",), as_json=as_json, empty="there is no directory in the settings")


@ldap.command()
@click.argument("name")
@click.option("--source", help="The directory to ask; each one when left out.")
@json_option
def user(name: str, source: str | None, *, as_json: bool) -> None:
    """What the directories say about the person NAME, by any of their names."""
    found = dict(_descriptions(name, source))
    if not found:
        raise NotFound(f"no directory has {name}")
    with work() as w:
        facts = [_facts(place, one, _roles(w, place, one)) for place, one in found.items()]
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for one in facts:
        _print(one)


def _descriptions(name: str, source: str | None) -> Iterator[tuple[str, Description]]:
    for place, directory in _directories(source).items():
        with closing(LdapBackend(place, directory)) as backend:
            description = backend.describe(name)
        if description is not None:
            yield place, description


def _directories(source: str | None) -> Mapping[str, LdapSettings]:
    with work() as w:
        directories = w.settings.ldap
    if source is not None and source not in directories:
        raise click.BadParameter(f"one of {', '.join(directories) or 'none'}", param_hint="SOURCE")
    return directories if source is None else {source: directories[source]}


def _roles(w: Work, source: str, description: Description) -> dict[str, list[str]]:
    keys = [membership.group.key for membership in description.memberships]
    return core_groups.list_roles(w.session, w.actor, source, keys, w.now)


def _facts(source: str, description: Description, roles: Mapping[str, list[str]]) -> dict[str, Any]:
    identity = description.identity
    return {
        "source": source,
        "dn": description.dn,
        "name": identity.name,
        "email": identity.email,
        "subject": identity.subject,
        "may_log_in": description.may_log_in,
        "administrator": identity.admin,
        "groups": [_row(one, roles.get(one.group.key, [])) for one in description.memberships],
    }


def _row(membership: Membership, roles: list[str]) -> dict[str, object]:
    group = membership.group
    return {"group": group.name, "key": group.key, "found_by": membership.how, "roles": "; ".join(roles)}


def _print(facts: Mapping[str, Any]) -> None:
    person = {fact: value for fact, value in facts.items() if fact != "groups"}
    show([{"what": fact.replace("_", " "), "": value} for fact, value in person.items()], as_json=False, empty="")
    click.echo()
    show(facts["groups"], as_json=False, empty="no groups")
