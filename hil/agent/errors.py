"""What can go wrong between a runner and the agent beside a board. What the port itself says comes as a PortError.

GatewayError
└── AgentError
    ├── AgentLostError (ConnectionError)     no agent answers, or none does any more
    ├── AgentRefusedError (PermissionError)  it answers that it will not
    │   └── AgentBusyError                   not now: the port is somebody else's, or cannot be opened
    └── AgentProtocolError                   what came is nothing that an agent or runner says
"""

from __future__ import annotations

from gateway.errors import GatewayError


class AgentError(GatewayError):
    """Something about a remote port."""


class AgentLostError(AgentError, ConnectionError):
    """No agent answers, or none does any more."""


class AgentRefusedError(AgentError, PermissionError):
    """The agent answers that it will not."""


class AgentBusyError(AgentRefusedError):
    """The agent answers that it cannot now: the port is somebody else's, or cannot be opened."""


class AgentProtocolError(AgentError):
    """What came is nothing that an agent or runner says."""
