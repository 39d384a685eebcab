import faulthandler, signal, sys, time, os, tempfile, re
log = tempfile.TemporaryFile('w+')
faulthandler.register(signal.SIGUSR1, file=log); os.kill(os.getpid(), signal.SIGUSR1); faulthandler.enable(); print(faulthandler.is_enabled(), flush=True); faulthandler.dump_traceback_later(0.05, file=log); time.sleep(0.2); faulthandler.cancel_dump_traceback_later(); log.seek(0); print(re.sub("0x[0-9a-f]+", "ADDRESS", log.read()), "done")
