"""The tables. Times are integer UTC seconds; names that decide about rights compare byte for byte on every database."""

import secrets
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# MariaDB's default compares without case, and even utf8mb4_bin ignores trailing blanks.
Name = String(255).with_variant(String(255, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
# What a directory tells people and groups by, which may be a whole DN.
Key = String(512).with_variant(String(512, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
EventId = String(64).with_variant(String(64, collation="utf8mb4_nopad_bin"), "mysql", "mariadb")
# Set for each table, because a database may have been created with another character set.
_MARIADB = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"}
# SQLite numbers rows by itself only in a column that is exactly INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of the tables, with names for constraints, which Alembic needs to change them later."""

    __table_args__: Any = _MARIADB

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Base):
    """A person. `name` is canonical; `password_version` rises whenever what proves them changes.

    It begins anywhere, so that a proof of a deleted user is not good for the next one of that name. `subject` is what
    a directory or a provider tells them by, whatever their name; `vanished_at` is when it no longer knew them.
    `must_change` is set while somebody else has chosen their password.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index(None, "admin"),
        Index(None, "admin_by_source"),
        # Begun with `enabled` it would lead SQLite to everybody, from whom it looks for what it joins them with.
        Index(None, "name", "enabled"),
        Index(None, "source", "name"),
        _MARIADB,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    source: Mapped[str] = mapped_column(String(64))
    email: Mapped[str] = mapped_column(String(255), default="")
    password_hash: Mapped[str | None] = mapped_column(String(255))
    password_version: Mapped[int] = mapped_column(Integer, default=lambda: 1 + secrets.randbelow(2**30))
    enabled: Mapped[bool] = mapped_column(default=True)
    admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)
    subject: Mapped[str | None] = mapped_column(Key, unique=True)
    admin_by_source: Mapped[bool] = mapped_column(default=False, server_default=false())
    vanished_at: Mapped[int | None] = mapped_column(BigInteger)
    must_change: Mapped[bool] = mapped_column(default=False, server_default=false())


class Group(Base):
    """People who are given roles together: our own, or a directory's or provider's, which knows it by `key`."""

    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("source", "key"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    source: Mapped[str] = mapped_column(String(64))
    key: Mapped[str | None] = mapped_column(Key)
    created_at: Mapped[int] = mapped_column(BigInteger)


class GroupUser(Base):
    """Somebody who belongs to a group, as last seen."""

    __tablename__ = "group_users"
    __table_args__ = (Index(None, "user_id"), _MARIADB)

    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)


class Project(Base):
    """The first component of repository names, and what its members' roles are about."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    public: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Member(Base):
    """A person's or a group's role in a project, perhaps for some repositories (`pattern`) or until a date (`ends_at`).

    `role` is the name of a built-in role or of a row in `roles`.
    """

    __tablename__ = "members"
    __table_args__ = (
        UniqueConstraint("project_id", "user_id", "pattern"),
        UniqueConstraint("project_id", "group_id", "pattern"),
        CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="one_holder"),
        Index(None, "user_id"),
        Index(None, "group_id"),
        # All that the list of a role's holders is sorted and searched by.
        Index(None, "role", "project_id", "user_id", "group_id"),
        _MARIADB,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Name)
    pattern: Mapped[str] = mapped_column(Name, default="", server_default="")
    ends_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class CustomRole(Base):
    """A role of the administrators' own making: a named set of rights."""

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    description: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[int] = mapped_column(BigInteger)


class RoleRight(Base):
    """One right of a custom role."""

    __tablename__ = "role_rights"
    __table_args__ = (UniqueConstraint("role_id", "resource", "action"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"))
    resource: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))


class Robot(Base):
    """An account for a machine. `name` is without the prefix: `ci` for a system robot, `acme+ci` for a project's."""

    __tablename__ = "robots"
    __table_args__ = (Index(None, "project_id"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    description: Mapped[str] = mapped_column(String(255), default="")
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    duration_days: Mapped[int] = mapped_column(Integer)
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    announced_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class RobotRight(Base):
    """One right of a robot: outside projects (`system`), in one project (`project`), or in every one (`all`)."""

    __tablename__ = "robot_rights"
    __table_args__ = (Index(None, "robot_id"), Index(None, "project_id"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    robot_id: Mapped[int] = mapped_column(ForeignKey("robots.id", ondelete="CASCADE"))
    reach: Mapped[str] = mapped_column(String(16))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    resource: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))


class AccessToken(Base):
    """A personal access token: stands for its user at docker, within its actions and its patterns."""

    __tablename__ = "access_tokens"
    __table_args__ = (UniqueConstraint("user_id", "name"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Name)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    actions: Mapped[str] = mapped_column(String(64))
    patterns: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class RefreshToken(Base):
    """What a client keeps in place of a password. A token and those that replaced it are one `family`."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index(None, "user_id"), Index(None, "family"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    family: Mapped[str] = mapped_column(String(32))
    service: Mapped[str] = mapped_column(String(255))
    client: Mapped[str] = mapped_column(String(255))
    password_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)


class SiteSession(Base):
    """A browser that logged in to the site. It ends with the password, where `password_version` is another one."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id"), Index(None, "last_seen_at"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    password_version: Mapped[int] = mapped_column(Integer)
    address: Mapped[str] = mapped_column(String(64))
    browser: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int] = mapped_column(BigInteger)


class ReservedName(Base):
    """A deleted project's name, which stays taken while a token for the old project may still be honoured."""

    __tablename__ = "reserved_names"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    until: Mapped[int] = mapped_column(BigInteger)


class SigningKey(Base):
    """A token-signing key, sealed with the master key, and its certificate. The newest one signs."""

    __tablename__ = "signing_keys"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64), unique=True)
    certificate: Mapped[str] = mapped_column(Text)
    sealed_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger)


class AuditEvent(Base):
    """What happened: append-only (a trigger refuses changes), each row chained to the one before by its hash."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "actor"),
        Index(None, "action"),
        # With the action, by which a project's events are told from others, and the result that they are filtered by.
        Index(None, "object", "action", "result"),
        Index(None, "result"),
        _MARIADB,
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(255))
    credential: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(512))
    result: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(512))
    request_id: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The hash of the newest audit event, in one row whose lock puts the writers in a line.

    `length` counts the events, `changes` those after which somebody may have other rights.
    """

    __tablename__ = "audit_heads"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    length: Mapped[int] = mapped_column(BigInteger)
    changes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    hash: Mapped[str] = mapped_column(String(64))


class Heartbeat(Base):
    """When a part that answers no requests was last alive."""

    __tablename__ = "heartbeats"

    part: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)


