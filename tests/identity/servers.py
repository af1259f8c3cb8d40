"""Directories for these tests: OpenLDAP's slapd, Samba as an Active Directory domain controller, and bad ones."""

import datetime
import ipaddress
import itertools
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.servers import free_port, need, process, run, standing_still, until
from tests.factories import PASSWORD

BASE = "dc=example,dc=com"
LIMITED = f"cn=limited,ou=services,{BASE}"
SERVICE, SERVICE_PASSWORD = f"cn=authsvc,ou=services,{BASE}", "service-secret"
ROOT_DN, ROOT_PASSWORD = f"cn=root,{BASE}", "root-secret"
FOR_EVER = datetime.timedelta(days=3_650)


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA for tests, which issues certificates into a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._subject, self._key.public_key(), FOR_EVER).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = directory / f"{name}.crt"
        self._write(self.certificate, made)

    def issue(self, name: str, *, age: datetime.timedelta = FOR_EVER) -> Certificate:
        """A certificate for that name and 127.0.0.1, or a given address."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        if name.startswith("127."):
            names = [x509.IPAddress(ipaddress.ip_address(name))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(subject, key.public_key(), age).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        files = Certificate(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        self._write(files.certificate, made)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        files.key.chmod(0o600)
        return files

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, age: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key)
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now - FOR_EVER)
            .not_valid_after(now + age)
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@dataclass(frozen=True)
class Slapd:
    """A running slapd."""

    url: str
    tls_url: str
    process: subprocess.Popen[bytes]

    @contextmanager
    def root(self) -> Iterator[ldap3.Connection]:
        """A connection that may change everything."""
        server = ldap3.Server(self.url, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, ROOT_DN, ROOT_PASSWORD, raise_exceptions=True, check_names=False)
        connection.bind()
        try:
            yield connection
        finally:
            connection.unbind()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The time in which it does not answer."""
        with standing_still(self.process.pid):
            yield


_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {directory}/pid
threads 4
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient {clients}
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=open,{base}" by * read
access to dn.subtree="ou=direct,{base}" by anonymous auth by users read
access to * by dn.exact="{service}" read by dn.exact="{limited}" read by anonymous auth by * none
database mdb
maxsize {room}
suffix {base}
rootdn {root}
rootpw {root_password}
directory {directory}/db
dbnosync
index objectClass,uid,mail,member,uniqueMember,memberUid,entryUUID eq
limits dn.exact="{service}" size.soft=300 size.hard=300 size.prtotal=unlimited
limits dn.exact="{limited}" size.soft=100 size.hard=100 size.prtotal=100
overlay memberof
memberof-refint true
overlay ppolicy
ppolicy_use_lockout
ppolicy_default cn=default,ou=policies,{base}
"""


class Seeded:
    """An OpenLDAP server's directory, filled, which may run again and again on the same ports."""

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        certificate: Certificate,
        ldif: str,
        *,
        clients: str = "never",
        room: int = 64 * 2**20,
    ) -> None:
        (directory / "db").mkdir(parents=True)
        self._config, self._log = directory / "slapd.conf", directory / "log"
        self._ports = free_port(), free_port()
        entries = directory / "seed.ldif"
        self._config.write_text(
            _CONFIG.format(
                directory=directory, ca=authority.certificate, certificate=certificate.certificate,
                key=certificate.key, clients=clients, base=BASE, service=SERVICE, limited=LIMITED, root=ROOT_DN,
                root_password=ROOT_PASSWORD, room=room,
            )
        )  # fmt: skip
        entries.write_text(ldif, encoding="utf-8")
        run(need("slapadd"), "-q", "-f", str(self._config), "-l", str(entries))

    @contextmanager
    def running(self) -> Iterator[Slapd]:
        """The time in which it runs."""
        port, tls_port = self._ports
        url, tls_url = f"ldap://127.0.0.1:{port}", f"ldaps://127.0.0.1:{tls_port}"
        command = [need("slapd"), "-f", str(self._config), "-h", f"{url} {tls_url}", "-d", "0"]
        with process(*command, log=self._log) as started:
            until(lambda: started.poll() is not None or is_open(port), "slapd's first answer")
            assert started.poll() is None, self._log.read_text()
            yield Slapd(url, tls_url, started)


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    with suppress(OSError):
        socket.create_connection((host, port), 0.5).close()
        return True
    return False


@dataclass
class Stub:
    """A server that is none: each connection is handed to `behave`. Counts them."""

    url: str
    opened: int = 0
    open_now: int = 0
    most_open: int = 0
    sent: bytearray = field(default_factory=bytearray)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.lock:
            self.opened += 1
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            yield
        finally:
            with self.lock:
                self.open_now -= 1


