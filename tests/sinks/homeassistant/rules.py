"""What Home Assistant takes, written down as its sources say it, and its templates as it renders them.

Tables: `home_assistant.json` beside this file, read out of Home Assistant 2026.11.0 without running it (it needs Python
3.14). Rules: homeassistant/components/mqtt/schemas.py (DEVICE_DISCOVERY_SCHEMA, check_unique_id), discovery.py
(TOPIC_MATCHER), sensor.py (validate_sensor_state_and_device_class_config), binary_sensor.py, number.py
(validate_config, step), switch.py, select.py, util.py (valid_topic); the integration's page
https://www.home-assistant.io/integrations/mqtt/#discovery-messages says the same in words.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from jinja2.sandbox import ImmutableSandboxedEnvironment

TABLES: Final = json.loads((Path(__file__).parent / "home_assistant.json").read_text())
TOPIC: Final = re.compile(r"homeassistant/(?P<component>\w+)/(?:[a-zA-Z0-9_-]+/)?(?P<object_id>[a-zA-Z0-9_-]+)/config")
_TOP: Final = {"dev", "o", "avty", "avty_mode", "qos", "cmps"}
_DEVICE: Final = {"ids", "name", "mf", "mdl", "sw", "sa"}
_COMMON: Final = {"p", "name", "uniq_id", "ent_cat"}
_KEYS: Final = {
    "sensor": {"stat_t", "val_tpl", "unit_of_meas", "dev_cla", "stat_cla", "ops"},
    "binary_sensor": {"stat_t", "val_tpl", "dev_cla", "pl_on", "pl_off"},
    "number": {"cmd_t", "stat_t", "val_tpl", "unit_of_meas", "dev_cla", "min", "max", "step", "opt"},
    "switch": {"cmd_t", "stat_t", "val_tpl", "dev_cla", "pl_on", "pl_off", "stat_on", "stat_off", "opt"},
    "select": {"cmd_t", "stat_t", "val_tpl", "cmd_tpl", "ops", "opt"},
}
_NEEDED: Final = {
    "sensor": {"stat_t"}, "binary_sensor": {"stat_t"}, "number": {"cmd_t"}, "switch": {"cmd_t"},
    "select": {"cmd_t", "ops"},
}  # fmt: skip
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment()


def rendered(template: str, payload: str | bytes) -> str:
    """Return a state as Home Assistant makes it of a message (models.py: MqttValueTemplate)."""
    text = payload if isinstance(payload, str) else payload.decode()
    return _ENVIRONMENT.from_string(template).render(value=text, value_json=json.loads(text)).strip()


def command(template: str, value: str) -> str:
    """Return a payload as Home Assistant makes it of what a user chose (models.py: MqttCommandTemplate)."""
    return _ENVIRONMENT.from_string(template).render(value=value).strip()


def problems(topic: str, config: dict[str, Any]) -> list[str]:
    """Return what Home Assistant would refuse, or warn of."""
    found = [] if (match := TOPIC.fullmatch(topic)) and match["component"] == "device" else [f"topic {topic}"]
    found += [f"key {key}" for key in config.keys() - _TOP] + [f"dev.{key}" for key in config["dev"].keys() - _DEVICE]
    if not config["dev"]["ids"] or not config["o"]["name"]:
        found.append("no identifier, or no origin")
    found += _topics([each["t"] for each in config["avty"]])
    ids = [component["uniq_id"] for component in config["cmps"].values() if len(component) > 1]
    found += [f"unique_id {one} twice" for one in {one for one in ids if ids.count(one) > 1}]
    for key, component in config["cmps"].items():
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", key):
            found.append(f"component {key!r}")
        if len(component) > 1:
            found += [f"{key}: {problem}" for problem in _component(component)]
    return found


def _component(told: dict[str, Any]) -> list[str]:
    platform = told["p"]
    if platform not in _KEYS:
        return [f"platform {platform}"]
    found = [f"{key} is no key of a {platform}" for key in told.keys() - _KEYS[platform] - _COMMON]
    found += [f"no {key}" for key in ({"uniq_id"} | _NEEDED[platform]) - told.keys()]
    found += [f"{key} is unknown" for key in told if key not in TABLES["abbreviations"]]
    found += _topics([told[key] for key in ("stat_t", "cmd_t") if key in told])
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", told["uniq_id"]):
        found.append(f"unique_id {told['uniq_id']!r}")
    if "ops" in told and (not told["ops"] or len(set(told["ops"])) < len(told["ops"])):
        found.append("options are empty, or one stands twice")
    if "ent_cat" in told and told["ent_cat"] != "diagnostic":
        found.append(f"category {told['ent_cat']}")
    check = {"sensor": _sensor, "binary_sensor": _binary, "number": _number, "switch": _switch, "select": _select}
    return found + check[platform](told)


def _sensor(told: dict[str, Any]) -> list[str]:
    known, unit, state = told.get("dev_cla"), told.get("unit_of_meas"), told.get("stat_cla")
    unit = TABLES["ambiguous_units"].get(unit, unit)
    if "ops" in told:
        return [] if (known, unit, state) == ("enum", None, None) else ["options with class, unit or state class"]
    found = []
    if known is not None and known not in TABLES["sensor_state_classes"]:
        found.append(f"no device class {known}")
    if unit not in TABLES["sensor_units"].get(known, [unit]):
        found.append(f"{known} in {unit}")
    if state is not None and state not in TABLES["sensor_state_classes"].get(known, [state]):
        found.append(f"{known} as {state}")
    if unit not in TABLES["state_class_units"].get(state, [unit]):
        found.append(f"{state} in {unit}")
    return found


def _binary(told: dict[str, Any]) -> list[str]:
    known = told.get("dev_cla")
    found = [] if known is None or known in TABLES["binary_sensor_classes"] else [f"no device class {known}"]
    return found if told["pl_on"] != told["pl_off"] else [*found, "on is off"]


def _number(told: dict[str, Any]) -> list[str]:
    known, unit = told.get("dev_cla"), told.get("unit_of_meas")
    unit = TABLES["ambiguous_units"].get(unit, unit)
    found = [] if told["min"] <= told["max"] and told["step"] >= 0.001 else ["limits or step"]
    return found if unit in TABLES["number_units"].get(known, [unit]) else [*found, f"{known} in {unit}"]


def _switch(told: dict[str, Any]) -> list[str]:
    known = told.get("dev_cla")
    found = [] if known is None or known in TABLES["switch_classes"] else [f"no device class {known}"]
    on, off = told.get("stat_on", told["pl_on"]), told.get("stat_off", told["pl_off"])
    return found if on != off and told["pl_on"] != told["pl_off"] and "None" not in {on, off} else [*found, "on is off"]


def _select(told: dict[str, Any]) -> list[str]:
    return ["an option that means none" for option in told["ops"] if option.lower() == "none" or not option.strip()]


def _topics(topics: list[str]) -> list[str]:
    bad = re.compile(r"[+#\x00-\x1f\x7f-\x9f]")
    return [f"topic {topic!r}" for topic in topics if not 0 < len(topic.encode()) <= 65535 or bad.search(topic)]
