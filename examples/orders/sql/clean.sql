-- The lines of a day, as the other steps and the lake's readers want them.
select
  row_id,
  order_id,
  order_date,
  ship_date,
  datediff(ship_date, order_date)              as days_to_ship,
  ship_mode,
  customer_id,
  trim(customer_name)                          as customer,
  segment,
  city,
  state,
  region,
  product_id,
  category,
  sub_category,
  product_name,
  quantity,
  discount,
  sales                                        as revenue,
  profit,
  case when sales > 0 then round(profit / sales, 4) end as margin
from source
