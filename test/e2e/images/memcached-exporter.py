# A stand-in for memcached_exporter, which Debian 12 doesn't have: its two flags, and memcached_up for a server that answers.
import argparse
import http.server
import socket

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--memcached.address", dest="memcached", default="localhost:11211")
parser.add_argument("--web.listen-address", dest="listen", default=":9150")
options = parser.parse_args()


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def up():
    try:
        with socket.create_connection(address(options.memcached), timeout=1) as server:
            server.sendall(b"version\r\n")
            return int(server.recv(64).startswith(b"VERSION "))
    except OSError:
        return 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/metrics":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"# HELP memcached_up Could the memcached server be reached.\n# TYPE memcached_up gauge\nmemcached_up %d\n" % up())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(address(options.listen), Handler).serve_forever()
