"""Tests run in the order of their file, on each target in turn."""

from __future__ import annotations

import pytest

TESTS = """
    import pytest

    def test_plain(): pass
    def test_rig(uart): pass
    @pytest.mark.parametrize("count", [2, 1])
    def test_counts(count, uart): pass
    class TestInside:
        def test_plain(self): pass
        def test_rig(self, uart): pass
    @pytest.fixture(scope="module", params=["slow", "fast"])
    def speed(request):
        return request.param
    def test_speed_of_rig(speed, uart): pass
    def test_speed(speed): pass
    def test_last(): pass
"""
BOTH = ["--hil-rig=rig.toml", "--hil-all"]
ONE = [
    "test_plain", "test_rig[{0}]", "test_counts[{0}-2]", "test_counts[{0}-1]", "TestInside::test_plain",
    "TestInside::test_rig[{0}]", "test_speed_of_rig[slow-{0}]", "test_speed[slow]", "test_speed_of_rig[fast-{0}]",
    "test_speed[fast]", "test_last",
]  # fmt: skip


def order_of(result):
    return [line.split()[0].partition("::")[2] for line in result.outlines if line.startswith("test_it.py::")]


def on(target, names=ONE):
    return [name.format(target) for name in names]


@pytest.mark.parametrize(("options", "target"), [([], "sim"), (["--hil-rig=rig.toml", "--hil-target=right"], "right")])
def test_with_one_target_the_order_is_that_of_the_file(run, options, target):
    assert order_of(run(TESTS, "-v", *options)) == on(target)


def test_with_more_targets_each_has_its_tests_in_that_order_and_the_first_those_without_a_rig(run):
    with_rig = on("right", [name for name in ONE if "{0}" in name])
    assert order_of(run(TESTS, "-v", *BOTH)) == on("left") + with_rig


def test_a_fixture_of_the_session_that_uses_the_rig_is_made_once_for_each_target(run):
    tests = """
        import pytest
        made = []

        @pytest.fixture(scope="session")
        def board(rig):
            made.append(rig.target)
            return rig.target

        def test_one(board): pass
        def test_between(): pass
        def test_two(board): pass
        def test_three(board): assert made in (["left"], ["left", "right"])
    """
    run(tests, *BOTH).assert_outcomes(passed=7)


def test_an_order_that_another_plugin_chose_counts_on_each_target(run, pytester):
    pytester.makeconftest("""
        def pytest_collection_modifyitems(items):
            items.reverse()
    """)
    tests = """
        def test_one(uart): pass
        def test_plain(): pass
        def test_two(uart): pass
    """
    assert order_of(run(tests, "-v", *BOTH)) == [
        "test_two[left]", "test_plain", "test_one[left]", "test_two[right]", "test_one[right]",
    ]  # fmt: skip
