package plan

import (
	"math/bits"
	"sort"
)

// A graph of steps becomes a tree of series and parallels, which is all that States
// Language can say. A graph that is not series-parallel is made so by adding order, never
// by dropping it.

// tree is a node, or a series, or a parallel of trees.
type tree struct {
	node     int // of a leaf
	children []*tree
	parallel bool
}

func leaf(n int) *tree { return &tree{node: n} }

func (t *tree) isLeaf() bool { return t.children == nil }

// added is an order that the graph did not have.
type added struct{ before, after int }

type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) or(c bitset) {
	for i := range b {
		b[i] |= c[i]
	}
}
func (b bitset) count(mask bitset) int {
	n := 0
	for i := range b {
		n += bits.OnesCount64(b[i] & mask[i])
	}
	return n
}

// order is a partial order of n nodes: below[i] has j if j comes before i.
type order struct {
	n     int
	below []bitset
	extra []added
}

// newOrder closes the edges (from, to) transitively. They must be without cycles.
func newOrder(n int, edges [][2]int) *order {
	o := &order{n: n, below: make([]bitset, n)}
	in := make([][]int, n)
	for i := range n {
		o.below[i] = newBitset(n)
	}
	for _, e := range edges {
		in[e[1]] = append(in[e[1]], e[0])
	}
	done := make([]bool, n)
	var visit func(int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, j := range in[i] {
			visit(j)
			o.below[i].set(j)
			o.below[i].or(o.below[j])
		}
	}
	for i := range n {
		visit(i)
	}
	return o
}

func (o *order) before(a, b int) bool { return o.below[b].has(a) }

func (o *order) comparable(a, b int) bool { return o.before(a, b) || o.before(b, a) }

// decompose makes the tree of a set of nodes, which are in the order of the file.
func (o *order) decompose(set []int) *tree {
	if len(set) == 1 {
		return leaf(set[0])
	}
	if parts := components(set, o.comparable); len(parts) > 1 {
		return o.combine(parts, true)
	}
	parts := components(set, func(a, b int) bool { return !o.comparable(a, b) })
	if len(parts) == 1 {
		parts = o.cut(set)
	}
	// Between the parts all nodes are in order.
	sort.SliceStable(parts, func(i, j int) bool { return o.before(parts[i][0], parts[j][0]) })
	return o.combine(parts, false)
}

func (o *order) combine(parts [][]int, parallel bool) *tree {
	t := &tree{parallel: parallel}
	for _, p := range parts {
		c := o.decompose(p)
		if !c.isLeaf() && c.parallel == parallel {
			t.children = append(t.children, c.children...)
		} else {
			t.children = append(t.children, c)
		}
	}
	return t
}

// components splits a set into its parts that are connected by the relation.
func components(set []int, related func(a, b int) bool) [][]int {
	var parts [][]int
	left := append([]int(nil), set...)
	for len(left) > 0 {
		part := []int{left[0]}
		left = left[1:]
		for k := 0; k < len(part); k++ {
			rest := left[:0:0]
			for _, x := range left {
				if related(part[k], x) {
					part = append(part, x)
				} else {
					rest = append(rest, x)
				}
			}
			left = rest
		}
		sort.Ints(part)
		parts = append(parts, part)
	}
	return parts
}

// cut parts a set that is neither series nor parallel into two, so that few orders have to
// be added between the first and the second, and adds them.
func (o *order) cut(set []int) [][]int {
	mask := newBitset(o.n)
	for _, x := range set {
		mask.set(x)
	}
	level := map[int]int{}
	var depth func(int) int
	depth = func(x int) int {
		if d, ok := level[x]; ok {
			return d
		}
		d := 0
		for _, y := range set {
			if o.before(y, x) {
				d = max(d, depth(y)+1)
			}
		}
		level[x] = d
		return d
	}
	most := 0
	for _, x := range set {
		most = max(most, depth(x))
	}
	best, least := 0, -1
	for k := range most {
		lower := newBitset(o.n)
		n := 0
		for _, x := range set {
			if level[x] <= k {
				lower.set(x)
				n++
			}
		}
		cost := 0
		for _, x := range set {
			if level[x] > k {
				cost += n - o.below[x].count(lower)
			}
		}
		if least < 0 || cost < least {
			best, least = k, cost
		}
	}
	var low, high []int
	for _, x := range set {
		if level[x] <= best {
			low = append(low, x)
		} else {
			high = append(high, x)
		}
	}
	o.join(low, high)
	return [][]int{low, high}
}

// join puts every node of low before every node of high and notes the orders that are new
// and do not follow from others that are.
func (o *order) join(low, high []int) {
	maximal := func(x int) bool {
		for _, y := range low {
			if o.before(x, y) {
				return false
			}
		}
		return true
	}
	minimal := func(x int) bool {
		for _, y := range high {
			if o.before(y, x) {
				return false
			}
		}
		return true
	}
	for _, b := range high {
		for _, a := range low {
			if !o.before(a, b) && maximal(a) && minimal(b) {
				o.extra = append(o.extra, added{a, b})
			}
		}
	}
	lower := newBitset(o.n)
	for _, a := range low {
		lower.set(a)
		lower.or(o.below[a])
	}
	for _, b := range high {
		o.below[b].or(lower)
	}
	// What came after a node of high now comes after low too.
	for i := range o.n {
		for _, b := range high {
			if o.below[i].has(b) {
				o.below[i].or(lower)
				break
			}
		}
	}
}
