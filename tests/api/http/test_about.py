from __future__ import annotations

import asyncio
import http.client
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.api.settings import HttpConfig, MetricsConfig
from tests.api.kit import HttpBench, Told, free_port, served
from tests.test_app import gateway_on, until


def test_what_is_counted_is_read_by_prometheus(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        told.append(await bench.get("/metrics"))

    served(tmp_path, play, metrics=MetricsConfig(values=True))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(told[0].body.decode())
        for sample in family.samples
    }
    assert samples["tidegate_device_frames_total", "node", "in"] > 0
    assert samples["tidegate_device_lifecycle", "node", "CONNECTED"] == 1
    assert samples["tidegate_device_lifecycle", "node", "FAILED"] == 0
    assert samples["tidegate_device_frames_pending", "node"] >= 0
    assert samples["tidegate_value", "node/node/valve_position", "%"] >= 0
    assert told[0].headers["content-type"].startswith("text/plain; version=0.0.4")


def test_the_description_names_every_operation_and_resolves(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: HttpBench) -> None:
        told.update((await bench.get("/openapi.json")).json)
        page = await bench.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert b"/v1/watch" in page.body
        assert not re.search(rb"(src|href)=\"https?:", page.body)

    served(tmp_path, play)
    assert {"/v1/routes", "/v1/devices/{device}/shadow", "/v1/watch", "/readyz"} <= set(told["paths"])
    schemas = told["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/(\w+)", str(told)))
    assert references <= set(schemas)
    assert schemas["SetBody"]["additionalProperties"] is False


def test_health_and_readiness_need_no_token_and_the_host_says_what_it_is(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        assert (await bench.get("/healthz")).json == {"status": "alive"}
        assert (await bench.get("/readyz")).json == {"status": "ready"}
        host = (await bench.get("/v1/host")).json
        assert host["processors"] >= 1
        assert host["disk"]["free"] > 0

    served(tmp_path, play)


def test_a_gateway_without_the_door_loads_nothing_of_it(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom gateway.app import Gateway\nfrom gateway.config import DeviceConfig, SiteConfig\n"
        "from pathlib import Path\n"
        "site = SiteConfig(devices={'gps': DeviceConfig(profile='nmea-gnss', port='/dev/null')})\n"
        f"Gateway(site, Path({str(tmp_path)!r}))\n"
        "print([name for name in ('starlette', 'uvicorn', 'h11', 'websockets', 'prometheus_client') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_an_address_that_another_has_costs_the_door_and_not_the_gateway(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway = gateway_on(tmp_path, [], http=HttpConfig(listen=listen))

        async def living() -> None:
            stop = asyncio.Event()
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await until(lambda: gateway.status()["http"]["error"] is not None)
                stop.set()

        asyncio.run(living())


def test_metrics_alone_have_a_door_with_nothing_else_behind_it(tmp_path: Path) -> None:
    port = free_port()
    gateway = gateway_on(tmp_path, [], metrics=MetricsConfig(listen=f"127.0.0.1:{port}"))

    def status(path: str) -> int:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        link.request("GET", path)
        return link.getresponse().status

    async def living() -> list[int]:
        stop = asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            await until(lambda: gateway.status()["http"]["is_open"])
            told = [
                await asyncio.to_thread(status, path)
                for path in ("/metrics", "/healthz", "/v1/values", "/v1/watch", "/")
            ]
            stop.set()
        return told

    assert asyncio.run(living()) == [200, 200, 404, 404, 404]
