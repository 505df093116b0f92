"""An sshd of a test's own, on a free port, with keys made for it, that lets in whoever runs the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from getpass import getuser
from pathlib import Path

from tests.waiting import until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd(8): as root it does not start without


def is_installed():
    return SSHD is not None and shutil.which("ssh") is not None


class Sshd:
    """An sshd for this user alone. `address` is its `user@127.0.0.1:port`."""

    def __init__(self, folder):
        self.folder = folder
        self.tidegate = folder / "commands" / "tidegate"  # what its sessions find under this name
        self.binaries = folder / "bin"  # to be first on the PATH of who calls it
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self._write_program(self.tidegate, f'exec "{sys.executable}" -m gateway "$@"')
        self._write_config()
        self._write_client()
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._process = None
        self.start()

    @property
    def address(self):
        return f"{getuser()}@127.0.0.1:{self.port}"

    def start(self):
        words = [SSHD, "-D", "-e", "-f", self.folder / "sshd_config"]
        with (self.folder / "sshd.log").open("a") as log:
            self._process = subprocess.Popen(words, stderr=log, start_new_session=True)
        until(self._answers)

    def stop(self):
        """Take the way away with all that runs on it: sessions are children in sessions of their own."""
        for pid, _ in [(self._process.pid, ""), *_descendants(self._process.pid)]:
            subprocess.run(["kill", "-KILL", str(pid)], check=False, capture_output=True)
        self._process.wait()

    def sessions(self):
        """Return its processes that speak with clients."""
        return [pid for pid, name in _descendants(self._process.pid) if name == "sshd"]

    def log(self):
        return (self.folder / "sshd.log").read_text()

    def _answers(self):
        assert self._process.poll() is None, self.log()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _write_config(self):
        lines = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "authorized",
            "PidFile": "none",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",  # the folder hangs under /tmp
            "UsePAM": "no",
            "SetEnv": f"PATH={self.tidegate.parent}:/usr/bin:/bin",
        }
        (self.folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in lines.items()))

    def _write_client(self):
        """What a user has in ~/.ssh: ssh itself looks for that in the password file, not in HOME."""
        host_key = (self.folder / "host.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        options = (
            f"IdentityFile {self.folder / 'user'}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.folder / 'known_hosts'}\nStrictHostKeyChecking yes\n"
        )
        (self.folder / "ssh_config").write_text(options)
        command = f'exec {shutil.which("ssh")} -F {self.folder / "ssh_config"} "$@"'
        self._write_program(self.binaries / "ssh", command)

    def _write_program(self, path, command):
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)


def _descendants(pid):
    """Return the number and name of each process that is under one."""
    words = ["ps", "-e", "-o", "pid=,ppid=,comm="]
    children = {}
    for line in subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines():
        child, parent, name = line.split(None, 2)
        children.setdefault(int(parent), []).append((int(child), name))
    found, unseen = [], [pid]
    while unseen:
        more = children.get(unseen.pop(), [])
        found += more
        unseen += [child for child, _ in more]
    return found
