"""What a contract is worth: base units, notional, profit. Arithmetic only, in exact decimals but for the division by a price.

A linear contract is `contract_size` base units and settles in the quote asset; an inverse one is `contract_size` quote units and
settles in the base asset, so its worth in base units depends on a price and has no end as a decimal: it is rounded half even
at 16 places, everywhere in the library by `base_units` alone. On spot, and where a venue counts contracts in base units, a
contract is one base unit: an amount "in contracts" is an amount in what that venue's orders and filters count.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

from connector.domain.commands import AmendOrder, PlaceOrder
from connector.domain.instruments import Instrument
from connector.domain.orders import Order
from connector.domain.symbols import Product

__all__ = [
    "amended_contracts",
    "base_units",
    "contracts_for",
    "notional",
    "ordered_base_units",
    "ordered_contracts",
    "profit",
]

_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PLACES = Decimal(1).scaleb(-16)


def base_units(instrument: Instrument, contracts: Decimal, price: Decimal) -> Decimal:
    """What so many contracts are in base units; `price` counts on inverse contracts only."""
    worth = _EXACT.multiply(contracts, instrument.contract_size)
    if instrument.product is not Product.INVERSE:
        return worth
    return _EXACT.quantize(_EXACT.divide(worth, price), _PLACES).normalize(_EXACT)


def contracts_for(instrument: Instrument, quantity: Decimal, price: Decimal | None) -> Decimal:
    """How many contracts so many base units are; as a rule not a whole number on inverse contracts.

    What `base_units` made of contracts on the instrument's grid comes back as those contracts, though it was rounded.

    Raises:
        ValueError: an inverse contract, and no price.
    """
    if instrument.product is not Product.INVERSE:
        return _EXACT.divide(quantity, instrument.contract_size)
    if price is None:
        raise ValueError(f"{instrument.symbol}: base units of an inverse contract are worth contracts at a price only.")
    contracts = _EXACT.divide(_EXACT.multiply(quantity, price), instrument.contract_size)
    step = instrument.quantity_step or Decimal(1)
    near = _EXACT.multiply(_EXACT.to_integral_value(_EXACT.divide(contracts, step)), step)
    return near if base_units(instrument, near, price) == quantity else contracts


def ordered_contracts(order: PlaceOrder, instrument: Instrument) -> Decimal | None:
    """How many contracts an order is for; None where its quantity is another: of quote, or of whatever the position is then.

    Raises:
        ValueError: base units of an inverse contract, and no price.
    """
    if order.contracts is not None or order.quantity is None:
        return order.contracts
    return contracts_for(instrument, order.quantity, order.price)


def amended_contracts(amend: AmendOrder, current: Order, instrument: Instrument) -> Decimal | None:
    """How many contracts an order is for after an amend, filled ones included; None where its quantity stays.

    Args:
        current: what is known of the order: whether the amend's quantity is in contracts or base units, and at what price.

    Raises:
        ValueError: base units of an inverse contract, and no price.
    """
    if amend.quantity is None or current.in_contracts:
        return amend.quantity
    return contracts_for(instrument, amend.quantity, amend.price or current.price)


def ordered_base_units(
    order: PlaceOrder, instrument: Instrument, reference_price: Decimal | None = None
) -> Decimal | None:
    """What an order comes to in base units, at its own price or about the reference; None where that cannot be known."""
    if order.quantity is not None or order.contracts is None:
        return order.quantity
    price = order.price or order.stop_price or reference_price
    if price is None and instrument.product is Product.INVERSE:
        return None
    return base_units(instrument, order.contracts, price or Decimal(1))


def notional(instrument: Instrument, contracts: Decimal, price: Decimal) -> Decimal:
    """What so many contracts are worth in the quote asset."""
    worth = _EXACT.multiply(contracts, instrument.contract_size)
    return worth if instrument.product is Product.INVERSE else _EXACT.multiply(worth, price)


def profit(instrument: Instrument, contracts: Decimal, entry: Decimal, exit_price: Decimal) -> Decimal:
    """Profit of a position in its settle asset; `contracts` negative when short. Fees and funding not included."""
    worth = _EXACT.multiply(contracts, instrument.contract_size)
    if instrument.product is not Product.INVERSE:
        return _EXACT.multiply(worth, _EXACT.subtract(exit_price, entry))
    moved = _EXACT.multiply(worth, _EXACT.subtract(exit_price, entry))
    return _EXACT.quantize(_EXACT.divide(moved, _EXACT.multiply(entry, exit_price)), _PLACES).normalize(_EXACT)
