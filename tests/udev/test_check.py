"""What is wrong with rules that are well written: told all at once, with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.udev.check import check_rules

SHIPPED = Path(__file__).parent.parent.parent / "udev" / "60-tidegate.rules"


def told(text: str, name: str = "60-x.rules") -> list[str]:
    return [f"{each.key}: {each.message}" for each in check_rules(name, text.encode(), {"dialout"}, {"root"}).problems]


@pytest.mark.parametrize(
    ("rule", "key", "message"),
    [
        ('KERNEL="x", MODE="0660"', "KERNEL", "only compared, never assigned; write KERNEL=="),
        ('ATTRS{serial}+="x"', "ATTRS{serial}", "write ATTRS{serial}=="),
        ('KERNEL=="x", GROUP=="dialout"', "GROUP", "only assigned, never compared; write GROUP="),
        ('KERNEL=="x", MODE+="0660"', "MODE", "+= is not for MODE; one of = :="),
        ('KERNEL=="x", ENV{a}-="b"', "ENV{a}", "-= is not for ENV"),
        ('KERNEL=="x", LABEL+="b"', "LABEL", "+= is not for LABEL"),
        ('KERNAL=="x"', "KERNAL", "did you mean 'KERNEL'?"),
        ('kernel=="x"', "kernel", "did you mean 'KERNEL'?"),
        ('SYSFS{serial}=="x"', "SYSFS{serial}", "gone from udev; write ATTRS{...}"),
        ('ENV=="x"', "ENV", "needs a name in braces"),
        ('KERNEL{x}=="x"', "KERNEL{x}", "takes nothing in braces"),
        ('IMPORT{progam}=="x"', "IMPORT{progam}", "one of program, builtin"),
        ('KERNEL=="x", MODE="0888"', "MODE", "no octal mode"),
        ('KERNEL=="x", MODE="rw"', "MODE", "no octal mode"),
        ('KERNEL=="x", GROUP="dialuot"', "GROUP", "did you mean 'dialout'?"),
        ('KERNEL=="x", GROUP="spi"', "GROUP", "sudo groupadd --system spi"),
        ('KERNEL=="x", OWNER="nobody-here"', "OWNER", "no user 'nobody-here'"),
        ('KERNEL=="x", SYMLINK+="/dev/a"', "SYMLINK", "write 'a'"),
        ('KERNEL=="x", SYMLINK+="/tmp/a"', "SYMLINK", "relative to /dev"),
        ('KERNEL=="x", SYMLINK+="../a"', "SYMLINK", "leads out of /dev"),
        ('KERNEL=="x", SYMLINK+="a-%q"', "SYMLINK", "'%q' is no substitution"),
        ('KERNEL=="x", SYMLINK+="a-$kernl"', "SYMLINK", "did you mean 'kernel'?"),
        ('KERNEL=="x", SYMLINK+="a-%s"', "SYMLINK", "needs a name in braces"),
        ('KERNEL=="x", SYMLINK+="a-$env{B"', "SYMLINK", "never closed"),
        ('KERNEL=="x", ENV{DEVPATH}="b"', "ENV{DEVPATH}", "comes from the kernel"),
        ('KERNEL=="x", OPTIONS+="linkpriority=3"', "OPTIONS", "did you mean 'link_priority'?"),
        ('KERNEL=="x", OPTIONS+="link_priority=high"', "OPTIONS", "whole number"),
        ('KERNEL=="x", OPTIONS+="string_escape=all"', "OPTIONS", "one of none, replace"),
        ('KERNEL=="x", RUN{builtin}+="usbid"', "RUN{builtin}", "did you mean 'usb_id'?"),
        ('KERNEL=="x", RUN+=" "', "RUN", "names no program"),
        ('KERNEL=="x", TEST{9}=="a"', "TEST{9}", "no octal mask"),
        ('ATTRS{../serial}=="x"', "ATTRS{../serial}", "looks at all parents"),
        ('ACTION=="add", ACTION=="change", RUN+="/bin/a"', "ACTION", 'ACTION=="add|change"'),
        ('ACTION=="add", ACTION=="add", RUN+="/bin/a"', "ACTION", "twice"),
        ('KERNEL=="x", GOTO="end"', "GOTO", 'no LABEL="end"'),
        ('LABEL="end"\nKERNEL=="x", GOTO="end"', "GOTO", "only jumps forward"),
        ('LABEL="end"', "LABEL", 'no GOTO="end"'),
        ('KERNEL=="x", GOTO="a"\nLABEL="a"\nLABEL="a"', "LABEL", "stands twice"),
        ('MODE="0666"', "MODE", "acts on every device"),
    ],
)
def test_each_mistake_names_its_key_and_the_next_step(rule: str, key: str, message: str):
    assert any(each.startswith(f"{key}: ") and message in each for each in told(rule)), told(rule)


@pytest.mark.parametrize(
    "rule",
    [
        'KERNEL=="ttyUSB[0-9]*", SYMLINK+="a-%n b-$env{X}-%s{serial}", MODE="$env{M}", GROUP="20"',
        'SUBSYSTEM=="tty", PROGRAM="/bin/x %k", RESULT=="a", SYMLINK+="%c{1} %c{2+} 100%% $$"',
        'SUBSYSTEM!="tty", GOTO="end"\nMODE="0660"\nLABEL="end"',
        'KERNEL=="x", ATTR{power/control}="auto", TAG-="systemd", RUN{builtin}="kmod load a"',
        'KERNEL=="sd*", KERNEL=="sda", MODE="0660"',
    ],
)
def test_what_udev_takes_is_not_objected_to(rule: str):
    assert told(rule) == []


def test_a_file_whose_name_udev_does_not_read_is_told():
    assert "rename it: x.rule.rules" in told('KERNEL=="x", MODE="0660"', "x.rule")[0]


def test_a_tag_that_comes_too_late_is_told_with_the_number_to_take():
    assert "a number below 73" in told('KERNEL=="x", TAG+="uaccess"', "99-x.rules")[0]
    assert told('KERNEL=="x", TAG+="uaccess"', "70-x.rules") == []


def test_several_mistakes_in_one_rule_are_all_told():
    assert len(told('KERNEL="x", GROUP=="dialout", MODE="9", SYMLINK+="/dev/a"')) == 4


def test_the_shipped_rules_have_no_mistake():
    assert check_rules(str(SHIPPED), SHIPPED.read_bytes()).problems == []


@pytest.mark.parametrize("path", sorted(Path("/usr/lib/udev/rules.d").glob("*.rules")), ids=lambda path: path.name)
def test_rules_that_a_distribution_ships_have_no_error(path: Path):
    assert [each for each in check_rules(str(path), path.read_bytes()).problems if each.severity == "error"] == []
