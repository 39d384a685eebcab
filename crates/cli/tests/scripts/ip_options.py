# IP_TOS, IP_TTL, SO_PRIORITY, TCP_QUICKACK and ancillary data: what is set is what is got.
import socket, struct
def get(s, level, name):
    try: return s.getsockopt(level, name)
    except OSError as e: return e.strerror
def put(s, level, name, value):
    try: return s.setsockopt(level, name, value)
    except OSError as e: return e.strerror
IP, TCP, SOL, QUICK = socket.IPPROTO_IP, socket.IPPROTO_TCP, socket.SOL_SOCKET, socket.TCP_QUICKACK
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for tos in (0, 3, 8, 0x10, 0x18, 0x20, 0x2e, 0xb8, 0xff, 256, -1, b"\x10", b""):
        with socket.socket(socket.AF_INET, kind) as s:
            print(kind.name, tos, put(s, IP, socket.IP_TOS, tos), get(s, IP, socket.IP_TOS), get(s, SOL, socket.SO_PRIORITY))
    with socket.socket(socket.AF_INET, kind) as s:
        for ttl in (1, 255, 0, 256, -1, -2, 64): print("ttl", ttl, put(s, IP, socket.IP_TTL, ttl), get(s, IP, socket.IP_TTL))
        s.setsockopt(IP, socket.IP_TOS, 0x10)
        print(s.getsockopt(IP, socket.IP_TOS, 1), s.getsockopt(IP, socket.IP_TOS, 2))
listener = socket.socket()
listener.setsockopt(IP, socket.IP_TOS, 0x20); listener.setsockopt(IP, socket.IP_TTL, 77)
listener.bind(("127.0.0.1", 0)); listener.listen(5)
c = socket.create_connection(listener.getsockname()); a, _ = listener.accept()
print([get(a, IP, n) for n in (socket.IP_TOS, socket.IP_TTL)], get(a, SOL, socket.SO_PRIORITY))
print([get(s, TCP, QUICK) for s in (listener, a, c, socket.socket())])
for on in (0, 1, 2, 0): print("quickack", on, put(c, TCP, QUICK, on), get(c, TCP, QUICK))
def info(s, *fields): b = s.getsockopt(TCP, socket.TCP_INFO, 104); return [struct.unpack_from("I", b, f)[0] for f in fields]
state = lambda s: list(s.getsockopt(TCP, socket.TCP_INFO, 8)[:7])
print(state(a), state(c), state(listener), state(socket.socket()))
print(info(listener, 8, 24, 28, 80, 88), info(socket.socket(), 8, 16, 24, 72, 76, 80, 88))
# Reordering begins at 3, or at what Linux remembers of the machine's other connections to 127.0.0.1
# (tcp_metrics(8)), which is not this program's doing.
print(info(c, 28, 32, 36, 60, 84, 100), info(c, 88)[0] >= 3)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 0))
for level, kind, data in ((0, 1, 4), (0, 1, 1), (0, 1, 2), (0, 2, 4), (0, 99, 4), (1, 99, 4), (1, 1, 4), (6, 1, 4)):
    for s, to in ((u, u.getsockname()), (c, None)):
        control = [(level, kind, struct.pack("<I", 8 if (level, kind) != (1, 1) else 0)[:data])]
        try: print(level, kind, data, s.type.name, s.sendmsg([b"x"], control, 0, *([to] if to else [])))
        except OSError as e: print(level, kind, data, s.type.name, e.strerror)
