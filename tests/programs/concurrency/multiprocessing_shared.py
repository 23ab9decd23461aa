import multiprocessing as mp
from multiprocessing.shared_memory import SharedMemory

def add(counter, array, name):
    for i in range(500):
        with counter.get_lock():
            counter.value += 1
    with array.get_lock():
        array[0] += 1
    memory = SharedMemory(name)
    memory.buf[0] = 42
    memory.close()

if __name__ == "__main__":
    counter, array = mp.Value("i", 0), mp.Array("d", [0.5, 1.5])
    memory = SharedMemory(create=True, size=4096)
    processes = [mp.Process(target=add, args=(counter, array, memory.name)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(counter.value, list(array), memory.buf[0])
    memory.close()
    memory.unlink()

# expect:
# 1500 [3.5, 1.5] 42
