"""A folder with an authority and what it vouches for: `ca.crt`, `ca.key`, `ca.crl`, and NAME.crt, NAME.key of others.

Decides that nothing is ever overwritten: what is there and holds is left alone, what is there and does not hold is an
error that says what to remove. Where only a certificate is missing, it is made for the key that is there. Private keys
are for their owner only. What certificates say is left to `certificates`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs.certificates import (
    Authority,
    Kind,
    authority_certificate,
    client_certificate,
    hosts_of,
    kind_of,
    new_key,
    plain_host,
    revocation_list,
    server_certificate,
)
from wire.address import require_name
from wire.errors import MalformedError
from wire.runtime.errors import ConfigError

CA: Final = "ca"
_WRITABLE: Final = "name a folder that can be written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate in a folder."""

    path: Path
    certificate: x509.Certificate
    is_new: bool


def make_authority(folder: Path, *, name: str, now: datetime) -> Issued:
    """Make an authority, with an empty list of revoked certificates, unless it is there.

    Raises:
        ConfigError: What is there does not hold, or the folder cannot be written.
    """
    path = folder / f"{CA}.crt"
    if path.exists():
        authority = load_authority(folder)
        _require_valid(path, authority.certificate, now)
        issued = Issued(path=path, certificate=authority.certificate, is_new=False)
    else:
        key = _key(folder / f"{CA}.key")
        issued = Issued(path=path, certificate=authority_certificate(key, name=name, now=now), is_new=True)
        _write_new(path, issued.certificate.public_bytes(Encoding.PEM), mode=0o644)
        authority = Authority(issued.certificate, key)
    if not (folder / f"{CA}.crl").exists():
        _write_revocations(folder, revocation_list(authority, None, (), now=now))
    return issued


def make_server(folder: Path, *, name: str, hosts: Sequence[str], now: datetime) -> Issued:
    """Make a server's certificate unless it is there.

    Args:
        folder: Of the authority.
        name: What it and its files are called.
        hosts: Names and addresses under which it is reached.
        now: The time.

    Raises:
        ConfigError: There is no authority, what is there does not hold, or the folder cannot be written.
    """
    try:
        wanted = tuple(dict.fromkeys(plain_host(host) for host in hosts))
    except ValueError as error:
        raise ConfigError("--host", str(error), "write a host name or an IP address") from error
    if not wanted:
        raise ConfigError("--host", "a server needs one at least", "give the name under which clients reach it")
    authority, path = load_authority(folder), _path_of(folder, name)
    if path.exists():
        issued = _present(path, authority, Kind.SERVER, now)
        if missing := sorted(set(wanted) - set(hosts_of(issued.certificate))):
            remedy = "remove the file and run this again; its key stays in use"
            raise ConfigError(str(path), f"does not speak for {', '.join(missing)}", remedy)
        return issued
    key = _key(path.with_suffix(".key"))
    made = server_certificate(authority, key.public_key(), name=name, hosts=wanted, now=now)
    return _store(path, made)


def make_client(folder: Path, *, name: str, now: datetime) -> Issued:
    """Make a client's certificate unless it is there.

    Raises:
        ConfigError: There is no authority, what is there does not hold, or the folder cannot be written.
    """
    authority, path = load_authority(folder), _path_of(folder, name)
    if path.exists():
        return _present(path, authority, Kind.CLIENT, now)
    key = _key(path.with_suffix(".key"))
    return _store(path, client_certificate(authority, key.public_key(), name=name, now=now))


def revoke(folder: Path, *, name: str, now: datetime) -> int:
    """Put a certificate on the list of revoked ones and set its files aside; return its serial number.

    Raises:
        ConfigError: There is no such certificate, or the folder cannot be written.
    """
    authority, path = load_authority(folder), _path_of(folder, name)
    serial = _certificate(path).serial_number
    _write_revocations(folder, revocation_list(authority, _revocations(folder), (serial,), now=now))
    # Renamed last: after a crash in between, revoking again does the rest.
    for suffix in (".key", ".crt"):
        old = path.with_suffix(suffix)
        if old.exists():
            old.rename(path.with_name(f"{name}.{serial:x}{suffix}.revoked"))
    return serial


