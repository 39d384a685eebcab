import asyncio, os, tempfile
class P(asyncio.DatagramProtocol):
    def connection_made(self, t): self.t = t
    def datagram_received(self, d, a): self.t.sendto(d[::-1], a)
class C(asyncio.DatagramProtocol):
    def __init__(self, f): self.f = f
    def datagram_received(self, d, a): self.f.set_result(d)
async def main():
    l = asyncio.get_running_loop(); t, _ = await l.create_datagram_endpoint(P, ("127.0.0.1", 0)); f = l.create_future()
    c, _ = await l.create_datagram_endpoint(lambda: C(f), remote_addr=t.get_extra_info("sockname")); c.sendto(b"abc"); print(await f); c.close(); t.close()
    path = tempfile.mkdtemp() + "/s"
    async def h(r, w): w.write(await r.read(5)); w.close()
    s = await asyncio.start_unix_server(h, path); r, w = await asyncio.open_unix_connection(path); w.write(b"hello"); print(await r.read()); w.close(); s.close()
asyncio.run(main())
