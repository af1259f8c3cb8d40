"""The `authsvc` command.

Exit codes: 0 done; 1 refused or failed, with a sentence on standard error; 2 the command line was wrong;
3 `explain` says no, `doctor` or `audit verify` found something.
"""

from collections.abc import Mapping
from importlib import import_module

import click

from authsvc import __version__
from authsvc.errors import AppError

# Loaded when it is asked for: `authsvc web` and `authsvc worker` would keep in memory what every other command needs.
COMMANDS: Mapping[str, str] = {
    "init": "run.init",
    "up": "run.up",
    "reload": "run.reload",
    "web": "run.web",
    "worker": "run.worker",
    "migrate": "run.migrate",
    "registry-config": "run.registry_config",
    "user": "accounts.user",
    "group": "groups.group",
    "import": "imports.imports",
    "session": "sessions.session",
    "project": "projects.project",
    "member": "projects.member",
    "role": "projects.role",
    "robot": "trusts.robot",
    "access-token": "machines.access_token",
    "refresh-token": "machines.refresh_token",
    "key": "keys.key",
    "explain": "projects.explain",
    "source": "sources.source",
    "ldap": "ldap.ldap",
    "setting": "settings.setting",
    "audit": "trail.audit",
    "doctor": "doctor.doctor",
    "health": "doctor.health",
}
"""Where each command is: a module of this package and a name in it."""


class _Group(click.Group):
    """Loads commands, and turns what is raised on purpose into a sentence and an exit code, in one place for all."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        module, _, attribute = COMMANDS.get(name, "").partition(".")
        if not module:
            return None
        found: click.Command = getattr(import_module(f"authsvc.cli.{module}"), attribute)
        return found

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
