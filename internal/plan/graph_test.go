package plan

import (
	"math/rand/v2"
	"testing"
)

// orders returns the pairs that a tree puts in order, and counts each node.
func orders(t *tree, n int) (before [][]bool, seen []int) {
	before = make([][]bool, n)
	for i := range before {
		before[i] = make([]bool, n)
	}
	seen = make([]int, n)
	var walk func(*tree) []int
	walk = func(t *tree) []int {
		if t.isLeaf() {
			seen[t.node]++
			return []int{t.node}
		}
		var all []int
		for _, c := range t.children {
			nodes := walk(c)
			if !t.parallel {
				for _, a := range all {
					for _, b := range nodes {
						before[a][b] = true
					}
				}
			}
			all = append(all, nodes...)
		}
		return all
	}
	walk(t)
	return before, seen
}

func TestNoOrderIsLost(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		n := 1 + r.IntN(14)
		var edges [][2]int
		for i := range n {
			for j := range i {
				if r.IntN(4) == 0 {
					edges = append(edges, [2]int{j, i})
				}
			}
		}
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		o := newOrder(n, edges)
		before, seen := orders(o.decompose(all), n)
		for i, s := range seen {
			if s != 1 {
				t.Fatalf("seed %d: node %d stands %d times in the tree of %v", seed, i, s, edges)
			}
		}
		closed := newOrder(n, edges)
		for a := range n {
			for b := range n {
				if closed.before(a, b) && !before[a][b] {
					t.Fatalf("seed %d: %d before %d is lost in the tree of %v", seed, a, b, edges)
				}
				if before[a][b] && !closed.before(a, b) && len(o.extra) == 0 {
					t.Fatalf("seed %d: %d before %d is added in silence to %v", seed, a, b, edges)
				}
			}
		}
		// The orders that are told, with those of the file, give all.
		for _, x := range o.extra {
			edges = append(edges, [2]int{x.before, x.after})
		}
		told := newOrder(n, edges)
		for a := range n {
			for b := range n {
				if before[a][b] != told.before(a, b) {
					t.Fatalf("seed %d: told %v, but %d before %d is %v in the tree of %v", seed, o.extra, a, b, before[a][b], edges)
				}
			}
		}
	}
}

func TestSeriesParallelNeedsNothing(t *testing.T) {
	t.Parallel()
	for name, edges := range map[string][][2]int{
		"chain":     {{0, 1}, {1, 2}, {2, 3}},
		"diamond":   {{0, 1}, {0, 2}, {1, 3}, {2, 3}},
		"two":       {{0, 1}, {2, 3}},
		"bipartite": {{0, 2}, {0, 3}, {1, 2}, {1, 3}},
	} {
		o := newOrder(4, edges)
		o.decompose([]int{0, 1, 2, 3})
		if len(o.extra) != 0 {
			t.Errorf("%s: added %v", name, o.extra)
		}
	}
	o := newOrder(4, [][2]int{{0, 2}, {0, 3}, {1, 3}})
	o.decompose([]int{0, 1, 2, 3})
	if len(o.extra) != 1 {
		t.Errorf("N: added %v, want one order", o.extra)
	}
}
