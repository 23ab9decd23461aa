import http.server
import json
import threading
import urllib.error
import urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/ok":
            self.send_error(404)
            return
        self.reply({"path": self.path, "agent": self.headers["User-Agent"]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply({"sum": sum(body)})

    def reply(self, data):
        raw = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass

with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    base = f"http://127.0.0.1:{server.server_port}"
    request = urllib.request.Request(base + "/ok", headers={"User-Agent": "test"})
    print(json.load(urllib.request.urlopen(request)))
    print(json.load(urllib.request.urlopen(base, data=b"[1, 2, 3]")))
    try:
        urllib.request.urlopen(base + "/missing")
    except urllib.error.HTTPError as error:
        print(error.code, error.reason)
        error.close()
    server.shutdown()

# expect:
# {'path': '/ok', 'agent': 'test'}
# {'sum': 6}
# 404 Not Found
