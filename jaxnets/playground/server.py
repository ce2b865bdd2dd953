"""The server of the page: for this machine's browser alone, within bounds."""

import hmac
import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jaxnets import json_files
from jaxnets.playground.frames import event
from jaxnets.playground.options import Options, OptionsError, change
from jaxnets.playground.session import Session
from jaxnets.playground.tables import BYTES, Tables

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {f"/{path.name}": path for path in STATIC.iterdir() if path.suffix in TYPES}
BODY, QUERY, TABS, CONNECTIONS, SECONDS = 4096, 4096, 8, 64, 10.0  # bytes, bytes, ..., a request
CLOSING = 3.0  # seconds
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Server(ThreadingHTTPServer):
    """Serves the page and its sessions, one per open tab; `token` is in the page's address."""

    daemon_threads, request_queue_size = True, 16

    def __init__(self, port: int = 0, token: str | None = None):
        self.token = token or secrets.token_urlsafe(16)
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        self.free = threading.BoundedSemaphore(CONNECTIONS)
        self.closing, self.tables = False, Tables()
        super().__init__(("127.0.0.1", port), Handler)  # which closes it if the port is in use

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"

    @property
    def busy(self) -> bool:
        """Whether a session trains or compiles, in a thread that must not be killed at shutdown."""
        return any(each.playing or each.compiling for each in [*self.sessions.values()])

    def server_close(self) -> None:
        """Close the port, and wait a little for the sessions to end."""
        self.closing = True
        super().server_close()
        self.tables.close()
        deadline = time.monotonic() + CLOSING
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.05)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread, unless too many are open."""
        if self.free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection; after it, another may be opened."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections; report other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers a request after checking where it comes from."""

    server: Server
    protocol_version, timeout, server_version, sys_version = "HTTP/1.1", SECONDS, "jaxnets", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a log of requests would hold the token."""

    def do_GET(self) -> None:
        """The page's files, and the events of a new session."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if not self._comes_from_here():
            return self._refuse(
                403, "the request comes from another site; open the printed address"
            )
        if parts.path == "/events":
            return self._events(query)
        path = FILES.get("/index.html" if parts.path == "/" else parts.path)
        if path is None:
            return self._refuse(404, "there is no such page; open the printed address")
        if path.suffix == ".html" and not self._has_token(query.get("token", [""])[0]):
            return self._refuse(403, "the token is wrong; open the printed address")
        return self._send(200, path.read_bytes(), f"{TYPES[path.suffix]}; charset=utf-8")

    def do_POST(self) -> None:
        """A command to a session."""
        if not self._comes_from_here(origin=True):
            return self._refuse(
                403, "the request comes from another site; open the printed address"
            )
        if not self._has_token(self.headers.get("X-Token", "")):
            return self._refuse(403, "the token is wrong; open the printed address")
        parts = urlsplit(self.path)
        most = BYTES if parts.path == "/table" else BODY
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 12):
            return self._refuse(411, "the request needs a Content-Length")
        if int(length) > most:
            return self._refuse(413, f"a request has at most {most} bytes, but got {length}")
        if parts.path == "/table":
            return self._table(parse_qs(parts.query).get("name", [""])[0], int(length))
        try:
            command = json_files.decode(self.rfile.read(int(length)))
        except (ValueError, TimeoutError) as error:
            return self._refuse(400, f"a command is a JSON object: {error}")
        session = command.get("session") if isinstance(command, dict) else None
        found = self.server.sessions.get(session) if isinstance(session, str) else None
        if found is None:
            return self._refuse(404, "the session is closed; reload the page")
        if not found.put(command):
            return self._refuse(429, "too many commands wait; slow down")
        return self._send(200, b"{}", "application/json")

    def _events(self, query: dict[str, list[str]]) -> None:
        """Train a new session, and send its events until the tab is closed."""
        if not self._has_token(query.get("token", [""])[0]):
            return self._refuse(403, "the token is wrong; open the printed address")
        text = query.get("options", ["{}"])[0]
        try:
            if len(text) > QUERY:
                raise OptionsError(f"expected settings of at most {QUERY} characters; reset them")
            options = change(Options(), json_files.decode(text))
            name = secrets.token_urlsafe(8)
            with self.server.lock:
                if len(self.server.sessions) >= TABS:
                    return self._refuse(503, f"{TABS} tabs are open, which is the limit; close one")
                session = self.server.sessions[name] = Session(options, self.server.tables)
        except ValueError as error:
            return self._refuse(400, str(error))
        try:
            self._headers(200, "text/event-stream")
            self._write("session", {"name": name})
            return session.run(self._write)
        except OSError:
            return None  # the tab is closed
        finally:
            del self.server.sessions[name]

    def _table(self, name: str, length: int) -> None:
        """A file of the user, which becomes one of the tables."""
        try:
            content = self.rfile.read(length)
            if len(content) < length:
                raise OptionsError("the file ended early; choose it again")
            with self.server.lock:
                table = self.server.tables.add(name, content)
        except (OptionsError, TimeoutError) as error:
            return self._refuse(400, str(error))
        return self._send(200, json.dumps(table.describe()).encode(), "application/json")

    def _write(self, kind: str, message: dict[str, Any]) -> None:
        if self.server.closing:
            raise ConnectionAbortedError("the server is closing")
        self.wfile.write(event(kind, message))

    def _comes_from_here(self, *, origin: bool = False) -> bool:
        """Whether the Host is this server, against DNS rebinding, and the Origin, if there is one.

        With `origin`, it must be there: browsers send it with every POST.
        """
        hosts = {f"{host}:{self.server.server_port}" for host in ("127.0.0.1", "localhost")}
        host, sent = self.headers.get("Host"), self.headers.get("Origin")
        return host in hosts and (sent == f"http://{host}" or (sent is None and not origin))

    def _has_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.server.token.encode())

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, message.encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self._headers(status, kind, len(body))
        self.wfile.write(body)

    def _headers(self, status: int, kind: str, length: int | None = None) -> None:
        self.close_connection = True  # a body that was refused is not read
        self.send_response(status)
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "Connection": "close"}
        headers |= {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        headers |= {"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"}
        headers |= {} if length is None else {"Content-Length": str(length)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
