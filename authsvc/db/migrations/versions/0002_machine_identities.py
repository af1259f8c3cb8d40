"""Robots, access tokens, refresh tokens, custom roles; memberships limited to repositories or in time."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.String(255).with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MARIADB: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "roles",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
        **MARIADB,
    )
    op.create_table(
        "access_tokens",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("user_id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("actions", sa.String(length=64), nullable=False),
        sa.Column("patterns", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_access_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_access_tokens_secret_hash")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_access_tokens_user_id_name")),
        **MARIADB,
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("user_id", SERIAL, nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=False),
        sa.Column("client", sa.String(length=255), nullable=False),
        sa.Column("password_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_refresh_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_refresh_tokens_secret_hash")),
        **MARIADB,
    )
    with op.batch_alter_table("refresh_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refresh_tokens_family"), ["family"], unique=False)
        batch_op.create_index(batch_op.f("ix_refresh_tokens_user_id"), ["user_id"], unique=False)

    op.create_table(
        "robots",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("project_id", SERIAL, nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("duration_days", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("announced_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_robots_project_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robots")),
        sa.UniqueConstraint("name", name=op.f("uq_robots_name")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_robots_secret_hash")),
        **MARIADB,
    )
    with op.batch_alter_table("robots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_robots_project_id"), ["project_id"], unique=False)

    op.create_table(
        "role_rights",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("role_id", SERIAL, nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name=op.f("fk_role_rights_role_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_rights")),
        sa.UniqueConstraint("role_id", "resource", "action", name=op.f("uq_role_rights_role_id_resource_action")),
        **MARIADB,
    )
    op.create_table(
        "robot_rights",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("robot_id", SERIAL, nullable=False),
        sa.Column("reach", sa.String(length=16), nullable=False),
        sa.Column("project_id", SERIAL, nullable=True),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_robot_rights_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["robot_id"], ["robots.id"], name=op.f("fk_robot_rights_robot_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_rights")),
        **MARIADB,
    )
    with op.batch_alter_table("robot_rights", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_robot_rights_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_robot_rights_robot_id"), ["robot_id"], unique=False)

    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pattern", NAME, nullable=False, server_default=""))
        batch_op.add_column(sa.Column("ends_at", sa.BigInteger(), nullable=True))
        batch_op.alter_column("role", existing_type=sa.String(32), type_=NAME, existing_nullable=False)
        # In this order: MariaDB lets no index go that a foreign key needs.
        batch_op.create_unique_constraint(
            batch_op.f("uq_members_project_id_user_id_pattern"), ["project_id", "user_id", "pattern"]
        )
        batch_op.drop_constraint(batch_op.f("uq_members_project_id_user_id"), type_="unique")


def downgrade() -> None:
    op.execute("DELETE FROM members WHERE pattern <> ''")
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.create_unique_constraint(batch_op.f("uq_members_project_id_user_id"), ["project_id", "user_id"])
        batch_op.drop_constraint(batch_op.f("uq_members_project_id_user_id_pattern"), type_="unique")
        batch_op.alter_column("role", existing_type=NAME, type_=sa.String(32), existing_nullable=False)
        batch_op.drop_column("ends_at")
        batch_op.drop_column("pattern")

    op.drop_table("robot_rights")
    op.drop_table("role_rights")
    op.drop_table("robots")
    op.drop_table("refresh_tokens")
    op.drop_table("access_tokens")
    op.drop_table("roles")
