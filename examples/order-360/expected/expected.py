#!/usr/bin/env python3
"""Computes what the example's days must give, without Tidemill: exact decimals, plain Python.

Usage: expected.py   (it reads ../data and writes order_360.csv: days run one after another from 2017-11-01)
"""
import csv, datetime, glob, json, pathlib, zoneinfo
from decimal import Decimal

here = pathlib.Path(__file__).parent
data = here / "../data"


def rows(name):
    with open(data / name, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


names = {r["customer_id"]: r for r in rows("customers.csv")}
history = rows("customer_orders.csv")
products = json.loads((data / "products.json").read_text(encoding="utf-8"), parse_float=Decimal)
eastern = zoneinfo.ZoneInfo("America/New_York")
catalog, out = {}, []
for name in sorted(glob.glob(str(data / "orders/orders_*.csv"))):
    day = datetime.datetime.strptime(name[-12:-4], "%Y%m%d").date()
    since = datetime.datetime.combine(day, datetime.time(8), eastern)
    for p in products:
        if datetime.datetime.fromisoformat(p["updated_at"].replace("Z", "+00:00")) >= since:
            for v in p["variants"]:
                catalog[v["sku"]] = (v["title"], p["category"], v["price"])
    totals = {}
    for h in history:
        if h["ordered_on"] < str(day):
            t = totals.setdefault(h["customer_id"], [set(), Decimal(0)])
            t[0].add(h["order_id"])
            t[1] += Decimal(h["amount"])
    for o in rows(f"orders/{pathlib.Path(name).name}"):
        if o["status"] == "cancelled":
            continue
        known, p = totals.get(o["customer_id"]), catalog.get(o["sku"])
        c = names[o["customer_id"]] if known else {"name": "", "segment": "", "region": ""}
        spent = known[1] if known else Decimal("0.00")
        amount, n = Decimal(o["amount"]), int(o["quantity"])
        out.append([o["order_line_id"], o["order_id"], o["order_date"], o["customer_id"], c["name"], c["segment"], c["region"], len(known[0]) if known else 0, f"{spent:.2f}",
                    "gold" if spent >= 1000 else "silver" if spent > 0 else "new", o["sku"], p[0] if p else "", p[1] if p else "", n, f"{amount:.2f}",
                    f"{p[2] * n:.2f}" if p else "", f"{p[2] * n - amount:.2f}" if p else "", str(amount >= 500 or spent >= 1000).lower(), str(p is not None).lower()])
with open(here / "order_360.csv", "w", encoding="utf-8", newline="") as f:
    w = csv.writer(f, lineterminator="\n")
    w.writerow(["order_line_id", "order_id", "order_date", "customer_id", "customer", "segment", "region", "earlier_orders", "lifetime_amount", "tier", "sku", "product", "category",
                "quantity", "amount", "list_amount", "discount", "priority", "in_catalog"])
    w.writerows(sorted(out, key=lambda r: (r[2], int(r[0]))))
