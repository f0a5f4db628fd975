#!/usr/bin/env python3
"""Makes this example's data of the Superstore order lines beside (../../orders/data, whose
licence and source lie there): a day's order files, what the warehouse holds, what the
catalog's API serves. The numbers are the Superstore's; that a line was cancelled, which
articles are variants of one product and when a price was changed are made up here, by rule.

Usage: make.py
"""
import csv, glob, json, pathlib
from decimal import Decimal

here = pathlib.Path(__file__).parent
lines = []
for name in sorted(glob.glob(str(here / "../../orders/data/orders_*.csv"))):
    with open(name, encoding="utf-8", newline="") as f:
        lines += list(csv.DictReader(f))


def write(name, head, rows):
    with open(here / name, "w", encoding="utf-8", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(head)
        w.writerows(rows)


by_day = {}
for r in lines:
    status = "cancelled" if int(r["row_id"]) % 17 == 0 else "shipped"
    by_day.setdefault(r["order_date"], []).append(
        [r["row_id"], r["order_id"], r["order_date"], r["customer_id"], r["product_id"], r["quantity"], f'{Decimal(r["sales"]):.2f}', status])
for day, rows in by_day.items():
    if "2017-11-01" <= day <= "2017-11-30":
        write(f"orders/orders_{day.replace('-', '')}.csv", ["order_line_id", "order_id", "order_date", "customer_id", "sku", "quantity", "amount", "status"], rows)

customers, history = {}, {}
for r in lines:
    customers[r["customer_id"]] = [r["customer_id"], r["customer_name"].strip(), r["segment"], r["region"]]
    key = (r["customer_id"], r["order_id"], r["order_date"])
    history[key] = history.get(key, Decimal(0)) + Decimal(r["sales"])
write("customers.csv", ["customer_id", "name", "segment", "region"], sorted(customers.values()))
write("customer_orders.csv", ["customer_id", "order_id", "ordered_on", "amount"], [list(k) + [f"{v:.2f}"] for k, v in sorted(history.items())])

articles = {}
for r in lines:
    price = Decimal(r["sales"]) / Decimal(r["quantity"]) / (1 - Decimal(r["discount"]))
    articles[r["product_id"]] = (r["sub_category"], r["product_name"], f"{price:.2f}")
products, kind = [], None
for n, (sku, (sub, name, price)) in enumerate(sorted(articles.items())):
    if sku.endswith(("7", "9")) and n % 40:  # a few articles that the catalog does not know
        continue
    if kind != sub or len(products[-1]["variants"]) == 3:
        day = 17 + (len(products) * 7) % 14
        products.append({"id": f"P-{sku}", "name": name, "category": sub, "updated_at": f"2017-11-{day:02d}T{len(products) % 24:02d}:30:00Z", "variants": []})
        kind = sub
    products[-1]["variants"].append({"sku": sku, "title": name, "price": float(price)})
with open(here / "products.json", "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(p, ensure_ascii=False) for p in products) + "\n]\n")
