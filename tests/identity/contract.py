"""What every source that checks passwords keeps. A source's test class inherits this and supplies the fixtures;
it overrides no test.
"""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from authsvc.errors import Unavailable
from authsvc.identity import Identity, PasswordBackend, Verdict
from tests.factories import PASSWORD


class PasswordBackendContract:
    """`backend` knows bob, whose password is `PASSWORD`; `unreachable` is one whose server is down.

    `tells_unknown` is off where a protocol has one answer for a wrong password and for an unknown name: then a wrong
    password is left to the next source, too.
    """

    tells_unknown = True

    @property
    def refusal(self) -> Verdict:
        """What a wrong password is answered with."""
        return Verdict.REFUSED if self.tells_unknown else Verdict.UNKNOWN

    @pytest.fixture
    def backend(self) -> PasswordBackend:
        raise NotImplementedError

    @pytest.fixture
    def unreachable(self) -> PasswordBackend:
        raise NotImplementedError

    def test_it_has_a_name(self, backend):
        assert backend.name.isidentifier()

    def test_the_right_password_proves_the_name(self, backend):
        assert backend.check("bob", PASSWORD).name == "bob"

    def test_the_subject_tells_sources_apart(self, backend):
        assert backend.check("bob", PASSWORD).subject.startswith(f"{backend.name}:")

    def test_a_wrong_password_is_refused(self, backend):
        assert backend.check("bob", "wrong") is self.refusal

    @pytest.mark.parametrize(
        "password",
        [
            PASSWORD.upper(),
            PASSWORD + " ",
            " " + PASSWORD,
            PASSWORD + "\0",
            "\0",
            " ",
            "*",
            "()*\\",
            "pässwörd",
            "x" * 1_000,
            "x" * 65_536,
        ],
    )
    def test_a_password_that_is_almost_right_is_refused(self, backend, password):
        assert backend.check("bob", password) is self.refusal

    @pytest.mark.parametrize(
        "name",
        [
            "nobody",
            "b*",
            "*",
            "bob)(uid=*",
            "*)(uid=*",
            "bob\\",
            "bo(b",
            "bob\0",
            "bob ",
            " bob",
            "b" * 10_240,
            "",
            "' OR 1=1 --",
            "j(y)*",
            "böb",
            "bob,ou=people",
        ],
    )
    def test_a_name_it_does_not_know_is_left_to_the_next_source(self, backend, name):
        assert backend.check(name, PASSWORD) is Verdict.UNKNOWN

    def test_it_answers_eight_threads_at_once(self, backend):
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(backend.check, ["bob"] * 8, [PASSWORD] * 8))
        assert {type(answer) for answer in found} == {Identity}

    def test_a_server_that_is_down_is_no_answer(self, unreachable):
        with pytest.raises(Unavailable):
            unreachable.check("bob", PASSWORD)

    @pytest.mark.parametrize("name", ["bob", "nobody"])
    def test_a_password_is_never_logged(self, backend, caplog, name):
        caplog.set_level(logging.DEBUG)
        backend.check(name, "hunter2-hunter2")
        assert "hunter2" not in caplog.text
