from dataclasses import FrozenInstanceError, dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    amount: int
    currency: str = "EUR"

price = Money(amount=5)
print(price, {price: 1}[Money(amount=5)], price == Money(amount=5, currency="USD"))
try:
    price.amount = 6
except FrozenInstanceError as error:
    print(type(error).__name__, error)
try:
    Money(5)
except TypeError as error:
    print(str(error).split("()")[0])

# expect:
# Money(amount=5, currency='EUR') 1 False
# FrozenInstanceError cannot assign to field 'amount'
# Money.__init__
