"""Groups, which are members of projects as people are, and accounts that a directory or a provider knows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NAME = sa.String(255).with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
KEY = sa.String(512).with_variant(sa.String(512, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MARIADB: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "groups",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_groups_source_key")),
        **MARIADB,
    )
    op.create_table(
        "group_users",
        sa.Column("group_id", SERIAL, nullable=False),
        sa.Column("user_id", SERIAL, nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_group_users_group_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_group_users_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_group_users")),
        **MARIADB,
    )
    op.create_index(op.f("ix_group_users_user_id"), "group_users", ["user_id"], unique=False)

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subject", KEY, nullable=True))
        batch_op.add_column(sa.Column("admin_by_source", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("vanished_at", sa.BigInteger(), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_users_subject"), ["subject"])

    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.add_column(sa.Column("group_id", SERIAL, nullable=True))
        batch_op.alter_column("user_id", existing_type=SERIAL, nullable=True)
        batch_op.create_foreign_key(
            batch_op.f("fk_members_group_id"), "groups", ["group_id"], ["id"], ondelete="CASCADE"
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_members_project_id_group_id_pattern"), ["project_id", "group_id", "pattern"]
        )
        batch_op.create_check_constraint(batch_op.f("ck_members_one_holder"), "(user_id IS NULL) <> (group_id IS NULL)")
        batch_op.create_index(batch_op.f("ix_members_group_id"), ["group_id"], unique=False)


def downgrade() -> None:
    op.execute("DELETE FROM members WHERE user_id IS NULL")
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_members_one_holder"), type_="check")
        batch_op.drop_constraint(batch_op.f("fk_members_group_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_members_group_id"))
        batch_op.drop_constraint(batch_op.f("uq_members_project_id_group_id_pattern"), type_="unique")
        batch_op.alter_column("user_id", existing_type=SERIAL, nullable=False)
        batch_op.drop_column("group_id")

    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_users_subject"), type_="unique")
        batch_op.drop_column("vanished_at")
        batch_op.drop_column("admin_by_source")
        batch_op.drop_column("subject")

    op.drop_table("group_users")
    op.drop_table("groups")
