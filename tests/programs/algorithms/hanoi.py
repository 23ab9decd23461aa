def move(n, source, spare, target, log):
    if n:
        move(n - 1, source, target, spare, log)
        log.append(f"{source}>{target}")
        move(n - 1, spare, source, target, log)
    return log

print(" ".join(move(3, "A", "B", "C", [])), len(move(12, "A", "B", "C", [])))

# expect:
# A>C A>B C>B A>C B>A B>C A>C 4095
