import shlex

print(shlex.split("""cp "my file.txt" 'a b' c\\ d --x=1 # not a comment"""))
print(shlex.join(["echo", "it's", "a b", ""]))
lexer = shlex.shlex("a=b;c|d", punctuation_chars=True)
print(list(lexer))

# expect:
# ['cp', 'my file.txt', 'a b', 'c d', '--x=1', '#', 'not', 'a', 'comment']
# echo 'it'"'"'s' 'a b' ''
# ['a=b', ';', 'c', '|', 'd']
