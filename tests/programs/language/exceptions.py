class AppError(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

def risky(n):
    try:
        return 10 / n
    except ZeroDivisionError as error:
        raise AppError(7) from error
    else:
        print("never")
    finally:
        print("finally", n)

print(risky(4))
try:
    risky(0)
except AppError as error:
    print(error, error.code, type(error.__cause__).__name__)
    error.add_note("a note")
    print(error.__notes__)

# expect:
# finally 4
# 2.5
# finally 0
# code 7 7 ZeroDivisionError
# ['a note']
