"""A connection to MariaDB. Apart from `engine.py`, so that who has SQLite does not load the driver."""

import ssl
from functools import cache
from typing import Any

from pymysql import connections


class Connection(connections.Connection):
    """PyMySQL's. Unless told otherwise it speaks TLS with any server that does, and verifies nothing.

    For that it would load this machine's CAs anew for each connection, which takes longer than all else.
    """

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        made: ssl.SSLContext = super()._create_ssl_ctx(sslp) if sslp else _with_any_server()  # type: ignore[misc]
        return made


@cache
def _with_any_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
