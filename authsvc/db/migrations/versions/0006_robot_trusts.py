"""External issuers whose identity tokens robots take in place of their secrets."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NAME = sa.String(255).with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MARIADB: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "robot_trusts",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("robot_id", SERIAL, nullable=False),
        sa.Column("issuer", NAME, nullable=False),
        sa.Column("audience", NAME, nullable=False),
        sa.Column("jwks_url", NAME, nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["robot_id"], ["robots.id"], name=op.f("fk_robot_trusts_robot_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_trusts")),
        **MARIADB,
    )
    op.create_index(op.f("ix_robot_trusts_robot_id"), "robot_trusts", ["robot_id"])


def downgrade() -> None:
    op.drop_table("robot_trusts")
