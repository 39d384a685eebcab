import asyncio
async def main():
    p = await asyncio.create_subprocess_exec("sh", "-c", "cat; exit 3", stdin=-1, stdout=-1); print(await p.communicate(b"hello"), p.returncode)
    p = await asyncio.create_subprocess_exec("sleep", "100")
    try: await asyncio.wait_for(p.wait(), 0.02)
    except asyncio.TimeoutError: p.kill(); print(await p.wait())
    ps = await asyncio.gather(*(asyncio.create_subprocess_shell(f"exit {i}") for i in range(4))); print([await p.wait() for p in ps])
asyncio.run(main())
