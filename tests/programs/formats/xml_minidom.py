from xml.dom import minidom
from xml.sax.saxutils import escape, quoteattr

doc = minidom.parseString("<a><b c='d'>text</b><b/></a>")
print(len(doc.getElementsByTagName("b")), doc.documentElement.firstChild.getAttribute("c"))
print(doc.documentElement.toprettyxml(indent=" "), end="")
print(escape("<&>"), quoteattr('say "x"'))

# expect:
# 2 d
# <a>
#  <b c="d">text</b>
#  <b/>
# </a>
# &lt;&amp;&gt; 'say "x"'
