-- In the warehouse's own SQL: what customers ordered before the day.
select c.customer_id, c.name, c.segment, c.region, o.order_id, o.ordered_on, o.amount
from customers c join customer_orders o on o.customer_id = c.customer_id
where o.ordered_on < cast({{ ds }} as date)
