import locale

print(locale.setlocale(locale.LC_ALL, "C"))
print(locale.localeconv()["decimal_point"], locale.format_string("%d", 1234567, grouping=True))
print(sorted(["b", "A", "a", "B"], key=locale.strxfrm), locale.strcoll("a", "b") < 0)
try:
    locale.setlocale(locale.LC_ALL, "xx_XX.none")
except locale.Error as error:
    print(error)
print(f"{1234567.5:n}")

# expect:
# C
# . 1234567
# ['A', 'B', 'a', 'b'] True
# unsupported locale setting
# 1.23457e+06
