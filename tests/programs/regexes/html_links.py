import re
from html import unescape
from html.parser import HTMLParser

PAGE = '<p>See <a href="/a?x=1&amp;y=2">A &lt;1&gt;</a> and <a class=b href="http://h/">B</a>.</p>'

class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs)["href"])

parser = Links()
parser.feed(PAGE)
print(parser.found)
print(unescape(re.sub(r"<[^>]+>", "", PAGE)))

# expect:
# ['/a?x=1&y=2', 'http://h/']
# See A <1> and B.
