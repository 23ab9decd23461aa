import ipaddress
import re

octet = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
pattern = re.compile(rf"{octet}(?:\.{octet}){{3}}")
for text in ("192.168.1.1", "256.1.1.1", "1.2.3"):
    print(text, bool(pattern.fullmatch(text)))
net = ipaddress.ip_network("10.1.0.0/22")
print(net.num_addresses, ipaddress.ip_address("10.1.3.255") in net, list(net.subnets(new_prefix=24))[1])
print(ipaddress.ip_address("2001:db8::1").exploded)

# expect:
# 192.168.1.1 True
# 256.1.1.1 False
# 1.2.3 False
# 1024 True 10.1.1.0/24
# 2001:0db8:0000:0000:0000:0000:0000:0001
