from string import Template

letter = Template("Dear $name, you owe ${currency}$amount. Cost: $$5")
print(letter.substitute(name="Ada", currency="EUR ", amount=12))
print(letter.safe_substitute(name="Bob"))
try:
    letter.substitute(name="Bob")
except KeyError as error:
    print("missing", error)

# expect:
# Dear Ada, you owe EUR 12. Cost: $5
# Dear Bob, you owe ${currency}$amount. Cost: $5
# missing 'currency'
