from alembic.script import ScriptDirectory

from authsvc.db import migrate, revision


def test_the_newest_revision_is_the_last_migration():
    assert ScriptDirectory.from_config(migrate._config()).get_current_head() == revision.NEWEST


def test_a_migrated_database_is_at_it(engine):
    with engine.connect() as connection:
        assert revision.current(connection) == revision.NEWEST
