from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from gateway.errors import GatewayUnreachableError, UsageError
from gateway.runtime.doorway import Doorway, connect


def meets(folder: Path, doorway: Doorway) -> bool:
    with connect(folder) as visitor:
        doorway.socket.setblocking(True)
        host, _ = doorway.socket.accept()
        with host:
            visitor.sendall(b"x")
            return host.recv(1) == b"x"


def test_a_visitor_reaches_the_gateway_of_its_folder(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path / "new" / "data")
    assert meets(tmp_path / "new" / "data", doorway)
    doorway.close()


def test_a_folder_whose_path_is_longer_than_a_socket_address_works_too(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["long" * 25] * 5)
    doorway = Doorway(folder)
    assert len(str(folder)) > 500
    assert meets(folder, doorway)
    doorway.close()


def test_only_the_owner_may_enter(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path / "data")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "gateway.sock").stat().st_mode) == 0o600
    doorway.close()


def test_a_second_gateway_in_the_same_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    with pytest.raises(UsageError, match="another gateway runs in"):
        Doorway(tmp_path)
    assert meets(tmp_path, doorway)
    doorway.close()


def test_the_socket_file_of_a_killed_gateway_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "gateway.sock"))
    left.close()
    doorway = Doorway(tmp_path)
    assert meets(tmp_path, doorway)
    doorway.close()


def test_closing_removes_the_socket_file_and_frees_the_folder(tmp_path: Path) -> None:
    Doorway(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
    Doorway(tmp_path).close()


@pytest.mark.parametrize("left", [False, True])
def test_where_no_gateway_answers_the_next_step_is_told(tmp_path: Path, left: bool) -> None:
    if left:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(tmp_path / "gateway.sock"))
        sock.close()
    with pytest.raises(GatewayUnreachableError, match="tidegate run"):
        connect(tmp_path)
    with pytest.raises(GatewayUnreachableError, match="no gateway answers"):
        connect(tmp_path / "missing")


def test_a_data_folder_that_cannot_be_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="data folder"):
        Doorway(tmp_path / "file" / "data")
