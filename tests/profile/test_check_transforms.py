"""What `profile check` says of a transform when it knows which ones are installed."""

from __future__ import annotations

import pytest

from gateway.profile.load import check_profile
from gateway.schema.transforms import BUILT_IN

TEXT = """[profile]
id = "test/thermistor@1.0.0"
[params]
beta = {{ type = "u16", default = 3950 }}
[link]
bus = "spi"
[message.reading]
ask = {{ register = 1, length = 2 }}
fields = [{{ name = "_adc", type = "u16be" }}]
transform = {{ use = "{use}", constants = {{ {constants} }}, gives = [{{ name = "{gives}", units = "Cel" }}] }}
"""


@pytest.fixture
def problems(tmp_path):
    def check(use="thermistor-beta", gives="temperature", constants='beta = "{beta}", r0 = 10_000'):
        path = tmp_path / "profile.toml"
        path.write_text(TEXT.format(use=use, gives=gives, constants=constants))
        return [(each.severity, each.key, each.message) for each in check_profile(path, BUILT_IN)]

    return check


def test_a_transform_with_its_constants_is_fine(problems):
    assert problems() == []


def test_a_name_that_the_transform_never_gives_is_refused_with_the_nearest(problems):
    ((severity, key, message),) = problems(gives="temperatur")
    assert (severity, key) == ("error", "message.reading.transform.gives[0].name")
    assert "'temperature'" in message


def test_a_transform_that_nobody_installed_is_a_warning(problems):
    ((severity, key, message),) = problems(use="thermistor-bet", gives="anything")
    assert (severity, key) == ("warning", "message.reading.transform.use")
    assert "thermistor-beta" in message


@pytest.mark.parametrize("constant", ['"much"', '"1/0"', '""'])
def test_a_constant_that_is_no_number_is_refused(problems, constant):
    ((severity, key, _),) = problems(constants=f"beta = {constant}")
    assert (severity, key) == ("error", "message.reading.transform.constants.beta")
