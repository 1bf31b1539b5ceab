"""Say what one market of this venue allows: steps, sizes, prices. Frozen figures, derived from its listing.

A listing's filters replace single figures: `{"filterType": "lotSizeFilter", "minOrderAmt": "1"}`. Where the venue sets figures
from liquidity, these are plausible ones. Source: the venue's V5 instruments page, read 2026-11.
"""

from __future__ import annotations

from typing import Any

import msgspec

from connector.simulator.dialects.bybit.text import Numbers, plain
from connector.simulator.instruments import SCALE, Listing, e8
from connector.simulator.market import Market

__all__ = ["Rules", "instrument_row"]

_DOLLARS = ("USDT", "USDC", "USD", "EUR", "FDUSD", "TUSD", "BUSD")


class Rules(msgspec.Struct, frozen=True):
    """Limits of one market in units of 1e-8; `band_e8` is how far from the market a limit order may be priced, `reach_e8` how far
    a market order goes."""

    least_amount_e8: int
    least_lots: int
    most_limit_e8: int
    most_market_e8: int
    quote_step_e8: int
    band_e8: int
    reach_e8: int

    @classmethod
    def of(cls, listing: Listing) -> Rules:
        """The rules of a listing."""
        rows = _blocks(listing)
        lot, risk = rows["lotSizeFilter"], rows["riskParameters"]
        spot = "basePrecision" in lot
        return cls(
            least_amount_e8=e8(lot["minOrderAmt"] if spot else lot.get("minNotionalValue", "0")),
            least_lots=1 if spot else max(1, e8(lot["minOrderQty"]) // listing.step_e8),
            most_limit_e8=e8(lot["maxLimitOrderQty" if spot else "maxOrderQty"]),
            most_market_e8=e8(lot["maxMarketOrderQty" if spot else "maxMktOrderQty"]),
            quote_step_e8=e8(lot["quotePrecision"]) if spot else 0,
            band_e8=e8(risk["priceLimitRatioX"]),
            reach_e8=e8(risk["priceLimitRatioY"]),
        )

    def bounds(self, market: Market) -> tuple[int, int]:
        """(lowest price of a sale, highest of a purchase) just now, in ticks.

        The documented band, with the last price as index and mark and with no premium.
        """
        return _around(market.price, self.band_e8)

    def reach(self, market: Market) -> tuple[int, int]:
        """(lowest price a market order sells at, highest it buys at) just now, in ticks."""
        return _around(market.price, self.reach_e8)


def _around(price: int, part_e8: int) -> tuple[int, int]:
    return max(1, -(-price * (SCALE - part_e8) // SCALE)), price * (SCALE + part_e8) // SCALE


def _blocks(listing: Listing) -> dict[str, Any]:
    """The filter objects of an instrument, with the listing's own figures put in."""
    spot = not listing.is_contract
    step, tick = listing.step_e8, listing.tick_e8
    unit = SCALE if listing.product == "inverse" else listing.price_e8
    worth = 8_000_000 if spot else 80_000_000
    most = max(step * 1000, worth * SCALE * SCALE // unit // step * step)
    if spot:
        least = "5" if listing.quote in _DOLLARS else "0.0001"
        lots = {
            "basePrecision": plain(step),
            "quotePrecision": plain(max(1, tick * step // SCALE)),
            "minOrderQty": plain(step),
            "maxOrderQty": plain(most),
            "minOrderAmt": least,
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": plain(most),
            "maxMarketOrderQty": plain(most // 2 // step * step),
            "postOnlyMaxLimitOrderSize": plain(most * 5),
        }
        blocks: dict[str, Any] = {
            "lotSizeFilter": lots,
            "priceFilter": {"tickSize": plain(tick)},
            "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        }
    else:
        lots = {
            "maxOrderQty": plain(most),
            "minOrderQty": plain(step),
            "qtyStep": plain(step),
            "postOnlyMaxOrderQty": plain(most),
            "maxMktOrderQty": plain(most // 5 // step * step),
            "minNotionalValue": "5",
        }
        if listing.product == "inverse":
            del lots["minNotionalValue"]
        top = max(bracket.leverage for bracket in listing.brackets)
        blocks = {
            "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{top}.00", "leverageStep": "0.01"},
            "priceFilter": {
                "minPrice": plain(tick),
                "maxPrice": plain(listing.price_e8 * 30 // tick * tick),
                "tickSize": plain(tick),
            },
            "lotSizeFilter": lots,
            "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        }
    for row in listing.filters:
        block = blocks.get(row["filterType"])
        if block is None:
            raise ValueError(f"{listing.symbol}: this venue has no {row['filterType']!r}; it has {', '.join(blocks)}")
        block |= {name: value for name, value in row.items() if name != "filterType"}
    return blocks


def instrument_row(market: Market, number: int, started_ms: int) -> dict[str, Any]:
    """One market as the list of instruments shows it."""
    listing = market.listing
    blocks = _blocks(listing)
    common = {"symbol": market.symbol, "symbolId": number, "baseCoin": listing.base, "quoteCoin": listing.quote}
    if not listing.is_contract:
        row = common | {"innovation": "0", "status": "Trading", "marginTrading": "none", "stTag": "0"}
        return row | blocks | {"symbolType": ""}
    dated = bool(listing.expiry_ms)
    kind = ("Linear" if listing.product == "linear" else "Inverse") + ("Futures" if dated else "Perpetual")
    hours = listing.funding_h
    return (
        common
        | {
            "contractType": kind,
            "status": "Trading" if market.status == "TRADING" else "Closed",
            "launchTime": str(started_ms - 2_100 * 86_400_000),
            "deliveryTime": str(listing.expiry_ms),
            "deliveryFeeRate": "0.0005" if dated else "",
            "priceScale": str(Numbers(listing).price_places),
        }
        | blocks
        | {
            "unifiedMarginTrade": True,
            "fundingInterval": hours * 60,
            "settleCoin": listing.settle,
            "copyTrading": "none",
            "upperFundingRate": "" if dated else "0.00375",
            "lowerFundingRate": "" if dated else "-0.00375",
            "isPreListing": False,
            "preListingInfo": None,
            "displayName": "",
            "symbolType": "",
        }
    )
