import base64
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from authsvc.domain import certificates
from authsvc.domain.certificates import DAY, Pair
from authsvc.errors import Misconfigured

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def ca() -> Pair:
    return certificates.make_ca("authsvc", NOW)


@pytest.fixture(scope="module")
def leaf(ca) -> Pair:
    return certificates.make_leaf(ca, "signing", NOW)


@pytest.fixture(scope="module")
def server(ca) -> Pair:
    return certificates.make_server(ca, ["registry.example.com", "127.0.0.1", "::1"], NOW)


def extension(pair: Pair, kind: type):
    return pair.certificate.extensions.get_extension_for_class(kind).value


def number(base64url: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(base64url + "="), "big")


def test_the_key_id_is_libtrusts():
    # The key printed in distribution 2.8's jwt.md, and the id that a registry 2.8.2 knew it by.
    public = ec.EllipticCurvePublicNumbers(
        number("m7zUpx3b-zmVE5cymSs64POG9QcyEpJaYCD82-549_Q"),
        number("dU3biz8sZ_8GPB-odm8Wxz3lNDr1xcAQQPQaOcr1fmc"),
        ec.SECP256R1(),
    ).public_key()
    assert certificates.key_id(public) == "PYYO:TEWU:V7JH:26JV:AQTZ:LJC3:SXVJ:XGHA:34F2:2LAQ:ZRMK:Z7Q6"


@pytest.mark.parametrize(
    ("which", "lifetime"), [("ca", certificates.CA_LIFETIME), ("leaf", 90 * DAY), ("server", 825 * DAY)]
)
def test_a_certificate_ends_after_its_lifetime(request, which, lifetime):
    assert certificates.ends_at(request.getfixturevalue(which).certificate) == NOW + lifetime


@pytest.mark.parametrize("which", ["ca", "leaf", "server"])
def test_a_certificate_begins_a_quarter_of_an_hour_ago_for_clocks_that_are_behind(request, which):
    certificate = request.getfixturevalue(which).certificate
    assert certificate.not_valid_before_utc.timestamp() == NOW - 15 * 60


def test_a_leaf_never_outlives_its_ca(ca):
    late = NOW + certificates.CA_LIFETIME - DAY
    leaf = certificates.make_leaf(ca, "signing", late)
    assert certificates.ends_at(leaf.certificate) == certificates.ends_at(ca.certificate)


@pytest.mark.parametrize("which", ["leaf", "server"])
def test_the_ca_signed_it(request, ca, which):
    assert certificates.is_signed_by(request.getfixturevalue(which).certificate, ca.certificate)


def test_another_ca_of_the_same_name_did_not_sign_it(leaf):
    assert not certificates.is_signed_by(leaf.certificate, certificates.make_ca("authsvc", NOW).certificate)


def test_a_certificate_of_another_name_did_not_sign_it(leaf, server):
    assert not certificates.is_signed_by(leaf.certificate, server.certificate)


@pytest.mark.parametrize(("which", "is_ca"), [("ca", True), ("leaf", False), ("server", False)])
def test_only_the_ca_may_sign_certificates(request, which, is_ca):
    pair = request.getfixturevalue(which)
    found = extension(pair, x509.BasicConstraints).ca, extension(pair, x509.KeyUsage).key_cert_sign
    assert found == (is_ca, is_ca)


def test_the_ca_signs_no_other_ca(ca):
    assert extension(ca, x509.BasicConstraints).path_length == 0


@pytest.mark.parametrize("which", ["ca", "leaf", "server"])
def test_keys_are_on_the_curve_that_every_registry_takes(request, which):
    assert isinstance(request.getfixturevalue(which).key.curve, ec.SECP256R1)


def test_a_server_certificate_names_hosts_and_addresses(server):
    alternatives = extension(server, x509.SubjectAlternativeName)
    assert [name.value for name in alternatives] == [
        "registry.example.com",
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_a_server_certificate_is_for_servers(server):
    assert list(extension(server, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_x5c_is_padded_standard_base64_of_the_der(leaf):
    der = leaf.certificate.public_bytes(serialization.Encoding.DER)
    assert base64.b64decode(certificates.x5c(leaf.certificate), validate=True) == der


def test_a_pair_is_read_back(leaf):
    assert certificates.load_pair(leaf.certificate_pem(), leaf.key_pem()).certificate == leaf.certificate


def test_a_key_that_belongs_to_another_certificate_is_refused(ca, leaf):
    with pytest.raises(Misconfigured, match="do not belong together"):
        certificates.load_pair(ca.certificate_pem(), leaf.key_pem())


@pytest.mark.parametrize("damaged", ["certificate", "key"])
def test_a_damaged_pair_is_refused(ca, damaged):
    files = {"certificate": ca.certificate_pem(), "key": ca.key_pem(), damaged: b"-----BEGIN"}
    with pytest.raises(Misconfigured, match="cannot be read"):
        certificates.load_pair(files["certificate"], files["key"])


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_a_key_of_another_kind_is_refused(ca, key):
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(Misconfigured, match="P-256"):
        certificates.load_pair(ca.certificate_pem(), pem)
