"""Counts of failed logins, the wrong secrets that were counted, and the sources that accounts logged in from."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NAME = sa.String(255).with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
MARIADB: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "failure_counts",
        sa.Column("account", NAME, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "source", name=op.f("pk_failure_counts")),
        **MARIADB,
    )
    op.create_index(op.f("ix_failure_counts_ends_at"), "failure_counts", ["ends_at"])
    op.create_table(
        "failed_secrets",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_failed_secrets")),
        **MARIADB,
    )
    op.create_index(op.f("ix_failed_secrets_ends_at"), "failed_secrets", ["ends_at"])
    op.create_table(
        "known_sources",
        sa.Column("account", NAME, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "source", name=op.f("pk_known_sources")),
        **MARIADB,
    )
    op.create_index(op.f("ix_known_sources_ends_at"), "known_sources", ["ends_at"])


def downgrade() -> None:
    op.drop_table("known_sources")
    op.drop_table("failed_secrets")
    op.drop_table("failure_counts")