def listed(folder: Path) -> list[Issued]:
    """Return all certificates in a folder, by name.

    Raises:
        ConfigError: There is none, or one cannot be read.
    """
    found = [Issued(path=path, certificate=_certificate(path), is_new=False) for path in sorted(folder.glob("*.crt"))]
    if not found:
        raise ConfigError(str(folder), "no certificates (*.crt) here", "run `wattpost certs authority FOLDER` first")
    return found


def load_authority(folder: Path) -> Authority:
    """Return the authority in a folder.

    Raises:
        ConfigError: There is none, or it does not hold together.
    """
    path = folder / f"{CA}.crt"
    if not path.exists():
        raise ConfigError(str(folder), "no authority here", "run `wattpost certs authority FOLDER` first")
    certificate = _certificate(path)
    key = _load_key(path.with_suffix(".key"))
    if kind_of(certificate) is not Kind.AUTHORITY or certificate.public_key() != key.public_key():
        raise ConfigError(str(path), "does not belong to the key beside it", "put the two of one authority back")
    return Authority(certificate, key)


def _path_of(folder: Path, name: str) -> Path:
    try:
        require_name(name)
    except MalformedError as error:
        raise ConfigError("--name", str(error), "use 1 to 32 letters, digits and hyphens") from error
    if name == CA:
        raise ConfigError("--name", f"{CA!r} is the authority's own", "choose another name")
    return folder / f"{name}.crt"


def _present(path: Path, authority: Authority, kind: Kind, now: datetime) -> Issued:
    """Return a certificate that is there, if it holds."""
    certificate = _certificate(path)
    key = _load_key(path.with_suffix(".key"))
    if certificate.public_key() != key.public_key():
        raise ConfigError(str(path), "does not belong to the key beside it", "remove it and run this again")
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError) as error:
        problem = "comes from another authority"
        raise ConfigError(str(path), problem, "remove it and run this again; its key stays in use") from error
    if (found := kind_of(certificate)) is not kind:
        raise ConfigError(str(path), f"is a certificate of a {found}", f"choose another name for the {kind}")
    _require_valid(path, certificate, now)
    return Issued(path=path, certificate=certificate, is_new=False)


def _require_valid(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        ended = certificate.not_valid_after_utc.date().isoformat()
        raise ConfigError(str(path), f"ended on {ended}", "remove it and run this again; its key stays in use")


def _store(path: Path, certificate: x509.Certificate) -> Issued:
    _write_new(path, certificate.public_bytes(Encoding.PEM), mode=0o644)
    return Issued(path=path, certificate=certificate, is_new=True)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file, made if there is none."""
    if path.exists():
        return _load_key(path)
    key = new_key()
    _write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    return key


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        problem = error.strerror or str(error)
        raise ConfigError(str(path), problem, "put the private key back, or remove the certificate too") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(str(path), "is no private key in PEM", "put it back, or remove it and its .crt") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(str(path), "is no key on an elliptic curve", "use keys that `wattpost certs` made")
    return key


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "look with `wattpost certs show FOLDER`") from error
    except ValueError as error:
        raise ConfigError(str(path), "is no certificate in PEM", "remove it and run this again") from error


def _revocations(folder: Path) -> x509.CertificateRevocationList | None:
    path = folder / f"{CA}.crl"
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), "is no list of revoked certificates", "put it back from a backup") from error


def _write_revocations(folder: Path, revocations: x509.CertificateRevocationList) -> None:
    path = folder / f"{CA}.crl"
    fresh = path.with_suffix(".crl.new")
    try:
        fresh.unlink(missing_ok=True)
        _write_new(fresh, revocations.public_bytes(Encoding.PEM), mode=0o644)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), _WRITABLE) from error


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), _WRITABLE) from error
