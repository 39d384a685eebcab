# Which address a datagram came to, and which it goes from: ip(7), ipv6(7), RFC 3542.
import errno, socket, struct

IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50


def name(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def info(index, source, to="0.0.0.0"):
    data = struct.pack("i4s4s", index, socket.inet_aton(source), socket.inet_aton(to))
    return [(socket.IPPROTO_IP, IP_PKTINFO, data)]


def told(ancillary):
    return [
        (level, kind, struct.unpack("i", data[:4])[0], socket.inet_ntoa(data[4:8]), socket.inet_ntoa(data[8:]))
        for level, kind, data in ancillary
    ]


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 0))
port = server.getsockname()[1]
print(server.getsockopt(socket.IPPROTO_IP, IP_PKTINFO))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(b"before", ("127.0.0.5", port))
print(server.recvmsg(16, 64)[:3])
server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 7)
print(server.getsockopt(socket.IPPROTO_IP, IP_PKTINFO))
client.sendto(b"to five", ("127.0.0.5", port))
data, ancillary, flags, peer = server.recvmsg(16, 64)
print(data, told(ancillary), flags, peer[0])
# The answer comes from where the question went.
server.sendmsg([b"from five"], [ancillary[0]], 0, peer)
print(client.recvfrom(16)[0], client.getsockname()[0])
print(name(lambda: client.sendmsg([b"from seven"], info(0, "127.0.0.7"), 0, ("127.0.0.1", port))))
data, ancillary, flags, peer = server.recvmsg(16, 64)
print(data, told(ancillary), peer[0])
# No room for it: cut, and told.
client.sendto(b"cut", ("127.0.0.1", port))
data, ancillary, flags, _ = server.recvmsg(16, 0)
print(data, ancillary, flags == socket.MSG_CTRUNC)
for index, source in ((1, "0.0.0.0"), (1, "127.0.0.9"), (99, "0.0.0.0"), (0, "8.8.8.8"), (-1, "0.0.0.0")):
    print(index, source, name(lambda: client.sendmsg([b"x"], info(index, source), 0, ("127.0.0.1", port))))
for length in (0, 8, 16):
    bad = [(socket.IPPROTO_IP, IP_PKTINFO, bytes(length))]
    print(length, name(lambda: client.sendmsg([b"x"], bad, 0, ("127.0.0.1", port))))
# Bound and connected sockets may say otherwise for one datagram.
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bound.bind(("127.0.0.1", 0))
bound.connect(receiver.getsockname())
bound.sendmsg([b"x"], info(0, "127.0.0.3"))
print(receiver.recvfrom(16)[1][0], bound.getsockname()[0])


def six():
    """The same of IPv6, where there is any: it says nothing."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", 0))
    port = server.getsockname()[1]
    client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        client.sendto(b"x", ("::1", port))
    except OSError:
        return
    assert server.recvmsg(16, 64)[1] == []
    server.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    for to, seen in (("::1", "::1"), ("::ffff:127.0.0.5", "::ffff:127.0.0.5")):
        client.sendto(b"x", (to, port))
        ancillary = server.recvmsg(16, 128)[1]
        level, kind, data = ancillary[0]
        assert (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO), ancillary
        assert socket.inet_ntop(socket.AF_INET6, data[:16]) == seen, data
        assert struct.unpack("i", data[16:])[0] == 1, data
        # An address of IPv4 is told by both.
        assert len(ancillary) == (2 if "." in to else 1), ancillary

    def send(source, index, to="::1"):
        data = socket.inet_pton(socket.AF_INET6, source) + struct.pack("i", index)
        message = [(socket.IPPROTO_IPV6, IPV6_PKTINFO, data)]
        client.sendmsg([b"x"], message, 0, (to, port))
        return server.recvmsg(16, 128)[3][0]

    assert send("::", 1) == "::1" and send("::1", 0) == "::1"
    assert send("::ffff:127.0.0.9", 0, "::ffff:127.0.0.1") == "::ffff:127.0.0.9"
    assert name(lambda: send("::", 99)) == "ENODEV"
    assert name(lambda: send("2001:db8::99", 0)) == "EINVAL"
    assert name(lambda: send("::1", 0, "::ffff:127.0.0.1")) == "EINVAL"


six()
