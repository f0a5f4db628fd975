"""The master job: a row an order line, with what is known of its customer and its product.

    spark-submit order_360.py --orders MANIFEST --customers MANIFEST --products MANIFEST --to s3://BUCKET/…/

The rules: a customer's tier follows from what was ordered before the day; the discount is what the catalog's price says beyond
what was paid; lines of 500 and more, and those of gold customers, have priority.
"""

import argparse

from pyspark.sql import SparkSession

RULES = """
    select
      o.order_line_id, o.order_id, o.order_date, o.customer_id, c.name as customer, c.segment, c.region,
      coalesce(c.orders, 0) as earlier_orders,
      coalesce(c.lifetime_amount, cast(0 as decimal(12,2))) as lifetime_amount,
      case when c.lifetime_amount >= 1000 then 'gold' when c.lifetime_amount > 0 then 'silver' else 'new' end as tier,
      o.sku, p.title as product, p.category, o.quantity, o.amount,
      cast(p.price * o.quantity as decimal(12,2)) as list_amount,
      cast(p.price * o.quantity - o.amount as decimal(12,2)) as discount,
      o.amount >= 500 or coalesce(c.lifetime_amount, 0) >= 1000 as priority,
      p.sku is not null as in_catalog
    from orders o
    left join customers c on c.customer_id = o.customer_id
    left join products p on p.sku = o.sku
"""


def dataset(spark, manifest):
    """A step's dataset: the Parquet files that its manifest names, beside it or by their URIs."""
    m = spark.read.json(manifest, multiLine=True).first()
    if not m.files:
        return spark.createDataFrame([], ", ".join(f"`{c.name}` {c.type}" for c in m.schema))
    folder = manifest.rsplit("/", 1)[0]
    return spark.read.parquet(*[f.path if ":/" in f.path else folder + "/" + f.path for f in m.files])


def main():
    args = argparse.ArgumentParser()
    for name in ("orders", "customers", "products", "to"):
        args.add_argument("--" + name, required=True)
    args = args.parse_args()

    spark = SparkSession.builder.appName("order 360").getOrCreate()
    for name in ("orders", "customers", "products"):
        dataset(spark, getattr(args, name)).createOrReplaceTempView(name)
    spark.sql(RULES).write.mode("overwrite").parquet(args.to)
    spark.stop()


if __name__ == "__main__":
    main()
