"""Addresses of this machine: those that others can dial, and ports that are free."""

import ipaddress
import socket

from littoral.terms.errors import ConfigError

__all__ = ["bracketed", "dialled_host", "free_port", "host_and_port"]

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that are nobody's (RFC 5737, RFC 3849): only the way to them is looked up."""


def bracketed(host: str) -> str:
    """A host as it stands before `:PORT`: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def dialled_host(host: str) -> str:
    """The address at which others find a program that listens on this one.

    It is the same, but for one that stands for all of the machine: then the one that packets to the
    world would have.

    Raises:
        ConfigError: no address is better than the others.
    """
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    except ValueError:
        return host  # a name
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[family], 9))
        except OSError:
            raise ConfigError(
                f"listening on {host}, and there is no way out of this machine to tell by",
                advice="say with --fabric-address at which HOST:PORT other machines reach it",
            ) from None
        return str(probe.getsockname()[0])


def free_port(host: str) -> int:
    """A port of this address that nobody listens on now.

    Raises:
        ConfigError: the address is not one of this machine.
    """
    try:
        with socket.create_server((host, 0)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"{host} can't be listened on ({error.strerror})",
            advice="give an address of this machine",
        ) from None


def host_and_port(text: str, name: str) -> tuple[str, int]:
    """The parts of `HOST:PORT`, an IPv6 address in brackets.

    Raises:
        ConfigError: it is anything else; `name` says which setting it is.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"{name} is {text!r}", advice="give HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
