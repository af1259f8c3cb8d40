"""Rotations of the signing key that people ask for on the site.

Only the worker and the command line read the CA's private key (design decision 2), so a row says that a new key must
sign, and the worker makes it so. Doing it again changes nothing: whoever closes the row first makes the key.
"""

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from authsvc.core import audit, keys
from authsvc.core.rights import require
from authsvc.core.sealing import Sealer
from authsvc.db.engine import reading, retried
from authsvc.db.tables import KeyRotation
from authsvc.domain.certificates import Pair
from authsvc.domain.permissions import Actor
from authsvc.errors import Misconfigured
from authsvc.settings import Settings

_OPEN = KeyRotation.done_at.is_(None)


def ask(session: Session, actor: Actor, now: int) -> KeyRotation:
    """Wish that a new key signs. Whoever does so while another's wish is open shares it."""
    require(actor, keys.CREATE)
    present = session.scalar(select(KeyRotation).where(_OPEN).order_by(KeyRotation.id).limit(1))
    wish = present or KeyRotation(asked_by=actor.name, asked_at=now)
    session.add(wish)
    session.flush()
    audit.record(session, actor, "signing-key.ask", f"rotation {wish.id}", now)
    return wish


def find_newest(session: Session, actor: Actor) -> KeyRotation | None:
    """The last wish, done or not; None where nobody had one yet."""
    require(actor, keys.LIST)
    return session.scalar(select(KeyRotation).order_by(KeyRotation.id.desc()).limit(1))


def fulfil(settings: Settings, engine: Engine, actor: Actor, now: int) -> str:
    """Make the key that was asked for.

    Returns:
        Its id; "" when nobody asked, or another worker was faster.

    Raises:
        Misconfigured: a file of the CA is not as it must be; the wish says so, and stays open.
    """
    with reading(engine) as session:
        if session.scalar(select(KeyRotation.id).where(_OPEN).limit(1)) is None:
            return ""
    try:
        ca = keys.load_ca(settings.paths.ca_certificate, settings.paths.ca_key)
        sealer = Sealer.from_file(settings.paths.master_key)
    except Misconfigured as exc:
        sentence = str(exc)
        retried(engine, lambda session: session.execute(update(KeyRotation).where(_OPEN).values(trouble=sentence)))
        raise
    return retried(engine, lambda session: _make(session, actor, ca, sealer, now))


def _make(session: Session, actor: Actor, ca: Pair, sealer: Sealer, now: int) -> str:
    require(actor, keys.CREATE)
    wishes = session.scalars(select(KeyRotation).where(_OPEN).order_by(KeyRotation.id)).all()
    wanted = KeyRotation.id.in_([wish.id for wish in wishes])
    closed = session.connection().execute(update(KeyRotation).where(wanted, _OPEN).values(done_at=now, trouble=""))
    if not closed.rowcount:
        return ""
    asked_by = ", ".join(sorted({wish.asked_by for wish in wishes}))
    key = keys.add(session, actor, ca, sealer, now, detail=f"asked for by {asked_by}")
    session.connection().execute(update(KeyRotation).where(wanted).values(key_id=key.key_id))
    return key.key_id
