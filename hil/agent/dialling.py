"""How a runner reaches an agent: TLS, a loopback socket, or ssh with the agent at its far end."""

from __future__ import annotations

import shlex
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gateway.environment import variable
from gateway.errors import UsageError
from hil.agent.errors import AgentLostError
from hil.agent.tls import client_context, is_loopback

PORT: Final = 4716
_SSH_ALIVE_S: Final = 5
_KEPT_ERROR_CHARS: Final = 500
_NOT_FOUND: Final = 127  # what a shell says of a command that it does not find, POSIX 2.8.2; ssh hands it on


class Keys(NamedTuple):
    """What proves each to the other. A file that is not named: that proof is not asked for or not shown."""

    authority: Path | None = None  # of the agent's certificate; None: the system's
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    @classmethod
    def of_environment(cls) -> Keys:
        """Return the files that TIDEGATE_AGENT_CA, _CERT, _KEY and _TOKEN_FILE name."""
        names = (variable(f"TIDEGATE_AGENT_{name}") for name in ("CA", "CERT", "KEY", "TOKEN_FILE"))
        return cls(*(Path(name) if name else None for name in names))


class Line(NamedTuple):
    """An open way to an agent."""

    socket: socket.socket
    process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Give everything back; what was started ends."""
        self.socket.close()
        if self.process is not None:
            try:
                self.process.wait(1.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def last_words(self) -> str:
        """Return what the program at the near end said before it ended, "" where there is none."""
        if self.process is None or self.process.stderr is None:
            return ""
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return ""
        said = self.process.stderr.read(65_536).decode(errors="replace").strip()
        last = said.rpartition("\n")[2][:_KEPT_ERROR_CHARS]
        if self.process.returncode == _NOT_FOUND:
            return f"{last}; there an ssh session needs tidegate on its PATH, for example in /usr/local/bin"
        return last


def dial(agent: str, target: str | None, keys: Keys, timeout_s: float) -> Line:
    """Return a way to `host:port` or `ssh://[user@]host[:port][/rig.toml]`. Raises: UsageError, AgentLostError."""
    if agent.startswith("ssh://"):
        return start(ssh_command(agent, target))
    host, port = address_of(agent)
    context = None
    if keys.authority is not None or keys.certificate is not None or not is_loopback(host):
        context = client_context(keys.authority, keys.certificate, keys.key)
    try:
        plain = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        raise AgentLostError(
            f"no agent answers at {agent} ({error}); is `tidegate hil agent` running there?"
        ) from error
    if context is None:
        return Line(plain)
    try:
        return Line(context.wrap_socket(plain, server_hostname=host))
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise UsageError(f"{agent} is not who it should be: {error.verify_message}") from error
    except OSError as error:
        plain.close()
        raise AgentLostError(f"{agent} does not speak TLS as we do ({error})") from error


def start(words: Sequence[str]) -> Line:
    """Return a way to an agent that is a child of this process. Raises: AgentLostError."""
    ours, its = socket.socketpair()
    with its:
        try:
            process = subprocess.Popen(  # noqa: S603 - ssh, with words that were checked
                list(words), stdin=its.fileno(), stdout=its.fileno(), stderr=subprocess.PIPE
            )
        except OSError as error:
            ours.close()
            raise AgentLostError(f"{words[0]} cannot be started ({error.strerror})") from error
    return Line(ours, process)


def checked(agent: str) -> str | None:
    """Return why a text cannot be the address of an agent, None where it can."""
    try:
        ssh_command(agent, None) if agent.startswith("ssh://") else address_of(agent)
    except UsageError as error:
        return str(error)
    return None


def ssh_command(agent: str, target: str | None) -> list[str]:
    """Return the words that start an agent on another machine. Raises: UsageError."""
    try:
        url = urlsplit(agent)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UsageError(f"{agent!r} is no address of an agent: {error}") from error
    if not host or host.startswith("-") or (url.username or "").startswith("-") or url.password or url.query:
        raise UsageError(f"{agent!r} is no address of an agent; write ssh://[USER@]HOST[:PORT][/RIG.toml]")
    remote = ["tidegate", "hil", "agent", "--stdio"]
    remote += ["--rig", url.path] if url.path.strip("/") else []
    remote += ["--target", target] if target else []
    options = ["-T", "-o", "BatchMode=yes", "-o", f"ServerAliveInterval={_SSH_ALIVE_S}"]
    options += ["-p", str(port)] if port else []
    return ["ssh", *options, "--", f"{url.username}@{host}" if url.username else host, shlex.join(remote)]


def address_of(agent: str) -> tuple[str, int]:
    """Return host and port of "pi.local:4716", "[fe80::1]:4716" or "pi.local". Raises: UsageError."""
    try:
        url = urlsplit(f"//{agent}")
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UsageError(f"{agent!r} is no address of an agent: {error}") from error
    if not host or url.path or url.username is not None or url.query:
        raise UsageError(f"{agent!r} is no address of an agent; write HOST:PORT, or ssh://HOST")
    return host, PORT if port is None else port
