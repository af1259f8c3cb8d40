import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from authsvc.core.callers import Callers, Origin
from authsvc.core.login import Credentials, Limits, Login
from authsvc.core.proofs import Proof, Proofs
from authsvc.core.standings import Standings
from authsvc.core.throttle import Throttle
from authsvc.core.usage import Usage
from authsvc.db.engine import reading, transaction
from authsvc.db.tables import AuditEvent, User
from authsvc.errors import TooMany, Unauthenticated, Unavailable
from authsvc.identity import Identity, Verdict, passwords
from authsvc.identity.federated import Federation
from authsvc.identity.issuers import IssuerKeys
from authsvc.settings import ThrottleSettings
from tests.factories import ORIGIN, PASSWORD, make_user

ALICE, BOB = Credentials("alice", PASSWORD), Credentials("bob", PASSWORD)
TTL, GRACE = 60, 300


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Source:
    """A source that answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Callable[[str], object], name: str = "local") -> None:
        self.name = name
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    def check(self, username: str, password: str) -> object:
        self.asked.append((username, password))
        return self._answer(username)


def knows(*names: str, name: str = "local") -> Source:
    return Source(lambda typed: Identity(f"{name}:{typed}", typed) if typed in names else Verdict.UNKNOWN, name)


def says(verdict: Verdict) -> Source:
    return Source(lambda _: verdict)


def make_login(
    engine, sources: list[Source], proofs=None, clock=time.monotonic, *, newcomers: bool = True, **more: int
) -> Login:
    limits = Limits(**({"ttl": TTL, "grace": GRACE, "room": 8} | more))
    throttle = Throttle(engine, b"k" * 32, ThrottleSettings())
    return Login(engine, sources, throttle, proofs or Proofs(), limits, clock, newcomers=newcomers)


@pytest.fixture
def identify(engine, settings, now):
    """Ask a source who somebody is, and refuse as the token service does."""

    def ask(source: Source, credentials: Credentials, origin: Origin = ORIGIN) -> None:
        throttle = Throttle(engine, b"k" * 32, settings.throttle)
        federation = Federation(IssuerKeys(settings.federation), settings.token.issuer)
        usage, standings = Usage(engine), Standings(engine, 0)
        callers = Callers(engine, make_login(engine, [source]), standings, throttle, usage, federation, settings)
        callers.identify(credentials, origin, [], now)

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
    proof = make_login(engine, [knows("alice")], clock=Clock()).prove(ALICE, ORIGIN.source, now)
    assert proof == Proof("alice", 7, at=1_000.0)


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


def test_a_proof_ends_with_its_time(engine, now):
    clock, source = Clock(), knows("alice")
    login = make_login(engine, [source], clock=clock)
    for clock.seconds in (1_000.0, 1_000.0 + TTL - 1, 1_000.0 + TTL):
        login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 2


def test_nothing_is_remembered_when_the_time_is_zero(engine, now):
    source = knows("alice")
    login = make_login(engine, [source], ttl=0)
    login.prove(ALICE, ORIGIN.source, now)
    login.prove(ALICE, ORIGIN.source, now)
    assert len(source.asked) == 2


def test_a_refusal_is_not_remembered(engine, now):
    source = says(Verdict.REFUSED)
    login = make_login(engine, [source])
    for _ in range(2):
        assert login.prove(ALICE, ORIGIN.source, now) is None
    assert len(source.asked) == 2


def test_what_one_process_proved_every_other_one_knows(engine, now):
    first, second, shared = knows("alice"), knows("alice"), Proofs()
    for source in (first, second):
        make_login(engine, [source], proofs=shared).prove(ALICE, ORIGIN.source, now)
    assert (len(first.asked), len(second.asked)) == (1, 0)


def test_what_many_ask_at_once_is_asked_once(engine, now):
    source = knows("alice")
    login = make_login(engine, [source])
    with ThreadPoolExecutor(8) as pool:
        proofs = list(pool.map(lambda _: login.prove(ALICE, ORIGIN.source, now), range(40)))
    assert ({proof.name for proof in proofs}, len(source.asked)) == ({"alice"}, 1)


def test_who_finds_no_room_is_told_so_and_the_others_go_on(engine, now):
    entered, go_on = threading.Event(), threading.Event()

    def answer(name: str) -> object:
        entered.set()
        go_on.wait()
        return Identity(f"test:{name}", name)

    login = make_login(engine, [Source(answer)], room=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(login.prove, ALICE, ORIGIN.source, now)
        entered.wait()
        with pytest.raises(Unavailable, match="too many people"):
            login.prove(Credentials("bob", PASSWORD), ORIGIN.source, now)
        go_on.set()
    assert first.result().name == "alice"
    assert login.prove(ALICE, ORIGIN.source, now).name == "alice"


class TestAnOutage:
    """A source, or the database, answers once and then no more."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def source(self) -> Source:
        return knows("alice")

    @pytest.fixture
    def login(self, engine, source, clock, now) -> Login:
        made = make_login(engine, [source], clock=clock)
        made.prove(ALICE, ORIGIN.source, now)
        return made

    @staticmethod
    def goes_away(source: Source) -> None:
        def fail(_: str) -> object:
            raise Unavailable("the directory does not answer")

        source._answer = fail

    @pytest.mark.parametrize(("later", "outdated"), [(TTL - 1, False), (TTL, True), (TTL + GRACE - 1, True)])
    def test_an_old_proof_goes_on_for_a_while_and_says_so(self, login, source, clock, now, later, outdated):
        self.goes_away(source)
        clock.seconds += later
        assert login.prove(ALICE, ORIGIN.source, now) == Proof("alice", 0, 1_000.0, is_outdated=outdated)

    def test_then_it_ends(self, login, source, clock, now):
        self.goes_away(source)
        clock.seconds += TTL + GRACE
        with pytest.raises(Unavailable):
            login.prove(ALICE, ORIGIN.source, now)

    def test_nobody_else_gets_in(self, login, source, now):
        self.goes_away(source)
        with pytest.raises(Unavailable):
            login.prove(Credentials("bob", PASSWORD), ORIGIN.source, now)

    def test_a_password_that_was_refused_meanwhile_is_not_good_again(self, login, source, clock, now):
        clock.seconds += TTL
        source._answer = lambda _: Verdict.REFUSED
        assert login.prove(ALICE, ORIGIN.source, now) is None
        self.goes_away(source)
        with pytest.raises(Unavailable):
            login.prove(ALICE, ORIGIN.source, now)

    def test_a_refusal_that_cannot_be_counted_is_none_the_less_one(self, login, source, clock, now, monkeypatch):
        def fail(*_: object) -> None:
            raise Unavailable("the disk is full")

        clock.seconds += TTL
        source._answer = lambda _: Verdict.REFUSED
        monkeypatch.setattr(login._throttle, "failed", fail)
        with pytest.raises(Unavailable):
            login.prove(ALICE, ORIGIN.source, now)
        self.goes_away(source)
        with pytest.raises(Unavailable):
            login.prove(ALICE, ORIGIN.source, now)


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
        Credentials("a" * 256, PASSWORD),
        Credentials("ali\0ce", PASSWORD),
        Credentials("alice\n", PASSWORD),
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
        make_login(engine, [Source(fail), says(Verdict.UNKNOWN)]).prove(ALICE, ORIGIN.source, now)


