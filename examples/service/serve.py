"""Serves one page: serve.py PORT FILE STATUS. The whole program of the example service."""

import http.server
import sys

port, file, status = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(file, "rb") as page:
            body = page.read()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", port), Page).serve_forever()
