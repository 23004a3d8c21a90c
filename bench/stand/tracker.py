"""A BitTorrent tracker over HTTP for one torrent: tells each peer of all that have asked.

Says when it listens, in one line of JSON, and ends when its standard input is closed.
"""

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

__all__ = ["TRACKER_PORT"]

TRACKER_PORT = 6969
_peers: set[tuple[str, int]] = set()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        me = self.client_address[0], int(query["port"][0])
        if query.get("event") == ["stopped"]:
            _peers.discard(me)
        else:
            _peers.add(me)
        known = b"".join(
            socket.inet_aton(host) + port.to_bytes(2, "big")
            for host, port in sorted(_peers)
            if (host, port) != me
        )
        body = b"d8:intervali1e12:min intervali1e5:peers%d:%be" % (len(known), known)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def main() -> None:
    """Serve until told to stop."""
    server = ThreadingHTTPServer(("", TRACKER_PORT), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": TRACKER_PORT}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
