import unicodedata

word = "e\u0301toile"
composed = unicodedata.normalize("NFC", word)
print(len(word), len(composed), composed)
print(unicodedata.name("\u00e9"), unicodedata.category("5"))
print("Straße".casefold(), "ǅ".title(), "ΣΊΣΥΦΟΣ".lower())
print("".join(c for c in unicodedata.normalize("NFD", "Crème Brûlée") if not unicodedata.combining(c)))

# expect:
# 7 6 étoile
# LATIN SMALL LETTER E WITH ACUTE Nd
# strasse ǅ σίσυφος
# Creme Brulee
