"""An authority of the tests' own, and what it has signed: for a server on 127.0.0.1, and for a client."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)


class Certificates(NamedTuple):
    """Paths of PEM files."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write an authority's certificate, a server's and a client's into *folder*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("the tests' authority")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = _builder(name, name, key).add_extension(constraints, critical=True).add_extension(usage, critical=True)
    signed = authority.sign(key, hashes.SHA256())
    paths = Certificates(*(folder / f"{field}.pem" for field in Certificates._fields))
    paths.authority.write_bytes(signed.public_bytes(Encoding.PEM))
    _issue(paths.server, paths.server_key, key, name, ExtendedKeyUsageOID.SERVER_AUTH)
    _issue(paths.client, paths.client_key, key, name, ExtendedKeyUsageOID.CLIENT_AUTH)
    return paths


def _issue(
    path: Path, key_path: Path, signer: ec.EllipticCurvePrivateKey, issuer: x509.Name, purpose: x509.ObjectIdentifier
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    of_signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = _builder(_name(path.stem), issuer, key).add_extension(address, critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    signed = builder.add_extension(of_signer, critical=False).sign(signer, hashes.SHA256())
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = (
        builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)
    )
    return builder.add_extension(identifier, critical=False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
