# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The files of ``transport_config``: there, readable by this user and by nobody who should not, and good for TLS with each other."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator

from daos_pbin import codes
from daos_server.config.model import TransportConfig
from daos_server.config.problems import Problem

MOST_OPEN = {"ca_cert": 0o664, "cert": 0o664, "key": 0o400, "client_cert_dir": 0o750}
"""Widest mode of each; every further bit is refused."""
SIZE_LIMIT = 1 << 20
INSECURE = "or set transport_config.allow_insecure for a test system"


def certificate_problems(transport: TransportConfig) -> Iterator[Problem]:
    """Yield what is wrong with the certificates; nothing if none are used."""
    if transport.allow_insecure:
        return
    paths = {"ca_cert": transport.ca_cert, "cert": transport.cert, "key": transport.key, "client_cert_dir": transport.client_cert_dir}
    found = [problem for key, path in paths.items() for problem in _file_problems(key, path)]
    yield from found or _tls_problems(transport)


def _problem(key: str, path: str, message: str, remedy: str, code: int) -> Problem:
    return Problem(("transport_config", key), f"{path!a} {message}", remedy, code, {"path": path})


def _file_problems(key: str, path: str) -> Iterator[Problem]:
    is_folder = key == "client_cert_dir"
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        yield _problem(key, path, "does not exist", f"install it there, {INSECURE}", codes.SECURITY_MISSING_CERT_FILE)
        return
    except (OSError, ValueError) as error:
        yield _unreadable(key, path, f"cannot be looked at: {error.strerror if isinstance(error, OSError) else error}")
        return
    if stat.S_ISDIR(found.st_mode) != is_folder or not (is_folder or stat.S_ISREG(found.st_mode)):
        what = "a folder" if is_folder else "a file"
        yield _problem(key, path, f"is not {what}", f"name {what}", codes.SECURITY_INVALID_CERT)
    elif not is_folder and found.st_size > SIZE_LIMIT:
        yield _problem(key, path, f"has {found.st_size} bytes", "name a file in PEM format", codes.SECURITY_INVALID_CERT)
    elif not os.access(path, os.R_OK | (os.X_OK if is_folder else 0), effective_ids=True):
        yield _unreadable(key, path, "cannot be read by this user")
    elif stat.S_IMODE(found.st_mode) & ~MOST_OPEN[key]:
        mode = f"has mode {stat.S_IMODE(found.st_mode):04o}, and {MOST_OPEN[key]:04o} is the widest that is safe"
        yield _problem(key, path, mode, f"run: chmod {MOST_OPEN[key]:04o} {path}", codes.SECURITY_UNREADABLE_CERT_FILE)


def _unreadable(key: str, path: str, message: str) -> Problem:
    remedy = "give it to the account that the server runs as; 'namei -l' shows the folders above it"
    return _problem(key, path, message, remedy, codes.SECURITY_UNREADABLE_CERT_FILE)


def _tls_problems(transport: TransportConfig) -> Iterator[Problem]:
    """Shake hands with ourselves, in memory: OpenSSL finds what is expired, does not match, or comes from elsewhere."""
    here, peer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    peer.check_hostname = False  # DAOS certificates carry roles, not host names.
    try:
        peer.load_verify_locations(transport.ca_cert)
    except OSError as error:
        yield _invalid("ca_cert", transport.ca_cert, _reason(error))
        return
    try:
        # A key with a password would ask for it on the terminal; the server has nobody to ask.
        here.load_cert_chain(transport.cert, transport.key, password=lambda: "")
    except OSError as error:
        yield _invalid("cert", transport.cert, f"{_reason(error)} (with key {transport.key!a})")
        return
    try:
        _shake_hands(here, peer)
    except ssl.SSLError as error:
        yield _invalid("cert", transport.cert, _reason(error))


def _shake_hands(here: ssl.SSLContext, peer: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = peer.wrap_bio(to_client, to_server)
    server = here.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not in PEM format").lower().replace("_", " ")
    return error.strerror or str(error)


def _invalid(key: str, path: str, reason: str) -> Problem:
    remedy = "make it anew with the system's CA; 'openssl x509 -noout -dates -subject -issuer -in' shows what it is"
    return _problem(key, path, f"cannot be used: {reason}", remedy, codes.SECURITY_INVALID_CERT)
