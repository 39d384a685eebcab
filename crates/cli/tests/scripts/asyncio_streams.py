import asyncio
async def serve(r, w):
    while line := await r.readline(): w.write(line.upper()); await w.drain()
    w.close()
async def client(port, i):
    r, w = await asyncio.open_connection("127.0.0.1", port); out = []
    for n in range(3): w.write(b"c%d m%d\n" % (i, n)); out.append(await r.readline())
    w.write_eof(); out.append(await r.read()); w.close(); await w.wait_closed(); return out
async def main():
    s = await asyncio.start_server(serve, "127.0.0.1", 0); port = s.sockets[0].getsockname()[1]
    for o in await asyncio.gather(*(client(port, i) for i in range(5))): print(o)
    s.close()
asyncio.run(main())
