import re

def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()

def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)

for name in ("outputLimitBytes", "HTTPServer", "parseXMLFile2"):
    print(snake(name), camel(snake(name)))

# expect:
# output_limit_bytes outputLimitBytes
# http_server httpServer
# parse_xml_file2 parseXmlFile2
