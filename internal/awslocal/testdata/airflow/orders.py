import sys

from pyspark.sql import SparkSession, functions as F

day = sys.argv[1]
spark = SparkSession.builder.appName("orders").getOrCreate()
orders = spark.read.csv(f"s3://shop-orders/raw/orders_{day}.csv", header=True, inferSchema=True)
totals = orders.where("status <> 'cancelled'").groupBy("category").agg(F.sum("amount").alias("amount"), F.count("*").alias("orders"))
totals.coalesce(1).write.mode("overwrite").csv(f"s3://shop-orders/out/{day}", header=True)
print("categories", totals.count())
spark.stop()