def test_a_source_that_does_not_answer_stops_no_other(engine, now):
    def fail(_: str) -> object:
        raise Unavailable("the directory does not answer")

    assert make_login(engine, [Source(fail), knows("alice")]).prove(ALICE, ORIGIN.source, now).name == "alice"
    assert make_login(engine, [Source(fail), says(Verdict.REFUSED)]).prove(ALICE, ORIGIN.source, now) is None


@pytest.mark.parametrize("typed", ["corp\\alice", "alice@example.com", "smith, alice", "*)(uid=*", "alice "])
def test_a_source_may_know_people_by_more_than_their_user_names(engine, now, typed):
    source = Source(lambda _: Identity("test:1", "alice"))
    proof = make_login(engine, [source]).prove(Credentials(typed, PASSWORD), ORIGIN.source, now)
    assert (proof.name, source.asked) == ("alice", [(typed, PASSWORD)])


class TestAccounts:
    """Somebody who has an account is asked of its source; somebody new gets one."""

    @pytest.fixture
    def corp(self) -> Source:
        return knows("bob", name="corp")

    def test_nobody_else_is_asked_about_who_has_an_account(self, engine, corp, now):
        with transaction(engine) as session:
            make_user(session, "bob")
        assert make_login(engine, [corp, says(Verdict.REFUSED)]).prove(BOB, ORIGIN.source, now) is None
        assert corp.asked == []

    def test_who_is_of_a_directory_is_asked_of_it_alone(self, engine, corp, now):
        with transaction(engine) as session:
            make_user(session, "bob", source="corp", subject="corp:bob")
        local = says(Verdict.REFUSED)
        assert make_login(engine, [local, corp]).prove(BOB, ORIGIN.source, now).name == "bob"
        assert local.asked == []

    def test_a_source_that_is_no_longer_there_lets_nobody_in(self, engine, now, hashes):
        with transaction(engine) as session:
            make_user(session, "bob", source="gone", subject="gone:bob")
        assert make_login(engine, [knows("bob")]).prove(BOB, ORIGIN.source, now) is None
        assert hashes == [PASSWORD]

    def test_the_first_login_makes_an_account(self, engine, corp, now):
        proof = make_login(engine, [says(Verdict.UNKNOWN), corp]).prove(BOB, ORIGIN.source, now)
        with reading(engine) as session:
            user = session.scalars(select(User)).one()
        assert (user.name, user.source, user.password_hash, proof.version) == (
            "bob",
            "corp",
            None,
            user.password_version,
        )

    def test_an_account_must_be_there_where_newcomers_are_not_welcome(self, engine, corp, now):
        login = make_login(engine, [corp], newcomers=False)
        with pytest.raises(Unauthenticated, match="user import"):
            login.prove(BOB, ORIGIN.source, now)

    def test_a_login_that_changes_nothing_writes_nothing(self, engine, corp, now):
        login = make_login(engine, [corp], ttl=0)
        login.prove(BOB, ORIGIN.source, now)
        before = refused(engine)
        login.prove(BOB, ORIGIN.source, now)
        assert refused(engine) == before

    def test_a_name_that_is_somebody_elses_is_refused_with_the_reason(self, engine, identify):
        with transaction(engine) as session:
            make_user(session, "bob", source="corp", subject="corp:17")
        with pytest.raises(Unauthenticated, match="the name bob is that of another account"):
            identify(knows("bob", name="corp"), BOB)
        assert [row[4] for row in refused(engine)][-1].startswith("the name bob is that of another account (from corp)")


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
    assert login.prove(ALICE, ORIGIN.source, now).name == "alice"
