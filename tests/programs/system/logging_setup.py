import io
import logging
import logging.handlers
import sys

stream = io.StringIO()
handler = logging.StreamHandler(stream)
handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
log = logging.getLogger("app.db")
log.addHandler(handler)
log.setLevel(logging.INFO)
log.propagate = False
log.debug("hidden")
log.info("opened %s", "db")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
print(stream.getvalue().splitlines()[0], "|", stream.getvalue().splitlines()[-1])
memory = logging.handlers.MemoryHandler(10, target=logging.StreamHandler(sys.stdout))
logging.getLogger("buffered").addHandler(memory)
logging.getLogger("buffered").warning("kept back")
memory.flush()
print(logging.getLogger("app").getEffectiveLevel() == logging.WARNING)

# expect:
# INFO app.db: opened db | ZeroDivisionError: division by zero
# kept back
# True
