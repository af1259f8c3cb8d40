"""The `authsvc` command.

Exit codes: 0 done; 1 refused or failed, with a sentence on standard error; 2 the command line was wrong;
3 `explain` says no, `doctor` or `audit verify` found something.
"""

import click

from authsvc import __version__
from authsvc.cli import accounts, doctor, groups, imports, keys, ldap, machines, projects, run, sessions, trail, trusts
from authsvc.errors import AppError


class _Group(click.Group):
    """Turns what is raised on purpose into a sentence and an exit code, for every command in one place."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except AppError as exc:
            click.echo(f"authsvc: {exc}", err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="authsvc")
def main() -> None:
    """Accounts, projects and roles for a stock Docker registry."""


for _command in (
    run.init,
    run.up,
    run.reload,
    run.web,
    run.worker,
    run.migrate,
    run.registry_config,
    accounts.user,
    groups.group,
    imports.imports,
    sessions.session,
    projects.project,
    projects.member,
    projects.role,
    machines.robot,
    machines.access_token,
    machines.refresh_token,
    keys.key,
    projects.explain,
    ldap.ldap,
    trail.audit,
    doctor.doctor,
    doctor.health,
):
    main.add_command(_command)
machines.robot.add_command(trusts.trust)
