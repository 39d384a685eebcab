# IPv6 beside IPv4, as Python's own servers use it. Where the machine has no ::1 nothing is tried, and
# what is printed is the same.
import http.server, socket, threading, urllib.request
def absent():
    try:
        with socket.socket(socket.AF_INET6) as s: s.bind(("::1", 0))
    except OSError: return True
def same(what, got, wanted): print(what, "as expected" if absent() or got() == wanted else got())
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
def http_over_both():
    with S(("::", 0), H) as s:
        s.socket.getsockname(); t = threading.Thread(target=s.serve_forever); t.start()
        try: return [urllib.request.urlopen(f"http://{h}:{s.server_port}/").read() for h in ("[::1]", "127.0.0.1")]
        finally: s.shutdown(); t.join()
def created(dual):
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=dual) as s:
        with socket.create_connection(("::1", s.getsockname()[1])) as c, s.accept()[0] as a:
            c.sendall(b"x" * 100000); c.shutdown(socket.SHUT_WR); n = 0
            while d := a.recv(65536): n += len(d)
            return s.getsockname()[0], a.getpeername() == c.getsockname(), n, s.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
def looked_up(): return [socket.getaddrinfo(h, 80, type=socket.SOCK_STREAM)[0][4] for h in ("::1", "127.0.0.1")]
def datagrams():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as c:
        s.bind(("::", 0)); c.settimeout(10); p = s.getsockname()[1]; got = []
        for h in ("::1", "::ffff:127.0.0.1"):
            c.sendto(b"ping", (h, p)); d, a = s.recvmsg(99)[0], None
            c.sendto(b"again", (h, p)); d2, a = s.recvfrom(99); s.sendmsg([b"po", b"ng"], [], 0, a); got += [d, d2, a[0], c.recv(99)]
        return got
same("http over ::", http_over_both, [b"::1", b"::ffff:127.0.0.1"])
same("dual stack", lambda: created(True), ("::", True, 100000, 0))
same("IPv6 only", lambda: created(False), ("::", True, 100000, 1))
same("numeric names", looked_up, [("::1", 80, 0, 0), ("127.0.0.1", 80)])
same("datagrams", datagrams, [b"ping", b"again", "::1", b"pong", b"ping", b"again", "::ffff:127.0.0.1", b"pong"])
same("has_dualstack_ipv6", socket.has_dualstack_ipv6, True)
