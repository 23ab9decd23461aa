def fail(kind, text):
    raise kind(text)

errors = []
for kind, text in ((ValueError, "a"), (TypeError, "b"), (ValueError, "c"), (OSError, "d")):
    try:
        fail(kind, text)
    except Exception as error:
        errors.append(error)
try:
    try:
        raise ExceptionGroup("many", errors)
    except* ValueError as group:
        print("values", [str(e) for e in group.exceptions])
    except* TypeError as group:
        print("types", len(group.exceptions))
except ExceptionGroup as rest:
    print("rest", rest.exceptions)

# expect:
# values ['a', 'c']
# types 1
# rest (OSError('d'),)
