import configparser
import io

parser = configparser.ConfigParser()
parser.read_string("""
[DEFAULT]
base = /srv
[web]
port = 8080
root = %(base)s/www
debug = yes
; a comment
[db]
url = postgres://x
""")
print(parser.sections(), parser["web"]["root"], parser.getint("web", "port"), parser["web"].getboolean("debug"))
print(parser.get("db", "user", fallback="nobody"))
parser["db"]["pool"] = "5"
out = io.StringIO()
parser.write(out)
print(out.getvalue().count("\n"))

# expect:
# ['web', 'db'] /srv/www 8080 True
# nobody
# 12
