from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import parseaddr

mail = EmailMessage()
mail["From"], mail["To"], mail["Subject"] = "Ann <ann@example.org>", "bob@example.org", "Grüße"
mail.set_content("Hello Bob\n")
mail.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename="a.bin")
again = message_from_string(mail.as_string(), policy=policy.default)
print(again["subject"], parseaddr(again["from"]), again.is_multipart())
print([(part.get_content_type(), part.get_filename()) for part in again.walk()])
print(again.get_body().get_content().strip())

# expect:
# Grüße ('Ann', 'ann@example.org') True
# [('multipart/mixed', None), ('text/plain', None), ('application/octet-stream', 'a.bin')]
# Hello Bob
