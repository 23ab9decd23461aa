def justify(words, width):
    lines, line, size = [], [], 0
    for word in words:
        if size + len(word) + len(line) > width:
            for i in range(width - size):
                line[i % (len(line) - 1 or 1)] += " "
            lines.append("".join(line))
            line, size = [], 0
        line.append(word)
        size += len(word)
    return [*lines, " ".join(line).ljust(width)]

for line in justify("This is an example of text justification.".split(), 16):
    print(f"|{line}|")

# expect:
# |This    is    an|
# |example  of text|
# |justification.  |
