"""What customers ordered before a day, from Snowflake through its Python connector, summed by customer.

    SNOWFLAKE_KEY="$(cat etl.p8)" spark-submit extract_customers.py --url https://acme.snowflakecomputing.com --account acme --user etl \\
        --database shop --schema public --before 2017-11-06 --to s3://BUCKET/…/

The driver's Python needs snowflake-connector-python.
"""

import argparse
import os
from urllib.parse import urlsplit

import snowflake.connector
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

QUERY = """
    select c.customer_id, c.name, c.segment, c.region, o.order_id, o.ordered_on, o.amount
    from customers c join customer_orders o on o.customer_id = c.customer_id
    where o.ordered_on < %s
"""
SCHEMA = "customer_id string, name string, segment string, region string, order_id string, ordered_on date, amount decimal(12,2)"


def connect(args):
    url = urlsplit(args.url)
    return snowflake.connector.connect(
        protocol=url.scheme, host=url.hostname, port=url.port or 443,
        account=args.account, user=args.user, database=args.database, schema=args.schema,
        private_key=load_pem_private_key(os.environ["SNOWFLAKE_KEY"].encode(), password=None),
        login_timeout=60, network_timeout=600,
    )


def main():
    args = argparse.ArgumentParser()
    for name in ("url", "account", "user", "database", "schema", "before", "to"):
        args.add_argument("--" + name, required=True)
    args = args.parse_args()

    with connect(args) as db:
        rows = db.cursor().execute(QUERY, (args.before,)).fetchall()
    spark = SparkSession.builder.appName("extract customers").getOrCreate()
    customers = spark.createDataFrame(rows, SCHEMA).groupBy("customer_id").agg(
        F.max("name").alias("name"),
        F.max("segment").alias("segment"),
        F.max("region").alias("region"),
        F.countDistinct("order_id").alias("orders"),
        F.sum("amount").alias("lifetime_amount"),
        F.max("ordered_on").alias("last_order"),
    )
    customers.write.mode("overwrite").parquet(args.to)
    spark.stop()


if __name__ == "__main__":
    main()
