"""What is wrong with `[http]`, `[mqtt]` and `[metrics]`: `tidegate run` ends with 2, says where and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.answerer import Gate

SITE = '[device.gps]\nprofile = "nmea-gnss"\nport = "/dev/null"\n\n'
MQTT = '[mqtt]\nhost = "broker"\n'

WRONG = [
    ('[http]\nlisten = "0.0.0.0:8443"', 6, "http.listen", "tls_cert and tls_key"),
    ('[http]\nlisten = "127.999.0.1:8080"', 6, "http.listen", "beyond this machine"),
    ('[http]\ntls_cert = "c"\ntls_key = "k"\nlisten = "0.0.0.0:8443"', 8, "http.listen", "tidegate token issue"),
    ('[http]\nlisten = "127.0.0.1:0"', 6, "http.listen", "write for example"),
    ('[http]\nlisen = "127.0.0.1:80"', 6, "http.lisen", "did you mean 'listen'"),
    ("[http]\nmax_connections = 0", 6, "http.max_connections", "outside"),
    ('[http]\n[metrics]\nlisten = "127.0.0.1:9"', 7, "metrics.listen", "leave this out"),
    ('[metrics]\nlisten = "0.0.0.0:9"', 6, "metrics.listen", "use [http]"),
    ("[metrics]\nvalue = true", 6, "metrics.value", "did you mean 'values'"),
    ("[mqtt]\nport = 1883", 5, "mqtt.host", "missing"),
    ('[mqtt]\nhost = "mqtt://broker:1883"', 6, "mqtt.host", "a name or an address"),
    (MQTT + 'client_id = "a\\u0000b"', 7, "mqtt.client_id", "control characters"),
    (MQTT + 'username = ""', 7, "mqtt.username", "leave it out"),
    (MQTT + 'username = "u"\npassword = "hunter2"', 8, "mqtt.password", "credential = 'name'"),
    (MQTT + 'username = "u"\npassword = { credential = "a", file = "b" }', 8, "mqtt.password", "exactly one"),
    (MQTT + 'username = "u"\npassword = { value = "hunter2" }', 8, "mqtt.password.value", "one of credential, file"),
    (MQTT + 'ca = "ca.pem"', 7, "mqtt.ca", "tls = true"),
    (MQTT + f'base_topic = "{"x" * 300}"', 7, "mqtt.base_topic", "no beginning of a topic"),
    *[(f'[gateway]\nname = "{name}"', 6, "gateway.name", "leave '/', '+', '#' and control characters out")
      for name in ("a/b", "a+b", "#", "a\\u0000b", "a\\u001fb", "", "x" * 300)],
]  # fmt: skip


@pytest.mark.parametrize(("lines", "line", "key", "step"), WRONG, ids=[f"{row[2]} {row[3]}" for row in WRONG])
def test_a_gateway_does_not_start_with_a_north_that_cannot_be(
    tmp_path: Path, gate: Gate, lines: str, line: int, key: str, step: str
) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE + lines + "\n")
    done = gate.run("run", str(site))
    assert done.code == 2
    assert f"{site}:{line}: {key}: " in done.err
    assert step in done.err
    assert "hunter2" not in done.err
    assert "Traceback" not in done.err
