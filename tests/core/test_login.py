import logging
from collections.abc import Callable

import pytest
from sqlalchemy import select

from authsvc.core import login as login_module
from authsvc.core.callers import Callers, Origin
from authsvc.core.login import Credentials, Login, Proof
from authsvc.core.throttle import Throttle
from authsvc.core.usage import Usage
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent
from authsvc.errors import TooMany, Unauthenticated, Unavailable
from authsvc.identity import Identity, Verdict, passwords
from authsvc.settings import ThrottleSettings
from tests.factories import ORIGIN, PASSWORD, make_user

ALICE = Credentials("alice", PASSWORD)
TTL = 60


class Source:
    """A source that answers what it is told to, and remembers what it was asked."""

    name = "test"

    def __init__(self, answer: Callable[[str], object]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    def check(self, username: str, password: str) -> object:
        self.asked.append((username, password))
        return self._answer(username)


def knows(*names: str) -> Source:
    return Source(lambda name: Identity(f"test:{name}", name) if name in names else Verdict.UNKNOWN)


def says(verdict: Verdict) -> Source:
    return Source(lambda _: verdict)


def make_login(engine, sources: list[Source], ttl: int = TTL) -> Login:
    return Login(engine, sources, Throttle(engine, b"k" * 32, ThrottleSettings()), ttl)


@pytest.fixture
def identify(engine, settings, now):
    """Ask a source who somebody is, and refuse as the token service does."""

    def ask(source: Source, credentials: Credentials, origin: Origin = ORIGIN) -> None:
        throttle = Throttle(engine, b"k" * 32, settings.throttle)
        login = Login(engine, [source], throttle, TTL)
        Callers(engine, login, throttle, Usage(engine), settings).identify(credentials, origin, [], now)

    return ask


@pytest.fixture
def hashes(monkeypatch) -> list[str]:
    """What was wasted a hash on."""
    wasted: list[str] = []
    monkeypatch.setattr(passwords, "waste_a_hash", wasted.append)
    return wasted


@pytest.fixture
def database_url(sqlite_url) -> str:
    return sqlite_url


def refused(engine) -> list[tuple[str, ...]]:
    with reading(engine) as session:
        rows = session.scalars(select(AuditEvent))
        return [(row.actor, row.action, row.object, row.result, row.detail, row.source, row.request_id) for row in rows]


def test_a_login_proves_the_name_and_the_version_of_the_password(engine, now):
    with transaction(engine) as session:
        make_user(session, "alice", password_version=7)
    assert make_login(engine, [knows("alice")]).prove(ALICE, ORIGIN.source, now) == Proof("alice", 7)


def test_a_login_that_succeeds_leaves_no_audit_row(engine, now):
    make_login(engine, [knows("alice")]).prove(ALICE, ORIGIN.source, now)
    assert refused(engine) == []


@pytest.mark.parametrize("typed", ["alice", "Alice", "ＡＬＩＣＥ"])
def test_a_source_is_asked_for_the_one_form_of_the_name(engine, now, typed):
    source = knows("alice")
    make_login(engine, [source]).prove(Credentials(typed, PASSWORD), ORIGIN.source, now)
    assert source.asked == [("alice", PASSWORD)]


def test_a_proof_is_remembered(engine, now):
    source = knows("alice")
    login = make_login(engine, [source])
    assert (login.prove(ALICE, ORIGIN.source, now) == login.prove(ALICE, ORIGIN.source, now), len(source.asked)) == (
        True,
        1,
    )


def test_a_proof_is_remembered_for_each_spelling_of_the_name(engine, now):
    source = knows("alice")
    login = make_login(engine, [source])
    login.prove(ALICE, ORIGIN.source, now)
    login.prove(Credentials("ALICE", PASSWORD), ORIGIN.source, now)
    assert len(source.asked) == 1


@pytest.mark.parametrize("other", [("alice", PASSWORD + "x"), ("alic", "e" + PASSWORD), ("bob", PASSWORD)])
def test_a_proof_is_not_good_for_anything_else(engine, now, other):
    source = knows("alice", "alic", "bob")
    login = make_login(engine, [source])
    login.prove(ALICE, ORIGIN.source, now)
    login.prove(Credentials(*other), ORIGIN.source, now)
    assert len(source.asked) == 2


def test_a_proof_is_forgotten_on_request(engine, now):
    source = knows("alice")
    login = make_login(engine, [source])
    login.prove(ALICE, ORIGIN.source, now)
    login.forget(ALICE)
    login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 2


def test_a_proof_ends_with_its_time(engine, now, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(login_module.time, "monotonic", lambda: clock[0])
    source = knows("alice")
    login = make_login(engine, [source])
    for clock[0] in (0.0, TTL - 1.0, TTL + 1.0):
        login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 2


def test_nothing_is_remembered_when_the_time_is_zero(engine, now):
    source = knows("alice")
    login = make_login(engine, [source], 0)
    login.prove(ALICE, ORIGIN.source, now)
    login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 2


def test_a_refusal_is_not_remembered(engine, now):
    source = says(Verdict.REFUSED)
    login = make_login(engine, [source])
    for _ in range(2):
        assert login.prove(ALICE, ORIGIN.source, now) is None
    assert len(source.asked) == 2


def test_proofs_are_bounded(engine):
    assert make_login(engine, [])._proofs.maxsize == login_module.MAX_PROOFS


def test_what_is_remembered_is_neither_name_nor_password(engine, now):
    login = make_login(engine, [knows("alice")])
    login.prove(ALICE, ORIGIN.source, now)
    (key,) = login._proofs
    assert (len(key), PASSWORD.encode() in key) == (32, False)


def test_another_process_remembers_under_another_key(engine):
    assert make_login(engine, [])._digest(ALICE) != make_login(engine, [])._digest(ALICE)


def test_sources_are_asked_in_turn(engine, now):
    first, second = says(Verdict.UNKNOWN), knows("alice")
    make_login(engine, [first, second]).prove(ALICE, ORIGIN.source, now)
    assert (len(first.asked), len(second.asked)) == (1, 1)


def test_a_source_that_refuses_ends_the_chain(engine, now):
    second = knows("alice")
    assert make_login(engine, [says(Verdict.REFUSED), second]).prove(ALICE, ORIGIN.source, now) is None
    assert second.asked == []


@pytest.mark.parametrize("verdict", Verdict)
def test_an_unknown_name_and_a_wrong_password_get_the_same_words(identify, verdict):
    with pytest.raises(Unauthenticated) as answer:
        identify(says(verdict), ALICE)
    assert str(answer.value) == "wrong user name or password"


def test_a_refused_login_is_audited(engine, identify):
    with pytest.raises(Unauthenticated):
        identify(says(Verdict.REFUSED), Credentials("Alice", "x"), Origin("192.0.2.1", "r-1"))
    assert refused(engine) == [
        ("alice", "login", "alice", "refused", "wrong user name or password", "192.0.2.1", "r-1")
    ]


def test_a_name_nobody_has_costs_a_hash_too(engine, now, hashes):
    assert make_login(engine, [says(Verdict.UNKNOWN), says(Verdict.UNKNOWN)]).prove(ALICE, ORIGIN.source, now) is None
    assert hashes == [PASSWORD]


def test_a_name_that_a_source_refused_costs_no_second_hash(engine, now, hashes):
    assert make_login(engine, [says(Verdict.REFUSED)]).prove(ALICE, ORIGIN.source, now) is None
    assert hashes == []


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("alice", ""),
        Credentials("", PASSWORD),
        Credentials("*)(uid=*", PASSWORD),
        Credentials("robot$x", "x"),
        Credentials("a" * 4096, PASSWORD),
        Credentials("alice ", PASSWORD),
    ],
)
def test_what_cannot_be_right_reaches_no_source_but_costs_a_hash(engine, now, hashes, credentials):
    source = Source(lambda name: Identity(f"test:{name}", name))
    assert make_login(engine, [source]).prove(credentials, ORIGIN.source, now) is None
    assert (source.asked, hashes) == ([], [credentials.password])


