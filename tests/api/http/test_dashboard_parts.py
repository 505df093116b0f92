"""The dashboard's modules that know no page, one by one, in the browser that runs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from selenium.webdriver import Chrome

from gateway.api.http.pages import FOLDER
from tests.api.browser import Page, driver

__all__ = ["driver"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROW = "{route: 'd/f/s', units: 'Cel', labels: null, minimum: null, maximum: null, writable: false}"
STORE = f"""
    const store = new Store();
    store.takeRoutes([{ROW}]);
    store.takeDevices([{{name: 'd', lifecycle: 'CONNECTED'}}]);
    store.isLost = false;
    const value = store.values.get('d/f/s');
    const item = (v, t, seq) => ({{route: 'd/f/s', v, u: 'Cel', t, seq, q: 'good', taints: []}});
    const now = Date.now() / 1000;
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page(driver: Chrome) -> Iterator[Page]:
    """A page of the folder's own: no gateway, no policy, nothing but modules."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(FOLDER))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = Page(driver)
        told.offline(False)
        driver.get(f"http://127.0.0.1:{server.server_port}/mark.svg")
        yield told
        driver.get("about:blank")
        server.shutdown()


def test_where_a_stream_is_cut_does_not_matter(page: Page) -> None:
    told = page.run(
        """
        const { Events } = await import('/stream.js');
        const text = ': tidegate\\n\\nid: 7\\ndata: {"route":"a/b/c","v":1}\\n\\n:\\n\\n'
            + 'data: {"gap":{"from":8,"to":9}}\\n\\nid: 10\\ndata: {"v":"\\u00b0"}\\n\\n';
        const found = new Set();
        for (let cut = 0; cut <= text.length; cut += 1) {
            const events = new Events();
            const items = [...events.take(text.slice(0, cut)), ...events.take(text.slice(cut))];
            found.add(JSON.stringify([items, events.lastId]));
        }
        return [...found].map((each) => JSON.parse(each));
        """
    )
    assert told == [[[{"route": "a/b/c", "v": 1}, {"gap": {"from": 8, "to": 9}}, {"v": "°"}], 10]]


def test_what_comes_late_out_of_the_ledger_joins_the_trend_and_not_the_value(page: Page) -> None:
    told = page.run(
        f"""
        const {{ Store }} = await import('/store.js'); {STORE}
        store.takeItems([item(20, now, 9)]);
        store.takeItems([item(10, now - 300, 5), item(15, now - 200, 6)]);
        return [value.value, value.seq, value.trend.v, store.quality(value)];
        """
    )
    assert told == [20, 9, [10, 15, 20], "good"]


def test_a_trend_is_bounded_and_in_order(page: Page) -> None:
    told = page.run(
        """
        const { Trend } = await import('/store.js');
        const trend = new Trend();
        for (let at = 0; at < 20000; at += 1) trend.add(1000 + ((at * 7919) % 20000) / 10, at);
        return [trend.t.length, trend.t.every((t, at) => at === 0 || t > trend.t[at - 1]), trend.t.at(-1) - trend.t[1]];
        """
    )
    assert told[0] <= 151
    assert told[1] is True
    assert told[2] <= 600


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        ("", "good"),
        ("store.isLost = true;", "stale"),
        ("store.takeDevices([{name: 'd', lifecycle: 'ABSENT'}]);", "stale"),
        ("store.takeValues([{route: 'd/f/s', value: 1, age_s: 9, stale: true, taints: []}]);", "stale"),
        ("store.takeItems([item(null, now + 1, 2)]);", "bad"),
    ],
)
def test_the_quality_of_a_value_is_never_better_than_what_is_known(page: Page, happens: str, expected: str) -> None:
    told = page.run(
        f"""
        const {{ Store }} = await import('/store.js'); {STORE}
        store.takeItems([item(20, now, 1)]);
        {happens}
        return store.quality(value);
        """
    )
    assert told == expected


def test_what_is_missing_is_an_event_and_an_unknown_route_is_none(page: Page) -> None:
    told = page.run(
        f"""
        const {{ Store }} = await import('/store.js'); {STORE}
        const lifecycle = {{...item('ABSENT', now, 4), route: 'd/lifecycle/state@state'}};
        const gap = {{gap: {{from: 2, to: 3, cause: 'slow'}}}};
        store.takeItems([gap, lifecycle, {{...item(1, now, 5), route: 'x/y/z'}}]);
        return store.events.map((event) => [event.kind, event.cause ?? event.state]);
        """
    )
    assert told == [["lifecycle", "ABSENT"], ["gap", "slow"]]


def test_numbers_units_and_ages_are_told_as_people_write_them(page: Page) -> None:
    told = page.run(
        """
        const f = await import('/format.js');
        const values = [7.6000000000000005, true, null, []].map((value) => f.valueText(value));
        const units = ['Cel', '1', '[foo]'].map(f.unitText);
        const ages = [0.3, 59.9, 3700, null].map(f.ageText);
        return [...values, f.valueText(-1.5, 2), f.shortText([{ a: 1 }, { a: 2 }]), ...units, ...ages,
            f.countText(1234567), f.bytesText(2097152)];
        """
    )
    assert told == [
        "7.6", "on", "—", "none", "\u22121.50", "2 entries", "°C", "", "[foo]", "now", "59 s", "1 h 1 min", "never",
        "1\u202f234\u202f567", "2.1 MB",
    ]  # fmt: skip


def test_rates_begin_anew_when_a_counter_does_and_load_is_a_share_of_the_line(page: Page) -> None:
    told = page.run(
        """
        const { Rates, loadOf } = await import('/bus.js');
        const rates = new Rates();
        return [rates.of('n', 100, 0), rates.of('n', 150, 1000), rates.of('n', 3, 2000), rates.of('n', 13, 3000),
            loadOf('uart', 5, 480, 9600), loadOf('can', 1000, 8000, 500000), loadOf('ble', 1, 1, null)];
        """
    )
    assert told == [None, 50, None, 10, 0.5, pytest.approx(0.222), None]