class RegistryEvent(Base):
    """A registry's notification as it came, stored before it is understood. `id` is the event's own."""

    __tablename__ = "registry_events"
    __table_args__ = (Index(None, "received_at"), _MARIADB)

    id: Mapped[str] = mapped_column(EventId, primary_key=True)
    received_at: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str] = mapped_column(Text)


class FailureCount(Base):
    """Failed logins of an account from a source; `account` or `source` is empty where it counts over all of them.

    A count starts again from nothing at `ends_at`. `last_at` is the latest attempt that was let through.
    """

    __tablename__ = "failure_counts"
    __table_args__ = (Index(None, "ends_at"), _MARIADB)

    account: Mapped[str] = mapped_column(Name, primary_key=True)
    source: Mapped[str] = mapped_column(Name, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_at: Mapped[int] = mapped_column(BigInteger)
    ends_at: Mapped[int] = mapped_column(BigInteger)


class FailedSecret(Base):
    """A wrong secret that was counted, as a keyed hash, so that it counts once."""

    __tablename__ = "failed_secrets"
    __table_args__ = (Index(None, "ends_at"), _MARIADB)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    ends_at: Mapped[int] = mapped_column(BigInteger)


class KnownSource(Base):
    """A source from which an account logged in not long ago."""

    __tablename__ = "known_sources"
    __table_args__ = (Index(None, "ends_at"), _MARIADB)

    account: Mapped[str] = mapped_column(Name, primary_key=True)
    source: Mapped[str] = mapped_column(Name, primary_key=True)
    ends_at: Mapped[int] = mapped_column(BigInteger)


class RobotTrust(Base):
    """An external issuer whose identity tokens a robot takes in place of its secret, if their claims fit (`rules`).

    `rules` is a JSON list of pairs of a claim and a pattern; without `jwks_url` the issuer says where its keys are.
    """

    __tablename__ = "robot_trusts"
    __table_args__ = (Index(None, "robot_id"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    robot_id: Mapped[int] = mapped_column(ForeignKey("robots.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(Name)
    audience: Mapped[str] = mapped_column(Name)
    jwks_url: Mapped[str] = mapped_column(Name, default="")
    rules: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Setting(Base):
    """A setting that was changed while the service runs: its value in JSON, sealed, since sources hold secrets."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[int] = mapped_column(BigInteger)
    changed_by: Mapped[str] = mapped_column(String(255))


class KeyRotation(Base):
    """A wish of somebody that a new key signs. `done_at` and `key_id` are set when one does.

    `trouble` says why the worker could not make it yet.
    """

    __tablename__ = "key_rotations"
    __table_args__ = (Index(None, "done_at"), _MARIADB)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    asked_by: Mapped[str] = mapped_column(String(255))
    asked_at: Mapped[int] = mapped_column(BigInteger)
    done_at: Mapped[int | None] = mapped_column(BigInteger)
    key_id: Mapped[str] = mapped_column(String(64), default="")
    trouble: Mapped[str] = mapped_column(Text, default="")


class TokenMinute(Base):
    """How many requests for tokens ended in one way within one minute (UTC seconds at its begin) and one time.

    `bucket` is the place of that time among the limits in core/minutes.py.
    """

    __tablename__ = "token_minutes"

    minute: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    outcome: Mapped[str] = mapped_column(String(16), primary_key=True)
    bucket: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    requests: Mapped[int] = mapped_column(Integer)
