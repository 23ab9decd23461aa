import functools
import http.client
import http.server
import tempfile
import threading

with tempfile.TemporaryDirectory() as folder:
    open(f"{folder}/page.html", "w").write("<h1>hi</h1>")
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass
    server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    for verb, path in (("GET", "/page.html"), ("HEAD", "/page.html"), ("GET", "/../../etc/passwd")):
        connection.request(verb, path)
        reply = connection.getresponse()
        body = reply.read()
        print(verb, reply.status, reply.getheader("Content-type"), body if reply.status == 200 else "")
    connection.close()
    server.shutdown()
    server.server_close()

# expect:
# GET 200 text/html b'<h1>hi</h1>'
# HEAD 200 text/html b''
# GET 404 text/html;charset=utf-8 
