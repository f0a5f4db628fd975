select customer_id, max(name) as name, max(segment) as segment, max(region) as region,
       count(distinct order_id) as orders, sum(amount) as lifetime_amount, max(ordered_on) as last_order
from source
group by customer_id
