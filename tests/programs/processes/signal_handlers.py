import os
import signal

got = []
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda number, frame: got.append(signal.Signals(number).name))
os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR2)
os.kill(os.getpid(), signal.SIGTERM)
print(got, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
os.kill(os.getpid(), signal.SIGUSR1)
print(signal.sigpending() == {signal.SIGUSR1}, signal.sigwait({signal.SIGUSR1}).name, len(got))
try:
    signal.signal(signal.SIGKILL, signal.SIG_IGN)
except OSError as error:
    print(error.strerror)

# expect:
# ['SIGUSR1', 'SIGUSR2', 'SIGTERM'] True
# True SIGUSR1 3
# Invalid argument
