"""viser's server, with our pages beside its own, closed to all who do not have the token.

A server on loopback is open to every user of the machine and, by scripts, to every page that its browser shows;
viser's asks nobody who they are, and takes the next port where one is taken. So its socket is opened here, and
every request, those that become websockets too, passes ``_Guard`` first: under ``/TOKEN/`` is everything, and
nothing is elsewhere. In goes what answers to a name below the token; out comes a server. This file does not know
what is shown.
"""

import asyncio
import hmac
import http.client
import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from vda.errors import InputError, UsageError, VdaError, WorkError

INSTALL: Final = "Install it: pip install 'vda-toolkit[view]'."
# Where viser's own page and its websocket are.
CLOUD: Final = "cloud"
# Nothing of a stranger's computer is loaded by any page, and none may show ours inside its own.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# viser's page is one file that unpacks itself, with its scripts, pictures and workers inside.
_POLICY_OF_CLOUD: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:; "
    "worker-src blob: data:; connect-src 'self' {socket} blob: data:; img-src blob: data:; "
    "style-src 'unsafe-inline'; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_TOKEN_BYTES: Final = 24


@dataclass(frozen=True)
class Answer:
    """What a name below the token is answered with."""

    body: bytes
    kind: str


@dataclass(frozen=True)
class Door:
    """An open server: viser's ``server``, and where a person goes in."""

    server: Any
    host: str
    port: int
    token: str
    _tickets: set[str]

    @property
    def near(self) -> str:
        """The host by which this machine itself gets there; one that stands for all addresses is none to go to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        return self._below(self.token)

    def ticket(self) -> str:
        """An address that leads to ``url`` once: with what a browser is started, all users of a machine see."""
        self._tickets.add(ticket := secrets.token_urlsafe(_TOKEN_BYTES))
        return self._below(ticket)

    def _below(self, word: str) -> str:
        host = f"[{self.near}]" if ":" in self.near else self.near
        return f"http://{host}:{self.port}/{word}/"


Asked = Callable[[str], Answer | None]
"""Answers to a name, or None where there is none such; asked by one thread, never twice at once."""


def require_viser() -> Any:
    """viser, or ``UsageError`` where it is not installed."""
    try:
        import viser
    except ImportError as error:
        raise UsageError("Looking at a scene needs viser.", INSTALL) from error
    return viser


@contextmanager
def opened(answer: Asked, listening: socket.socket) -> Iterator[Door]:
    """Serve ``answer`` and a viser scene at a socket (``bound``), as long as this lasts.

    Raises ``UsageError`` where viser is not installed.
    """
    viser = require_viser()
    host, port, *_ = listening.getsockname()
    with _quiet(), ThreadPoolExecutor(1) as worker:
        guard = _Guard(answer, secrets.token_urlsafe(_TOKEN_BYTES), worker)
        with guard.before_all(listening):
            server = viser.ViserServer(host, port, label="cloud", verbose=False)
        # Whoever has the token shall not open a way from the network to it.
        server.request_share_url = lambda verbose=True: None
        door = Door(server, host, port, guard.token, guard.tickets)
        try:
            _prove(door)
            yield door
        finally:
            server.stop()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port`` (0: a free one); ``UsageError`` where that cannot be."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"No page can be served on {host}, port {port}: {reason}.",
            "Give another --port, or leave it out for one that is free; --host is an address of this machine.",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """viser prints where it serves, which is not where a person is to go, and websockets who turned away."""
    import rich

    console, logger = rich.get_console(), logging.getLogger("websockets")
    before = console.quiet, logger.level
    console.quiet = True
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        console.quiet = before[0]
        logger.setLevel(before[1])


def _prove(door: Door) -> None:
    """Ask without the token, and end where anything is told: viser may open its server in another way one day."""
    connection = http.client.HTTPConnection(door.near, door.port, timeout=30)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except OSError:
        status = 0
    finally:
        connection.close()
    if status != http.client.FORBIDDEN:
        raise WorkError(
            "This version of viser serves its page to everybody, so it was closed again.",
            "Install the version that was tested: pip install -c constraints.txt 'vda-toolkit[view]'.",
        )


class _Guard:
    """Asks every request for the token, answers those for our names, and leaves the cloud's to viser."""

    def __init__(self, answer: Asked, token: str, worker: ThreadPoolExecutor) -> None:
        self.token, self._answer, self._worker = token, answer, worker
        self.tickets: set[str] = set()

    @contextmanager
    def before_all(self, listening: socket.socket) -> Iterator[None]:
        """Servers of ``websockets`` that are opened meanwhile listen there, and ask this guard first."""
        from websockets.asyncio import server as websockets

        serve = websockets.serve

        def guarded(handler: Any, host: Any, port: Any, *, process_request: Any, **options: Any) -> Any:
            return serve(handler, sock=listening, process_request=self._asking(process_request), **options)

        # viser has no place for such a question.
        setattr(websockets, "serve", guarded)  # noqa: B010
        try:
            yield
        finally:
            setattr(websockets, "serve", serve)  # noqa: B010

    def _asking(self, of_viser: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def ask(connection: Any, request: Any) -> Any:
            token, _, name = request.path.partition("?")[0].removeprefix("/").partition("/")
            if token in self.tickets and not name:
                self.tickets.discard(token)
                return _to(f"/{self.token}/")
            if not hmac.compare_digest(token.encode(), self.token.encode()):
                return _response(403, Answer(b"Nothing is here without the token.\n", "text/plain"))
            if name.partition("/")[0] == CLOUD:
                return _with_policy(of_viser(connection, replace(request, path="/")), request)
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._answered, name)

        return ask

    def _answered(self, name: str) -> Any:
        try:
            answer = self._answer(name)
        except VdaError as error:
            # Of an error the page says the first sentence; what it names is this machine's, and so is its reader.
            return _response(404 if isinstance(error, InputError) else 500, _said(error))
        return _response(404, Answer(b"", "text/plain")) if answer is None else _response(200, answer)


def _said(error: VdaError) -> Answer:
    return Answer(str(error).encode(errors="replace"), "text/plain; charset=utf-8")


def _to(place: str) -> Any:
    """Send a browser on to ``place``."""
    response = _response(302, Answer(b"", "text/plain"))
    response.headers["Location"] = place
    return response


def _response(status: int, answer: Answer) -> Any:
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    headers = Headers(
        {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
            "Content-Security-Policy": _POLICY,
            **_GUARDED,
        }
    )
    return Response(status, http.client.responses[status], headers, answer.body)


_GUARDED: Final = {
    # The token is in the address: it goes to nobody, and nothing of a page is kept.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def _with_policy(response: Any, request: Any) -> Any:
    """viser's own answer with what its page may do; None, for a websocket, as it is."""
    if response is not None:
        host = request.headers.get("Host", "")
        plain = all(letter.isalnum() or letter in ".:[]-" for letter in host)
        response.headers["Content-Security-Policy"] = _POLICY_OF_CLOUD.format(
            socket=f"ws://{host}" if plain else ""
        )
        for name, value in _GUARDED.items():
            response.headers[name] = value
    return response