def test_a_source_that_does_not_answer_is_no_wrong_password(engine, now):
    def fail(_: str) -> object:
        raise Unavailable("the directory does not answer")

    with pytest.raises(Unavailable):
        make_login(engine, [Source(fail), knows("alice")]).prove(ALICE, ORIGIN.source, now)


def test_a_database_that_does_not_answer_is_no_wrong_password(no_database, now):
    with pytest.raises(Unavailable):
        make_login(no_database, [says(Verdict.REFUSED)]).prove(ALICE, ORIGIN.source, now)


def test_a_password_is_not_printed():
    assert repr(ALICE) == "Credentials('alice', ***)"


def test_a_password_is_not_logged(identify, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unauthenticated):
        identify(says(Verdict.REFUSED), Credentials("alice", "hunter2-hunter2"))
    assert "hunter2" not in caplog.text


def test_a_password_is_not_audited(engine, identify):
    with pytest.raises(Unauthenticated):
        identify(says(Verdict.REFUSED), Credentials("alice", "hunter2-hunter2"))
    assert "hunter2" not in str(refused(engine))


def test_who_is_slowed_down_reaches_no_source(engine, now):
    source = says(Verdict.REFUSED)
    login = make_login(engine, [source])
    for number in range(5):
        login.prove(Credentials("alice", f"wrong {number}"), ORIGIN.source, now)
    with pytest.raises(TooMany):
        login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 5


def test_a_remembered_proof_is_not_slowed_down(engine, now):
    login = make_login(engine, [Source(lambda name: Identity(f"test:{name}", name))])
    login.prove(ALICE, ORIGIN.source, now)
    login._backends = (says(Verdict.REFUSED),)
    for number in range(5):
        login.prove(Credentials("alice", f"wrong {number}"), ORIGIN.source, now)
    assert login.prove(ALICE, ORIGIN.source, now) == Proof("alice", 0)
