from __future__ import annotations

import pytest

from drivers._ble_faults import Fault, fault_of, words_of

bleak_exc = pytest.importorskip("bleak.exc")


def dbus(name: str, text: str = "") -> Exception:
    return bleak_exc.BleakDBusError(name, [text] if text else [])


FAULTS = [
    (dbus("org.bluez.Error.Failed", "le-connection-abort-by-local"), Fault.RETRY_NOW),
    (dbus("org.bluez.Error.Failed", "le-connection-abort-by-remote"), Fault.RETRY_NOW),
    (dbus("org.bluez.Error.Failed", "Software caused connection abort"), Fault.RETRY_NOW),
    (dbus("org.bluez.Error.ConnectionAttemptFailed", "Page Timeout"), Fault.RETRY_LATER),
    (bleak_exc.BleakError("failed to discover services, device disconnected"), Fault.RETRY_NOW),
    (dbus("org.bluez.Error.InProgress", "Operation already in progress"), Fault.RETRY_LATER),
    (dbus("org.bluez.Error.Failed", "Operation already in progress"), Fault.RETRY_LATER),
    (dbus("org.bluez.Error.Failed"), Fault.RETRY_LATER),
    (dbus("org.bluez.Error.Failed", "le-connection-concurrent-connection-limit"), Fault.RETRY_LATER),
    (dbus("org.bluez.Error.NotAvailable", "br-connection-profile-unavailable"), Fault.RETRY_LATER),
    (TimeoutError(), Fault.RETRY_LATER),
    (dbus("org.bluez.Error.NotReady", "Resource Not Ready"), Fault.NOT_THERE),
    (dbus("org.bluez.Error.Failed", "le-connection-adapter-not-powered"), Fault.NOT_THERE),
    (dbus("org.bluez.Error.Failed", "Not connected"), Fault.NOT_THERE),
    (dbus("org.freedesktop.DBus.Error.UnknownObject", "Method Connect doesn't exist"), Fault.NOT_THERE),
    (dbus("org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected"), Fault.NOT_THERE),
    (dbus("org.freedesktop.DBus.Error.ServiceUnknown", "org.bluez was not provided"), Fault.NOT_THERE),
    (dbus("org.freedesktop.DBus.Error.Spawn.ChildExited", "Launch helper exited"), Fault.NOT_THERE),
    (bleak_exc.BleakDeviceNotFoundError("AA:BB:CC:DD:EE:FF", "gone"), Fault.NOT_THERE),
    (bleak_exc.BleakError("adapter 'hci7' not found"), Fault.NOT_THERE),
    (EOFError(), Fault.NOT_THERE),
    (FileNotFoundError(2, "No such file or directory"), Fault.NOT_THERE),
    (dbus("org.bluez.Error.AuthenticationFailed"), Fault.REFUSED),
    (dbus("org.bluez.Error.NotPermitted", "Not paired"), Fault.REFUSED),
    (dbus("org.bluez.Error.Failed", "Operation failed with ATT error: 0x80"), Fault.REFUSED),
    (bleak_exc.BleakGATTProtocolError(2), Fault.REFUSED),
    (dbus("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"), Fault.DENIED),
    (PermissionError(13, "Permission denied"), Fault.DENIED),
    (bleak_exc.BleakError("Bleak requires BlueZ >= 5.55."), Fault.FATAL),
    (dbus("org.example.Surprise"), Fault.FATAL),
]


@pytest.mark.parametrize(("error", "fault"), FAULTS, ids=[f"{words_of(error)[:50]}" for error, _ in FAULTS])
def test_every_known_error_says_whether_to_try_again(error, fault):
    assert fault_of(error) is fault


def test_an_error_is_told_in_one_line_without_its_prefix():
    error = dbus("org.bluez.Error.Failed", "le-connection-abort-by-local")
    assert words_of(error) == "Failed: le-connection-abort-by-local"


def test_an_error_without_words_is_told_by_its_name():
    assert words_of(TimeoutError()) == "TimeoutError"