@contextmanager
def stub(behave: Callable[[socket.socket, Stub], None], port: int = 0) -> Iterator[Stub]:
    """A TCP server that behaves like that."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with known.counted(), suppress(OSError):
                behave(self.request, known)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True
        request_queue_size = 128

    with Server(("127.0.0.1", port), Handler) as server:
        known = Stub(f"ldap://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def silent(client: socket.socket, _: Stub) -> None:
    """Accepts, and never answers."""
    while client.recv(4096):
        pass


def junk(client: socket.socket, _: Stub) -> None:
    """Answers anything with something that is no LDAP."""
    while client.recv(4096):
        client.sendall(b"\x30\x0c\x02\x01\x01\x61\x07HTTP/1.")


def cutting(client: socket.socket, _: Stub) -> None:
    """Hangs up as soon as it is asked."""
    client.recv(4096)


def dripping(client: socket.socket, _: Stub) -> None:
    """Begins an answer and sends a byte of it ten times a second, for ever."""
    client.recv(4096)
    client.sendall(b"\x30\x84\x00\xff\xff\xff")
    pause = threading.Event()
    while not pause.wait(0.1):
        client.sendall(b"\x00")


def flooding(client: socket.socket, _: Stub) -> None:
    """Sends without an end."""
    client.recv(4096)
    client.sendall(b"\x30\x84\x7f\xff\xff\xff")
    while True:
        client.sendall(b"\x00" * 65_536)


def agreeing(answer: bytes) -> Callable[[socket.socket, Stub], None]:
    """Answers every message with that operation, under the message's id."""

    def behave(client: socket.socket, _: Stub) -> None:
        while data := client.recv(65_536):
            place = 2 if data[1] < 0x80 else 2 + data[1] - 0x80
            message_id = data[place : place + 2 + data[place + 1]]
            body = message_id + answer
            client.sendall(bytes([0x30, len(body)]) + body)

    return behave


def relay(target: str, watch: Callable[[bytes], bool] = lambda _: False) -> Callable[[socket.socket, Stub], None]:
    """Passes everything on to a server, until `watch` says of what a client sends that this is the end."""
    host, port = target.removeprefix("ldap://").split(":")

    def behave(client: socket.socket, known: Stub) -> None:
        with socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65_536):
                with known.lock:
                    known.sent += data
                if watch(data):
                    break
                server.sendall(data)

    return behave


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


_NUMBERS = itertools.count(5)
REALM, DOMAIN, AD_BASE = "EXAMPLE.COM", "EXAMPLE", "DC=example,DC=com"
AD_STAFF = f"OU=Staff,{AD_BASE}"

_SMB = """\
[global]
    netbios name = DC1
    realm = {realm}
    workgroup = {domain}
    server role = active directory domain controller
    server services = ldap
    interfaces = {address}/8
    bind interfaces only = yes
    private dir = {directory}/private
    state directory = {directory}/state
    cache directory = {directory}/cache
    lock directory = {directory}/lock
    pid directory = {directory}/pid
    ncalrpc dir = {directory}/ncalrpc
    binddns dir = {directory}/binddns
    log file = {directory}/log.%m
    old password allowed period = 0
    tls enabled = yes
    tls keyfile = {key}
    tls certfile = {certificate}
    tls cafile = {ca}
    usershare path =
[sysvol]
    path = {directory}/state/sysvol
    read only = no
[netlogon]
    path = {directory}/state/sysvol/{realm}/scripts
    read only = no
"""


@dataclass(frozen=True)
class Samba:
    """A running domain controller."""

    url: str
    plain_url: str
    ca: Path


@contextmanager
def samba(directory: Path) -> Iterator[Samba]:
    """An Active Directory domain, with LDAP alone. Its ports are fixed, so that it has an address of its own."""
    pid = os.getpid()
    address = f"127.{1 + pid % 250}.{pid // 250 % 250}.{next(_NUMBERS)}"
    for folder in ("private", "state/sysvol", "cache", "lock", "pid", "ncalrpc", "binddns", "tls"):
        (directory / folder).mkdir(parents=True)
    authority = Authority(directory / "tls", "ad")
    files = authority.issue(address)
    config = directory / "smb.conf"
    config.write_text(
        _SMB.format(
            realm=REALM, domain=DOMAIN, address=address, directory=directory,
            key=files.key, certificate=files.certificate, ca=authority.certificate,
        )
    )  # fmt: skip
    run(
        need("samba-tool"), "domain", "provision", f"--configfile={config}", f"--realm={REALM}", f"--domain={DOMAIN}",
        "--server-role=dc", "--dns-backend=NONE", "--adminpass=Passw0rd!admin", "--host-name=dc1",
        f"--host-ip={address}",
    )  # fmt: skip
    # With Debian's Python, for which python3-samba is made.
    run("/usr/bin/python3", str(Path(__file__).with_name("seed_samba.py")), str(config), str(directory), PASSWORD)
    log = directory / "log"
    with process(
        need("samba"), "--foreground", "--no-process-group", "-M", "single", f"--configfile={config}", log=log
    ) as started:
        until(lambda: started.poll() is not None or is_open(636, address), "Samba's first answer")
        assert started.poll() is None, log.read_text()
        yield Samba(f"ldaps://{address}", f"ldap://{address}", authority.certificate)
