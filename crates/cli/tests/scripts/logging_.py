import logging, logging.handlers, sys, tempfile, queue
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(threadName)s %(processName)s %(message)s", level=10); logging.info("hi %d", 3); p = tempfile.mkdtemp() + "/log"; h = logging.handlers.RotatingFileHandler(p, maxBytes=50, backupCount=2); l = logging.getLogger("x"); l.addHandler(h)
for i in range(5): l.warning("message number %d", i)
import os; print(sorted(os.listdir(os.path.dirname(p))), open(p).read())
