"""`authsvc project …`, `authsvc member …`, `authsvc role …` and `authsvc explain`."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from authsvc.cli.output import done, json_option, moment, show, work
from authsvc.core import explain as explanations
from authsvc.core import members, projects, roles
from authsvc.domain.permissions import DOCKER


@click.group()
def project() -> None:
    """Projects: the first part of an image's name."""


@project.command()
@click.argument("name")
@click.option("--public", is_flag=True, help="Anybody may pull.")
@json_option
def add(name: str, *, public: bool, as_json: bool) -> None:
    """Add a project."""
    with work() as w:
        added = projects.add(w.session, w.actor, projects.AddProject(name=name, public=public), w.now)
    done({"name": added.name, "public": public}, f"added {_kind(public=public)} project {name}", as_json=as_json)


@project.command(name="list")
@json_option
def list_projects(*, as_json: bool) -> None:
    """Every project."""
    with work() as w:
        rows = [
            {"name": row.name, "public": row.public, "members": row.members, "created": moment(row.created_at)}
            for row in projects.list_all(w.session, w.actor)
        ]
    show(rows, as_json=as_json, empty="no projects")


@project.command(name="set")
@click.argument("name")
@click.option("--public/--private", required=True, help="Who may pull without being a member.")
@json_option
def set_project(name: str, *, public: bool, as_json: bool) -> None:
    """Make a project public or private."""
    with work() as w:
        projects.set_public(w.session, w.actor, projects.SetPublic(name=name, public=public), w.now)
    done({"name": name, "public": public}, f"{name} is {_kind(public=public)}", as_json=as_json)


@project.command()
@click.argument("name")
@json_option
def delete(name: str, *, as_json: bool) -> None:
    """Delete a project and its members' roles; images stay in the registry."""
    with work() as w:
        command = projects.DeleteProject(
            name=name, root_project=w.settings.root_project, token_lifetime=w.settings.token.lifetime
        )
        projects.delete(w.session, w.actor, command, w.now)
    done({"name": name}, f"deleted {name}; its images are still in the registry", as_json=as_json)


@click.group()
def member() -> None:
    """Who has which role in a project."""


@member.command(name="set")
@click.argument("project")
@click.argument("name")
@click.argument("role")
@click.option("--group", "is_group", is_flag=True, help="The name is a group's.")
@click.option("--repository", "pattern", default="", metavar="PATTERN", help="Only there, such as acme/web-*.")
@click.option("--until", type=click.DateTime(), help="The end, in UTC, such as 2030-01-31.")
@json_option
def set_member(
    project: str, name: str, role: str, *, is_group: bool, pattern: str, until: datetime | None, as_json: bool
) -> None:
    """Give a user or a group a role: projectAdmin, maintainer, developer, guest, limitedGuest, or one of your own."""
    ends_at, holder = int(until.replace(tzinfo=UTC).timestamp()) if until else None, _holder(name, is_group=is_group)
    with work() as w:
        command = members.SetMember(project=project, role=role, pattern=pattern, ends_at=ends_at, **holder)
        members.set_role(w.session, w.actor, command, w.now)
    facts = {"project": project, **holder, "role": role, "pattern": pattern, "until": _end(ends_at)}
    done(facts, f"{name} is {role} of {project}", as_json=as_json)


@member.command()
@click.argument("project")
@click.argument("name")
@click.option("--group", "is_group", is_flag=True, help="The name is a group's.")
@click.option("--repository", "pattern", default=None, metavar="PATTERN", help="Only the role given for this pattern.")
@json_option
def remove(project: str, name: str, *, is_group: bool, pattern: str | None, as_json: bool) -> None:
    """Take a user's or a group's roles in a project away."""
    holder = _holder(name, is_group=is_group)
    with work() as w:
        members.remove(w.session, w.actor, members.RemoveMember(project=project, pattern=pattern, **holder), w.now)
    done({"project": project, **holder}, f"{name} is no longer a member of {project}", as_json=as_json)


@member.command(name="list")
@click.argument("project")
@json_option
def list_members(project: str, *, as_json: bool) -> None:
    """The members of a project."""
    with work() as w:
        rows = [
            {
                "user": row.user,
                "group": row.group,
                "role": row.role,
                "repositories": row.pattern or "**",
                "until": _end(row.ends_at),
                "enabled": row.enabled,
            }
            for row in members.list_all(w.session, w.actor, project)
        ]
    show(rows, as_json=as_json, empty=f"{project} has no members")


@click.group()
def role() -> None:
    """Roles of your own making; the five built-in ones stand in README."""


@role.command(name="set")
@click.argument("name")
@click.argument("rights", nargs=-1, required=True, metavar="RESOURCE:ACTION...")
@click.option("--description", default="")
@json_option
def set_custom_role(name: str, rights: tuple[str, ...], *, description: str, as_json: bool) -> None:
    """Make a role of rights such as repository:pull, or give one other rights."""
    with work() as w:
        command = roles.SetRole(name=name, rights=frozenset(map(roles.parse_right, rights)), description=description)
        roles.set_rights(w.session, w.actor, command, w.now)
    done({"name": name, "rights": sorted(rights)}, f"{name} has {', '.join(sorted(rights))}", as_json=as_json)


@role.command(name="list")
@json_option
def list_roles(*, as_json: bool) -> None:
    """The roles of your own making."""
    with work() as w:
        rows = [
            {
                "name": row.name,
                "members": row.members,
                "rights": " ".join(map(str, row.rights)),
                "description": row.description,
            }
            for row in roles.list_all(w.session, w.actor)
        ]
    show(rows, as_json=as_json, empty="no roles but the built-in ones")


@role.command(name="delete")
@click.argument("name")
@json_option
def delete_role(name: str, *, as_json: bool) -> None:
    """Delete a role that nobody holds."""
    with work() as w:
        roles.delete(w.session, w.actor, name, w.now)
    done({"name": name}, f"deleted {name}", as_json=as_json)


@click.command()
@click.argument("user")
@click.argument("action", type=click.Choice(list(DOCKER)))
@click.argument("repository")
@json_option
@click.pass_context
def explain(ctx: click.Context, user: str, action: str, repository: str, *, as_json: bool) -> None:
    """May USER (or a robot, or "anonymous") do ACTION in REPOSITORY, and which row of the rights table decides.

    Of a user it says of each access token, too, whether it lets them. Exits with 0 for yes and 3 for no.
    """
    with work() as w:
        question = explanations.Question(user, action, repository)
        answer = explanations.explain(w.session, w.actor, question, explanations.Site.of(w.settings), w.now)
    tokens = [f"token {token.name}: {_yes(token.allowed)}: {token.reason}" for token in answer.tokens]
    lines = [f"{_yes(answer.allowed)}: {answer.reason}", f"row: {answer.row}", *tokens]
    done(asdict(answer), "\n".join(lines), as_json=as_json)
    ctx.exit(0 if answer.allowed else 3)


def _yes(allowed: bool) -> str:
    return "yes" if allowed else "no"


def _holder(name: str, *, is_group: bool) -> dict[str, str]:
    return {"group": name} if is_group else {"user": name}


def _kind(*, public: bool) -> str:
    return "public" if public else "private"


def _end(seconds: int | None) -> str:
    return "" if seconds is None else moment(seconds)
