"""The key that signs tokens: for its owner alone, whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.authority.keyfile import KEY_NAME, load_key, load_or_make_key, rotate_key
from gateway.authority.token import SigningKey
from gateway.errors import UsageError


def test_a_folder_has_no_key_until_one_is_used(tmp_path: Path) -> None:
    assert load_key(tmp_path) is None


def test_the_key_made_at_first_use_is_the_key_from_then_on(tmp_path: Path) -> None:
    made = load_or_make_key(tmp_path)
    assert load_or_make_key(tmp_path).public.id == made.public.id


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277])
def test_a_key_is_its_owner_s_alone_under_any_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        load_or_make_key(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / KEY_NAME).stat().st_mode) == 0o600


def test_rotating_gives_another_key_which_stays(tmp_path: Path) -> None:
    old, new = load_or_make_key(tmp_path), rotate_key(tmp_path)
    loaded = load_key(tmp_path)
    assert loaded is not None
    assert loaded.public.id == new.public.id != old.public.id


def test_nothing_but_the_key_is_left_behind(tmp_path: Path) -> None:
    rotate_key(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [KEY_NAME]


def test_what_a_crash_left_of_a_new_key_is_in_nobody_s_way(tmp_path: Path) -> None:
    (tmp_path / f"{KEY_NAME}.new").write_bytes(b"-----BEGIN PRIV")
    made = load_or_make_key(tmp_path)
    loaded = load_key(tmp_path)
    assert loaded is not None
    assert loaded.public.id == made.public.id


def test_a_rotation_that_fails_leaves_the_old_key(tmp_path: Path) -> None:
    old = load_or_make_key(tmp_path)
    (tmp_path / f"{KEY_NAME}.new").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        rotate_key(tmp_path)
    loaded = load_key(tmp_path)
    assert loaded is not None
    assert loaded.public.id == old.public.id


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o610])
def test_a_key_that_others_could_read_or_change_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    load_or_make_key(tmp_path)
    (tmp_path / KEY_NAME).chmod(mode)
    with pytest.raises(UsageError, match=f"mode {mode:04o}.*chmod 600"):
        load_key(tmp_path)


def test_a_link_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    load_or_make_key(tmp_path / "elsewhere")
    (tmp_path / KEY_NAME).symlink_to(tmp_path / "elsewhere" / KEY_NAME)
    with pytest.raises(UsageError, match="cannot be read"):
        load_key(tmp_path)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KEY_NAME, 0o600)
    with pytest.raises(UsageError, match="is no file"):
        load_key(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a key", b"x" * 10_000])
def test_a_broken_key_is_told_by_name_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=KEY_NAME) as caught:
        load_or_make_key(tmp_path)
    assert "not a key" not in str(caught.value)


def test_a_broken_key_is_not_replaced_by_itself(tmp_path: Path) -> None:
    path = tmp_path / KEY_NAME
    path.write_bytes(b"not a key")
    path.chmod(0o600)
    with pytest.raises(UsageError):
        load_or_make_key(tmp_path)
    assert path.read_bytes() == b"not a key"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        load_or_make_key(tmp_path / "none")


def test_the_file_is_what_other_tools_read(tmp_path: Path) -> None:
    made = load_or_make_key(tmp_path)
    assert SigningKey.from_pem((tmp_path / KEY_NAME).read_bytes()).public.id == made.public.id
    assert (tmp_path / KEY_NAME).read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
