import contextvars
import threading

local = threading.local()
var = contextvars.ContextVar("var", default="none")
seen = {}

def work(n):
    local.value = n
    var.set(n)
    seen[n] = (local.value, var.get())

threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(seen.items()), hasattr(local, "value"), var.get())
print(contextvars.copy_context().run(lambda: (var.set("inner"), var.get())[1]), var.get())

# expect:
# [(0, (0, 0)), (1, (1, 1)), (2, (2, 2)), (3, (3, 3))] False none
# inner none
