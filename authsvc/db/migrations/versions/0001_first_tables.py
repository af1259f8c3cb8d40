"""The first tables: users, projects, members, signing keys, the audit trail."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.String(255).with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
EVENT_ID = sa.String(64).with_variant(sa.String(64, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MARIADB: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("credential", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=512), nullable=False),
        sa.Column("result", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(length=512), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        **MARIADB,
    )
    op.create_index(op.f("ix_audit_events_at"), "audit_events", ["at"], unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_heads")),
        **MARIADB,
    )
    op.create_table(
        "heartbeats",
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_heartbeats")),
        **MARIADB,
    )
    op.create_table(
        "projects",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
        **MARIADB,
    )
    op.create_table(
        "registry_events",
        sa.Column("id", EVENT_ID, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_events")),
        **MARIADB,
    )
    op.create_index(op.f("ix_registry_events_received_at"), "registry_events", ["received_at"], unique=False)
    op.create_table(
        "reserved_names",
        sa.Column("name", NAME, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reserved_names")),
        **MARIADB,
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_signing_keys_key_id")),
        **MARIADB,
    )
    op.create_table(
        "users",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("password_version", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        **MARIADB,
    )
    op.create_table(
        "members",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("project_id", SERIAL, nullable=False),
        sa.Column("user_id", SERIAL, nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_members_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("project_id", "user_id", name=op.f("uq_members_project_id_user_id")),
        **MARIADB,
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"], unique=False)
    op.execute("INSERT INTO audit_heads (id, length, hash) VALUES (1, 0, '')")
    for verb in ("UPDATE", "DELETE"):
        op.execute(APPEND_ONLY[op.get_bind().dialect.name].format(verb=verb))


def downgrade() -> None:
    op.drop_table("members")
    op.drop_table("users")
    op.drop_table("signing_keys")
    op.drop_table("reserved_names")
    op.drop_index(op.f("ix_registry_events_received_at"), table_name="registry_events")
    op.drop_table("registry_events")
    op.drop_table("projects")
    op.drop_table("heartbeats")
    op.drop_table("audit_heads")
    op.drop_index(op.f("ix_audit_events_at"), table_name="audit_events")
    op.drop_table("audit_events")


APPEND_ONLY = {
    "sqlite": """
        CREATE TRIGGER audit_events_refuse_{verb} BEFORE {verb} ON audit_events
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    "mysql": """
        CREATE TRIGGER audit_events_refuse_{verb} BEFORE {verb} ON audit_events FOR EACH ROW
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is append-only'""",
}
