"""What long lists are searched and sorted by: users, who holds a role, the audit trail."""

from alembic import op

revision = "0012"
down_revision = "0011"

_NEW = (
    ("users", ("admin",)),
    ("users", ("admin_by_source",)),
    ("users", ("name", "enabled")),
    ("users", ("source", "name")),
    ("members", ("role", "project_id", "user_id", "group_id")),
    ("audit_events", ("object", "action", "result")),
    ("audit_events", ("result",)),
)
_REPLACED = (("members", "role"), ("audit_events", "object"))


def upgrade() -> None:
    for table, columns in _NEW:
        op.create_index(_name(table, *columns), table, list(columns))
    for table, column in _REPLACED:
        op.drop_index(_name(table, column), table)


def downgrade() -> None:
    for table, column in _REPLACED:
        op.create_index(_name(table, column), table, [column])
    for table, columns in reversed(_NEW):
        op.drop_index(_name(table, *columns), table)


def _name(table: str, *columns: str) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")
