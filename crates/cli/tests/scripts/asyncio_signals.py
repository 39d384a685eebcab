import asyncio, os, signal
async def main():
    loop = asyncio.get_running_loop(); e = asyncio.Event(); loop.add_signal_handler(signal.SIGTERM, e.set)
    loop.call_later(0.01, os.kill, os.getpid(), signal.SIGTERM); await e.wait(); print("term")
    try: await asyncio.wait_for(asyncio.sleep(9), 0.01)
    except asyncio.TimeoutError: print("timeout")
    print(await asyncio.to_thread(lambda: 42)); print(await loop.run_in_executor(None, os.path.exists, "/"))
    q = asyncio.Queue(1)
    async def prod():
        for i in range(3): await q.put(i)
    t = asyncio.create_task(prod()); print([await q.get() for _ in range(3)]); await t
    t = asyncio.create_task(asyncio.sleep(99)); await asyncio.sleep(0); t.cancel()
    try: await t
    except asyncio.CancelledError: print("cancelled")
asyncio.run(main())
