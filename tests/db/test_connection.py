import ssl

import pytest
from sqlalchemy import make_url

from authsvc.db.connection import Connection


@pytest.fixture
def connect(mariadb):
    """Connect to the server; what was opened is closed."""
    url, opened = make_url(mariadb), []

    def connect(**options) -> Connection:
        made = Connection(host=url.host, port=url.port, user=url.username, password=url.password or "", **options)
        opened.append(made)
        return made

    yield connect
    for one in opened:
        one.close()


def test_connections_share_what_they_need_for_tls(connect):
    one, other = connect(), connect()
    assert (one.ctx is other.ctx, one.ctx.verify_mode) == (True, ssl.CERT_NONE)


def test_a_connection_that_has_to_verify_its_server_does(connect):
    with pytest.raises(Exception, match=r"TLS|SSL|certificate"):
        connect(ssl_verify_cert=True, ssl_verify_identity=True)
