"""Shared by the futures driver tests: instruments and answers of both products, as the documents describe them."""

from __future__ import annotations

from decimal import Decimal

from connector.domain import Instrument, InstrumentStatus, InstrumentTable, Symbol

__all__ = ["BTC_INVERSE", "ETH_LINEAR", "INFO", "MS", "D", "instrument", "table_of"]

D = Decimal
MS = 1_000_000
ETH_LINEAR = Symbol("ETH", "USDT", "USDT")
BTC_INVERSE = Symbol("BTC", "USD", "BTC")


def instrument(venue: str, text: str, size: str = "1") -> Instrument:
    symbol = Symbol.parse(text)
    pair = symbol.base + symbol.quote
    if symbol.expiry is not None:
        pair += f"_{symbol.expiry}"
    elif venue == "binance-coinm":
        pair += "_PERP"
    return Instrument(
        venue=venue,
        symbol=symbol,
        venue_name=pair,
        status=InstrumentStatus.TRADING,
        status_text="TRADING",
        base_decimals=8,
        quote_decimals=8,
        order_types=(),
        filters=(),
        contract_size=Decimal(size),
    )


def table_of(venue: str) -> InstrumentTable:
    if venue == "binance-usdm":
        texts = ("BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-261225")
        return InstrumentTable(venue, [instrument(venue, text) for text in texts])
    found = [instrument(venue, "BTC/USD:BTC", "100"), instrument(venue, "ETH/USD:ETH", "10")]
    return InstrumentTable(venue, [*found, instrument(venue, "BTC/USD:BTC-261225", "100")])


FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
    {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    {"filterType": "MIN_NOTIONAL", "notional": "100"},
    {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
    {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
]


def entry(name: str, **changes: object) -> dict[str, object]:
    return {
        "symbol": name,
        "pair": "BTCUSDT",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "orderTypes": ["LIMIT", "MARKET"],
        "filters": FILTERS,
        **changes,
    }


def inverse(name: str, **changes: object) -> dict[str, object]:
    whole = [
        {"filterType": "PRICE_FILTER", "minPrice": "1000", "maxPrice": "4520958", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "1000000", "stepSize": "1"},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 20},
    ]
    made = entry(name, quoteAsset="USD", marginAsset="BTC", contractStatus="TRADING", contractSize=100, filters=whole)
    del made["status"]
    return made | changes


LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
]
DECEMBER = 1798185600000  # 2026-12-25 08:00 UTC
INFO = {
    "binance-usdm": {
        "serverTime": 1762000000000,
        "rateLimits": LIMITS,
        "exchangeFilters": [],
        "symbols": [
            entry("BTCUSDT"),
            entry("BTCUSDT_261225", contractType="CURRENT_QUARTER", deliveryDate=DECEMBER),
            entry("TSLAUSDT", contractType="TRADIFI_PERPETUAL", baseAsset="TSLA", underlyingType="EQUITY"),
        ],
    },
    "binance-coinm": {
        "serverTime": 1762000000000,
        "rateLimits": [{**LIMITS[0], "limit": 6000}, *LIMITS[1:]],
        "exchangeFilters": [],
        "symbols": [
            inverse("BTCUSD_PERP"),
            inverse("BTCUSD_261225", contractType="CURRENT_QUARTER", deliveryDate=DECEMBER),
        ],
    },
}
