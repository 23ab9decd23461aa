from urllib.parse import parse_qs, quote, unquote_plus, urlencode, urljoin, urlsplit, urlunsplit

parts = urlsplit("https://user:pw@example.org:8443/a/b;p?q=1&q=2&x=%C3%BC#top")
print(parts.hostname, parts.port, parts.path, parts.fragment, parse_qs(parts.query))
print(urlencode({"q": "a b&c", "n": [1, 2]}, doseq=True), quote("/ü ?"), unquote_plus("a+b%21"))
print(urljoin("http://h/a/b/c", "../d?x"), urlunsplit(parts._replace(netloc="h", query="")))

# expect:
# example.org 8443 /a/b;p top {'q': ['1', '2'], 'x': ['ü']}
# q=a+b%26c&n=1&n=2 /%C3%BC%20%3F a b!
# http://h/a/d?x https://h/a/b;p#top
