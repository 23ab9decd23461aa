import multiprocessing as mp

def echo(connection):
    while True:
        try:
            connection.send(connection.recv()[::-1])
        except EOFError:
            break

if __name__ == "__main__":
    ours, theirs = mp.Pipe()
    process = mp.Process(target=echo, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    for text in ("abc", [1, 2, 3]):
        ours.send(text)
        print(ours.recv() if ours.poll(60) else "nothing")
    ours.close()
    process.terminate()
    process.join()
    print(process.exitcode in (0, -15))

# expect:
# cba
# [3, 2, 1]
# True
