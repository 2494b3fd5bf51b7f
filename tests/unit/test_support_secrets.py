# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Secrets are hidden in whatever is collected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daos_server.config.model import ServerConfig
from daos_server.support.secrets import LONGEST_NAME, Filter, environment, of_config


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"fabric_auth_key: 0:swordfish\n", b"fabric_auth_key: (hidden)\n"),
        (b'  "fabric_auth_key": "swordfish",\n', b'  "fabric_auth_key": "(hidden)",\n'),
        (b"mount -o username=a,password=swordfish,rw\n", b"mount -o username=a,password=(hidden),rw\n"),
        (b"1234 ? S tool --password swordfish --x\n", b"1234 ? S tool --password (hidden) --x\n"),
        (b"net.ipv4.tcp_fastopen_key = 1-2-3\n", b"net.ipv4.tcp_fastopen_key = (hidden)\n"),
        (b"net.ipv6.conf.eth0.stable_secret = fe80::1\n", b"net.ipv6.conf.eth0.stable_secret = (hidden)\n"),
        (b"- API_TOKEN='swordfish'\n", b"- API_TOKEN='(hidden)'\n"),
        (b"nothing here: value\n", b"nothing here: value\n"),
        (b"key: /etc/daos/certs/server.key\n", b"key: /etc/daos/certs/server.key\n"),
    ],
)
def test_what_a_name_says_is_secret_is_hidden(line: bytes, left: bytes) -> None:
    assert Filter().line(line) == left


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    config = ServerConfig.model_validate(
        {
            "fabric_auth_key": "one",
            "engines": [{"fabric_auth_key": "two-one", "env_vars": ["D_PASSWORD=three", "D_LOG_MASK=four", "X_TOKEN="]}],
            "client_env_vars": ["MY_SECRET=five"],
        }
    )
    known = of_config(config)
    assert known == {"one", "two-one", "three", "five"}
    text = json.dumps({"key": "fabric_auth_key", "value": "two-one", "four": "three five"}).encode()
    left = Filter(known).line(text)
    assert b"four" in left
    assert not any(secret.encode() in left for secret in known)


def test_a_private_key_is_left_out_as_a_whole() -> None:
    lines = [b"a\n", b"-----BEGIN EC PRIVATE KEY-----\n", b"c3dvcmRmaXNo\n", b"-----END EC PRIVATE KEY-----\n", b"b\n"]
    assert list(Filter().lines(lines)) == [b"a\n", b"(hidden)\n", b"b\n"]


@given(st.binary(max_size=300))
def test_any_bytes_pass(line: bytes) -> None:
    Filter(["known"]).line(line + b" token=known")


def test_a_long_line_is_looked_at_in_pieces_of_bounded_length() -> None:
    # Names of any length would take the square of the line's length, which is a way to keep a filter busy for hours.
    line = b"a." * 30_000 + b"password=x"
    assert Filter().line(line) == b"a." * 30_000 + b"password=(hidden)"
    assert LONGEST_NAME <= 64


def test_the_environment_keeps_names_and_harmless_values() -> None:
    variables = {
        "PATH": "/usr/bin",
        "LC_ALL": "C",
        "D_LOG_MASK": "INFO",
        "DAOS_AUTH_TOKEN": "x1",
        "AWS_SECRET": "x2",
        "ODD": "x3",
        "HOME": "/\udcff",
    }
    lines = list(environment(variables))
    assert lines == sorted(lines)
    text = b"".join(lines).decode()
    for kept in (
        "PATH=/usr/bin\n",
        "LC_ALL=C\n",
        "D_LOG_MASK=INFO\n",
        "DAOS_AUTH_TOKEN=(hidden)\n",
        "AWS_SECRET=(hidden)\n",
        "ODD=(hidden)\n",
        "HOME=/\\udcff\n",
    ):
        assert kept in text
