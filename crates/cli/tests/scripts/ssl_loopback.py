import os, socket, ssl, subprocess, tempfile, threading
d = tempfile.mkdtemp(); subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", d + "/k", "-out", d + "/c", "-days", "9", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
x = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); x.load_cert_chain(d + "/c", d + "/k"); l = socket.create_server(("127.0.0.1", 0))
def serve():
    with x.wrap_socket(l.accept()[0], server_side=True) as s: s.sendall(s.recv(99).upper())
t = threading.Thread(target=serve); t.start(); y = ssl.create_default_context(cafile=d + "/c")
with y.wrap_socket(socket.create_connection(l.getsockname()), server_hostname="localhost") as c: c.sendall(b"secret"); print(c.recv(99), c.version(), c.cipher()[0])
t.join()
