"""A process that migrates, to be killed: `MIGRATED=URL python -m tests.faults.migrating [DIRECTORY]`.

The directory holds a revision after the newest one, as a later version might bring it.
"""

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

from authsvc.db import migrate
from authsvc.db.engine import MIGRATING, Engine, make_engine
from authsvc.db.revision import NEWEST

BEGUN = "begun"
LATER = f'''\
"""What a later version might need."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{NEWEST}"
TABLES = ("users", "projects", "members", "robots", "access_tokens", "failure_counts")


def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("size", sa.Integer()))
    op.execute("INSERT INTO later VALUES (1, 1)")
    for table in TABLES:
        op.add_column(table, sa.Column("later", sa.Integer(), nullable=False, server_default="0"))
        op.create_index(f"ix_{{table}}_later", table, ["later"])
        op.execute("UPDATE later SET size = 2 * size")


def downgrade():
    for table in TABLES:
        op.drop_index(f"ix_{{table}}_later", table)
        op.drop_column(table, "later")
    op.drop_table("later")
'''


def newest(directory: Path) -> None:
    """Write a revision after the newest one."""
    (directory / "9999_later.py").write_text(LATER)


def revert(url: str, directory: str) -> None:
    """Go back to the newest revision of this version."""
    engine = make_engine(url, None, Path(), MIGRATING)
    config = _config(directory)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, NEWEST)
        connection.commit()
    engine.dispose()


def _config(directory: str) -> Config:
    config = _shipped()
    ours = Path(migrate.__file__).parent / "migrations" / "versions"
    config.set_main_option("version_path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(filter(None, [str(ours), directory])))
    return config


_shipped = migrate._config


def _upgrade(engine: Engine, directory: str) -> None:
    migrate._config = lambda: _config(directory)
    print(BEGUN, flush=True)
    migrate.upgrade(engine)


if __name__ == "__main__":
    _upgrade(make_engine(os.environ["MIGRATED"], None, Path(), MIGRATING), sys.argv[1])
