from unittest.mock import MagicMock, call, patch
import os

service = MagicMock()
service.fetch.side_effect = [1, ValueError("no"), 3]
print(service.fetch("a"))
try:
    service.fetch("b")
except ValueError as error:
    print(error)
print(service.fetch.call_args_list == [call("a"), call("b")], service.fetch.call_count)
with patch.dict(os.environ, {"X": "1"}), patch("os.getcwd", return_value="/mock"):
    print(os.environ["X"], os.getcwd())
print("X" in os.environ)

# expect:
# 1
# no
# True 2
# 1 /mock
# False
