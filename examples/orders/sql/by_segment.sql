select
  order_date,
  category,
  region,
  segment,
  count(*)                    as lines,
  count(distinct order_id)    as orders,
  count(distinct customer_id) as customers,
  sum(revenue)                as revenue,
  sum(profit)                 as profit
from clean
group by order_date, category, region, segment
