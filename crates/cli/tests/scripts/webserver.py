import http.server, threading, urllib.request, urllib.error
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 404); self.end_headers(); self.wfile.write(b"hello " + self.path.encode())
    def do_POST(self):
        b = self.rfile.read(int(self.headers["Content-Length"])); self.send_response(201); self.send_header("X-Len", len(b)); self.end_headers(); self.wfile.write(b[::-1])
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); t = threading.Thread(target=s.serve_forever); t.start(); u = f"http://127.0.0.1:{s.server_port}"
print(urllib.request.urlopen(u + "/").read())
try: urllib.request.urlopen(u + "/no")
except urllib.error.HTTPError as e: print(e, e.read())
r = urllib.request.urlopen(u, b"abc" * 40000); print(r.status, r.headers["X-Len"], len(r.read())); s.shutdown(); t.join(); s.server_close()
try: urllib.request.urlopen(u)
except urllib.error.URLError as e: print(e)
