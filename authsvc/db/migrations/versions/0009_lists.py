"""What lists and the audit trail are searched by, and passwords that must be changed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_SEARCHED = (("members", "role"), ("audit_events", "actor"), ("audit_events", "action"), ("audit_events", "object"))


def upgrade() -> None:
    op.add_column("users", sa.Column("must_change", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table, column in _SEARCHED:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table, column in _SEARCHED:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_column("must_change")
