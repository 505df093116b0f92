"""A real mosquitto behind TLS: the gateway speaks to its own, and to none that only looks like it."""

from __future__ import annotations

import datetime as dt
import getpass
from pathlib import Path

import pytest
import trustme

from gateway.config import SecretConfig
from tests.integration.test_ports import FarEnd
from tests.sinks.mqtt.kit import Broker, all_told, during, free_port, gateway_at, needs_broker, sink, until

pytestmark = needs_broker

PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Office:
    """A certificate authority with its files in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.authority = trustme.CA()
        self.folder = folder / name
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *, not_after: dt.datetime | None = None) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        made = self.authority.issue_cert(name, common_name=name, not_after=not_after)
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        cert.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return cert, key


def behind_tls(folder: Path, office: Office, cert: Path, key: Path, *lines: str) -> Broker:
    port = free_port()
    broker = Broker(
        folder,
        f"listener {port} 127.0.0.1",
        f"cafile {office.ca}",
        f"certfile {cert}",
        f"keyfile {key}",
        *lines,
        f"user {getpass.getuser()}",  # it would give up the right to read them
    )
    broker.port = port
    return broker


@pytest.mark.parametrize("with_certificate", [False, True])
def test_the_broker_proves_itself_and_where_it_asks_so_does_the_gateway(
    tmp_path: Path, far: FarEnd, with_certificate: bool
) -> None:
    office, clients = Office(tmp_path, "office"), Office(tmp_path, "clients")
    cert, key = office.issue("127.0.0.1")
    mine = clients.issue("gateway.example")
    with office.ca.open("a") as trusted:
        trusted.write(clients.ca.read_text())
    asks = (
        ("require_certificate true", "use_identity_as_username true") if with_certificate else ("allow_anonymous true",)
    )
    proof = {"cert": str(mine[0]), "key": str(mine[1])} if with_certificate else {}
    with behind_tls(tmp_path, office, cert, key, *asks) as broker:
        gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), tls=True, ca=str(office.ca), **proof)
        during(gateway, lambda: until(lambda: all_told(gateway)))


@pytest.mark.parametrize(
    ("name", "ends", "knows_it", "why"),
    [
        ("127.0.0.1", None, False, "certificate verify failed"),
        ("elsewhere.example", None, True, "not valid for '127.0.0.1'"),
        ("127.0.0.1", PAST, True, "expired"),
    ],
    ids=["signed by a stranger", "for another name", "expired"],
)
def test_a_broker_that_only_looks_like_ours_is_told_nothing(
    tmp_path: Path,
    far: FarEnd,
    name: str,
    ends: dt.datetime | None,
    knows_it: bool,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = Office(tmp_path, "office")
    cert, key = office.issue(name, not_after=ends)
    ca = office.ca if knows_it else Office(tmp_path, "other").ca
    with behind_tls(tmp_path, office, cert, key, "allow_anonymous true") as broker:
        gateway = gateway_at(
            tmp_path, broker.port, str(tmp_path / "tty"), tls=True, ca=str(ca),
            username="gw", password=SecretConfig(file=str(secret(tmp_path))),
        )  # fmt: skip
        during(gateway, lambda: until(lambda: why in caplog.text))
        assert sink(gateway)["reconnects"] == 0
        assert "s3cret" not in caplog.text


def test_a_gateway_without_the_certificate_that_is_asked_for_is_not_let_in(tmp_path: Path, far: FarEnd) -> None:
    office = Office(tmp_path, "office")
    cert, key = office.issue("127.0.0.1")
    with behind_tls(tmp_path, office, cert, key, "require_certificate true") as broker:
        gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), tls=True, ca=str(office.ca))
        during(gateway, lambda: until(lambda: sink(gateway)["state"] == "disconnected"))


def test_a_broker_without_tls_is_not_spoken_to_in_the_clear(
    tmp_path: Path, far: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path) as broker:
        gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), tls=True)
        during(gateway, lambda: until(lambda: sink(gateway)["state"] == "disconnected"))
        assert f"127.0.0.1:{broker.port}" in caplog.text


@pytest.mark.parametrize("missing", ["ca", "cert", "password"])
def test_a_file_that_is_not_there_is_named_and_the_gateway_runs(
    tmp_path: Path, far: FarEnd, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"ca": {"ca": "gone.pem"}, "cert": {"cert": "gone.pem"}, "password": {}}[missing]
    password = SecretConfig(file="gone.pem") if missing == "password" else SecretConfig(file=str(secret(tmp_path)))
    gateway = gateway_at(
        tmp_path, free_port(), str(tmp_path / "tty"), tls=True, username="gw", password=password, **told
    )
    during(gateway, lambda: until(lambda: "gone.pem" in caplog.text))


def secret(folder: Path) -> Path:
    path = folder / "password"
    path.write_text("s3cret\n")
    return path
