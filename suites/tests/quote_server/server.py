import http.server, sys, urllib.parse

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path not in ("/", "/quote.txt"):
            self.send_error(404, "File not found")
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"a\n")

    do_HEAD = do_GET

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"]))
        if not urllib.parse.parse_qs(form).get(b"quote"):
            self.send_error(400)
            return
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
