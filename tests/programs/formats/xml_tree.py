import xml.etree.ElementTree as ET

root = ET.fromstring("<shop><item id='1'><name>Pen</name><price>1.5</price></item><item id='2'><name>Ink &amp; pad</name><price>7</price></item></shop>")
for item in root.findall("item"):
    print(item.get("id"), item.findtext("name"), float(item.find("price").text))
new = ET.SubElement(root, "item", id="3")
ET.SubElement(new, "name").text = "<Cap>"
ET.indent(root)
print(ET.tostring(new, encoding="unicode").strip())
print([e.tag for e in root.iter()][:4], len(root.findall(".//name")))

# expect:
# 1 Pen 1.5
# 2 Ink & pad 7.0
# <item id="3">
#     <name>&lt;Cap&gt;</name>
#   </item>
# ['shop', 'item', 'name', 'price'] 3
