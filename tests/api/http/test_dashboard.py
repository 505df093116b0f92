"""The dashboard in real, headless Chromium, with a real gateway and simulated devices."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from axe_core_python import selenium as axe
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.api.browser import Page, driver, looked_at
from tests.integration.test_commands import ME

__all__ = ["driver"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # machines are busy

NODE = '[data-route^="node/"]'
TEMPERATURE = '[data-route="node/node/temperature"]'
VALVE = 'form[data-setpoint="node/node/valve"]'
LOST_S = 5.0  # values are stale so long after the gateway was lost


def test_values_arrive_with_units_age_and_quality_and_go_on_arriving(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f"{TEMPERATURE}[data-q=good]")
        told = page.do(page.bench.get("/v1/routes")).json["routes"]
        assert len(page.all("[data-route]")) == len(told)
        assert page.text(f"{TEMPERATURE} .unit") == "°C"
        assert page.text(f"{TEMPERATURE} .age") == "now"
        first = page.text('[data-route="node/node/counter"] .value')
        page.until(lambda: page.text('[data-route="node/node/counter"] .value') != first, "another count")
        now = page.do(page.bench.get("/v1/values/node/node/supply_voltage")).json["value"]
        assert float(page.text('[data-route="node/node/supply_voltage"] .value')) == pytest.approx(now, abs=2)
        page.driver.execute_script("arguments[0].scrollIntoView()", page.one(TEMPERATURE))
        page.has(f"{TEMPERATURE} .spark-line[d^=M]")
        page.says('[data-route="tag/climate/temperature"] .marks', "order.replayed")

    looked_at(tmp_path, driver, act)


def test_devices_show_how_they_stand_and_what_is_counted(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        for name in ("node", "gps", "pump", "tag"):
            page.has(f'[data-device="{name}"][data-lifecycle=CONNECTED]')
        page.says('[data-device="node"]', "Radiator valve")
        page.says('[data-port*="cobs-node"]', "115.2 kbit/s")
        page.until(lambda: re.search(r"[\d.]+ frames/s", page.text('[data-port*="cobs-node"]')), "a rate")
        page.until(lambda: int(page.one('[data-mailbox="node"]').text.split()[1]) > 0, "a count")
        page.says("#events", "node connected")
        page.says("#ledger-mode", "recording")

    looked_at(tmp_path, driver, act)


def test_a_write_goes_round_and_its_outcome_leads_to_who_asked(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.sign_in()
        page.has("#signed-in:not([hidden])")
        _set(page, "37.5")
        page.has(f'{VALVE} [data-outcome="reported"]')
        assert page.text(f"{VALVE} [data-outcome]").startswith("reported")
        page.until(lambda: page.text(f"{VALVE} dl").split()[1::2] == ["37.5"] * 3, "desired, reported, effective")
        page.says(f"{VALVE} .coherence", "STABLE")
        page.click(f"{VALVE} [data-action=why]")
        page.says("[data-why]", "a command was accepted")
        page.says("[data-why]", ME.principal or "")
        page.says("#events", "node/node/valve reported")

    bench = looked_at(tmp_path, driver, act)
    (intent,) = bench.records("command_intent")
    assert intent.body["value"] == 37.5


def test_a_write_that_is_refused_says_why(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f"{VALVE} input[type=number]")
        _set(page, "12")
        page.has(f'{VALVE} [data-outcome="unauthorized"]')
        page.says("#login-says", "token")
        page.sign_in()
        page.has("#signed-in:not([hidden])")
        _set(page, "1000000")
        page.has(f'{VALVE} [data-outcome="range"]')
        page.says(f"{VALVE} [data-outcome]", "100")
        page.call(page.bench.order, "node behave refuses")
        _set(page, "13")
        page.has(f'{VALVE} [data-outcome="rejected"]')

    bench = looked_at(tmp_path, driver, act)
    assert [record.body["value"] for record in bench.records("command_intent")] == [13]


def test_a_device_that_is_pulled_turns_stale_and_comes_back(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.call(page.bench.rig.node_cable.unplug)
        page.until(lambda: not page.all(f"{NODE}:not([data-q=stale])"), "all of it stale")
        page.has('[data-device="node"]:not([data-lifecycle=CONNECTED])')
        assert page.all('[data-route^="pump/"][data-q=good]')
        page.says(f"{TEMPERATURE} .marks", "stale")
        page.call(page.bench.rig.node_cable.plug, elsewhere=True)
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.has('[data-device="node"][data-lifecycle=CONNECTED]')
        page.until(lambda: page.text("#events").count("node connected") == 2, "the event")

    looked_at(tmp_path, driver, act)


def test_without_a_gateway_everything_is_stale_in_time_and_nothing_of_it_is_missed(
    tmp_path: Path, driver: Chrome
) -> None:
    def act(page: Page) -> None:
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.offline(True)
        began_s = time.monotonic()
        page.until(lambda: not page.all("[data-route]:not([data-q=stale])"), "all stale")
        assert time.monotonic() - began_s < LOST_S
        page.says("#lost", "No contact")
        page.do(page.bench.set("node/node/valve", 44))
        page.offline(False)
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.says("#events", "node/node/valve reported")
        assert not page.one("#lost").is_displayed()

    looked_at(tmp_path, driver, act)


def test_a_gateway_that_hangs_is_noticed_too(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.loop.call_soon_threadsafe(time.sleep, LOST_S + 4)
        began_s = time.monotonic()
        page.until(lambda: not page.all("[data-route]:not([data-q=stale])"), "all stale")
        assert time.monotonic() - began_s < LOST_S + 0.5  # of looking
        page.has(f"{TEMPERATURE}[data-q=good]")

    looked_at(tmp_path, driver, act)


def test_the_ledger_is_verified_at_the_press_of_a_button(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.click("[data-action=verify]")
        page.has("[data-verdict=intact]")
        page.says("[data-verdict]", "records")

    looked_at(tmp_path, driver, act)


def test_a_value_is_walked_back_to_its_bytes(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f'{TEMPERATURE} [data-action=why][data-of*="#"]')
        page.click(f"{TEMPERATURE} [data-action=why]")
        page.has("[data-why] .byte.lit")
        of = page.one("[data-why]").get_attribute("data-why") or ""
        told = page.do(page.bench.get(f"/v1/ledger/why?of={of.replace('#', '%23')}")).json["chain"][0]
        (field,) = told["fields"]
        assert page.text("[data-why] .bytes").split() == told["payload"].split()
        assert [each.text for each in page.all("[data-why] .byte.lit")] == field["hex"].split()
        page.says("[data-why]", f"{field['type']} {field['raw']}")

    looked_at(tmp_path, driver, act)


def test_the_history_of_a_value_is_plotted_and_its_figures_told(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.click(f"{TEMPERATURE} button.name")
        page.has("#plot canvas")
        page.until(lambda: re.match(r"\d+ recorded · [\d.]+ to [\d.]+ °C", page.text("#readout")), "its figures")
        page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        page.until(lambda: not page.one("#inspector").is_displayed(), "closed")

    looked_at(tmp_path, driver, act)


def test_a_token_stays_in_the_tab_and_a_wrong_one_is_refused(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.sign_in("tg1.wrong.token")
        page.until(lambda: page.text("#login-says"), "a refusal")
        assert page.one("form[data-login]").is_displayed()
        page.one("form[data-login] [name=token]").clear()
        page.sign_in()
        page.has("#signed-in:not([hidden])")
        kept = "return [document.cookie, localStorage.length, location.href, Object.values(sessionStorage).join()]"
        assert page.driver.execute_script(kept) == ["", 0, f"{page.base}/", page.token]
        page.driver.refresh()
        page.has("#signed-in:not([hidden])")
        assert not [url for url in page.requests() if page.token in url]
        page.click("#leave")
        page.has("form[data-login]:not([hidden])")
        assert page.driver.execute_script("return sessionStorage.length") == 0

    looked_at(tmp_path, driver, act)


def test_beyond_loopback_nothing_is_told_and_nothing_is_asked_again_until_somebody_signs_in(
    tmp_path: Path, driver: Chrome
) -> None:
    def act(page: Page) -> None:
        door = page.bench.gateway.http
        assert door is not None
        door.app._is_loopback = False
        page.driver.refresh()
        page.says("#link", "token needed")
        told = page.says("#login-says", "token")
        time.sleep(3)  # it would have asked again
        assert door.app.answered[401] <= 2
        page.sign_in(page.do(page.bench.token("pump/**")))  # which may not look at everything
        page.until(lambda: page.text("#login-says") not in {"", "asking", told}, "a refusal")
        page.driver.refresh()
        page.sign_in()
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.says("#link", "live")

    looked_at(tmp_path, driver, act)


def test_no_request_leaves_the_machine_and_the_browser_has_nothing_to_complain_of(
    tmp_path: Path, driver: Chrome
) -> None:
    asked: list[str] = []
    complaints: list[str] = []

    def act(page: Page) -> None:
        page.click(f"{TEMPERATURE} button.name")
        page.has("#plot canvas")
        page.has('[data-device="node"][data-lifecycle=CONNECTED]')
        asked.extend(page.requests())
        complaints.extend(page.complaints())

    bench = looked_at(tmp_path, driver, act)
    assert len(asked) > 20
    assert [url for url in asked if not url.startswith(f"http://127.0.0.1:{bench.port}/")] == []
    assert complaints == []


def test_what_looks_like_html_is_shown_as_it_is(tmp_path: Path, driver: Chrome) -> None:
    label = "<img src=x onerror=alert(1)><b>Valve</b>"

    def act(page: Page) -> None:
        for keeper in page.bench.gateway._keepers:
            for device in keeper.devices:
                device.label = label
        page.says('[data-device="node"] .label', label)
        page.says('[data-group="node"] h3', label)
        assert page.all("#devices img, #groups img, #devices b") == []

    looked_at(tmp_path, driver, act)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_everything_has_a_name_and_enough_contrast(tmp_path: Path, driver: Chrome, width: int, scheme: str) -> None:
    found: list[str] = []

    def act(page: Page) -> None:
        page.look_like(width=width, height=900, scheme=scheme)
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.sign_in()
        page.has("#signed-in:not([hidden])")
        page.click("[data-action=verify]")
        page.has("[data-verdict=intact]")
        _set(page, "1000000")
        page.has(f"{VALVE} [data-outcome=range]")
        page.one("#filter").send_keys("temperature")  # some of every kind: all of them take axe a minute
        page.click(f"{TEMPERATURE} [data-action=why]")
        page.has("[data-why] .byte.lit")
        found.extend(_violations(page))
        page.offline(True)
        page.has("#lost:not([hidden])")
        found.extend(_violations(page))
        wide = page.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0

    looked_at(tmp_path, driver, act)
    assert found == []


def test_everything_is_reached_with_the_keyboard(tmp_path: Path, driver: Chrome) -> None:
    def act(page: Page) -> None:
        page.has(f"{TEMPERATURE}[data-q=good]")
        page.one("body").send_keys("/")
        page.driver.switch_to.active_element.send_keys("node temperature")
        page.until(lambda: page.text("#found").startswith("1 of"), "one that matches")
        page.driver.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
        seen = []
        for _ in range(12):
            active = page.driver.switch_to.active_element
            seen.append(active.get_attribute("data-of") or active.get_attribute("title"))
            if active.get_attribute("data-action") == "why":
                active.send_keys(Keys.ENTER)
                break
            active.send_keys(Keys.TAB)
        assert "node/node/temperature" in seen
        page.has("[data-why] .byte.lit")
        assert page.driver.switch_to.active_element.get_attribute("id") == "why-title"

    looked_at(tmp_path, driver, act)


def _set(page: Page, text: str) -> None:
    field = page.one(f"{VALVE} input[type=number]")
    field.clear()
    field.send_keys(text, Keys.ENTER)


def _violations(page: Page) -> list[str]:
    page.driver.execute_script(Path(axe.__file__).with_name("axe.min.js").read_text())
    told = page.run("return axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in told["violations"]
        for node in each["nodes"]
    ]
