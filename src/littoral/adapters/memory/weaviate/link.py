"""The way to a Weaviate server, and what goes wrong on it, said in our errors.

Weaviate listens at two addresses, for HTTP and for gRPC. Both are in one setting, the second as a
query of the first: `https://HOST?grpc=GRPC-HOST:443`. Without it gRPC is at port 50051 of the same
host, as Weaviate has it by itself.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx
import weaviate
from weaviate import exceptions as said_by_weaviate
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.connect import ConnectionParams

from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    NotFoundError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.limits import SERVED_ANSWER_S, SERVED_CONNECT_S

__all__ = ["Link", "translated"]

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs what is asked for

_GRPC_PORT: Final = 50_051
_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Link:
    """A client that is connected when it is first asked for."""

    def __init__(self, address: str, key: str, *, answer_s: float = SERVED_ANSWER_S) -> None:
        """Nothing is connected yet.

        Args:
            address: of HTTP, with that of gRPC as its query.
            key: an API key, or empty.
            answer_s: how long one answer may take.

        Raises:
            ConfigError: the address is none, or the key would go in clear text.
        """
        self._key = key
        self._answer_s = answer_s
        try:
            self._http = urlsplit(address)
            told = parse_qs(self._http.query).get("grpc", [f"{self._http.hostname}:{_GRPC_PORT}"])
            self._grpc = urlsplit(f"//{told[0]}")
            ports = self._http.port, self._grpc.port
        except ValueError:
            ports = None, None
        if self._http.scheme not in {"http", "https"} or not self._http.hostname or not ports[1]:
            raise ConfigError(
                "the address of Weaviate can't be read",
                advice="write it as in https://HOST:443?grpc=GRPC-HOST:443",
            )
        if key and self._http.scheme == "http" and self._http.hostname not in _HERE:
            raise ConfigError(
                "the key of Weaviate would be sent in clear text", advice="use an https address"
            )
        self._client: weaviate.WeaviateClient | None = None
        self._connecting = Lock()

    def client(self) -> weaviate.WeaviateClient:
        """The client, connected."""
        with self._connecting:
            if self._client is None:
                with translated():
                    self._client = self._connected()
            return self._client

    def close(self) -> None:
        """Close the connections."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> weaviate.WeaviateClient:
        secure = self._http.scheme == "https"
        wait = Timeout(init=SERVED_CONNECT_S, query=self._answer_s, insert=self._answer_s)
        try:
            places = ConnectionParams.from_params(
                http_host=str(self._http.hostname),
                http_port=self._http.port or (443 if secure else 80),
                http_secure=secure,
                grpc_host=str(self._grpc.hostname),
                grpc_port=self._grpc.port or _GRPC_PORT,
                grpc_secure=secure,
            )
        except ValueError:
            raise ConfigError(
                "Weaviate can't have HTTP and gRPC at one address",
                advice="write it as in https://HOST:443?grpc=GRPC-HOST:443",
            ) from None
        client = weaviate.WeaviateClient(
            connection_params=places,
            auth_client_secret=Auth.api_key(self._key) if self._key else None,
            additional_config=AdditionalConfig(timeout=wait, trust_env=False),
            skip_init_checks=True,  # which ask a registry of packages for a newer client
        )
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return client


@contextmanager
def translated() -> Generator[None]:
    """Say in our errors what Weaviate and its client say in theirs.

    Raises:
        UpstreamFailedError, UpstreamTimeoutError, ConfigError, NotFoundError, BadRequestError:
            what happened.
    """
    try:
        yield
    except said_by_weaviate.UnexpectedStatusCodeError as error:
        raise _refused(error.status_code) from error
    except (
        said_by_weaviate.AuthenticationFailedError,
        said_by_weaviate.InsufficientPermissionsError,
    ) as error:
        raise _refused(401) from error
    except (said_by_weaviate.WeaviateTimeoutError, httpx.TimeoutException) as error:
        raise UpstreamTimeoutError("Weaviate did not answer in time") from error
    except (
        said_by_weaviate.WeaviateInvalidInputError,
        said_by_weaviate.WeaviateInsertInvalidPropertyError,
    ) as error:
        raise BadRequestError("Weaviate's client can't take a value") from error
    except said_by_weaviate.WeaviateBaseError as error:
        raise _failed(error) from error
    except httpx.HTTPError as error:
        raise UpstreamFailedError("Weaviate can't be reached, or has broken off") from error


def _failed(error: said_by_weaviate.WeaviateBaseError) -> LittoralError:
    said = str(error).lower()
    if "could not find class" in said or "class not found" in said:
        return NotFoundError("the collection is no longer there")
    if "401" in said or "unauthenticated" in said:
        return _refused(401)
    if "deadline" in said or "timeout" in said:
        return UpstreamTimeoutError("Weaviate did not answer in time")
    return UpstreamFailedError(f"Weaviate can't be reached, or failed ({type(error).__name__})")


def _refused(status: int) -> LittoralError:
    match status:
        case 401 | 403:
            return ConfigError(
                "Weaviate does not let Littoral in",
                advice="put an API key that may write where memory_secrets says",
            )
        case 404:
            return NotFoundError("the collection is no longer there")
        case 408 | 504:
            return UpstreamTimeoutError("Weaviate did not answer in time")
        case 400 | 413 | 422:
            return BadRequestError(f"Weaviate can't take that (status {status})")
        case _:
            return UpstreamFailedError(f"Weaviate failed (status {status})")
