package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/emr"
)

// The cluster journal; see emr.Journal.

const clusterColumns = "key, run, target, name, id, shared, intended, ended"

func scanCluster(scan func(...any) error) (emr.Cluster, error) {
	var c emr.Cluster
	var intended, ended int64
	err := scan(&c.Key, &c.Run, &c.Target, &c.Name, &c.ID, &c.Shared, &intended, &ended)
	c.Intended, c.Ended = fromMicros(intended), fromMicros(ended)
	return c, err
}

// IntendCluster keeps a cluster before it is made.
func (j *Journal) IntendCluster(ctx context.Context, c emr.Cluster) (emr.Cluster, bool, error) {
	out, mine := c, true
	err := j.do(ctx, func(x *tx) error {
		out, mine = c, true
		st, err := x.stmt("select " + clusterColumns + " from clusters where key = ? and ended = 0")
		if err != nil {
			return err
		}
		old, err := scanCluster(st.QueryRowContext(x.ctx, c.Key).Scan)
		if err == nil {
			out, mine = old, false
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = x.exec("insert or replace into clusters ("+clusterColumns+") values (?, ?, ?, ?, ?, ?, ?, 0)", c.Key, c.Run, c.Target, c.Name, c.ID, c.Shared, micros(c.Intended))
		return err
	})
	return out, mine, err
}

// MadeCluster gives the key's cluster its id.
func (j *Journal) MadeCluster(ctx context.Context, key, id string) error {
	return j.do(ctx, func(x *tx) error {
		_, err := x.exec("update clusters set id = ? where key = ?", id, key)
		return err
	})
}

// EndedCluster says that a cluster has ended.
func (j *Journal) EndedCluster(ctx context.Context, id string, at time.Time) error {
	return j.do(ctx, func(x *tx) error {
		_, err := x.exec("update clusters set ended = ? where id = ? and ended = 0", micros(at), id)
		return err
	})
}

// LiveClusters are those of a run, or of all runs, that are not known to have ended.
func (j *Journal) LiveClusters(ctx context.Context, run string) ([]emr.Cluster, error) {
	rows, err := j.read.QueryContext(ctx, "select "+clusterColumns+" from clusters where ended = 0 and (run = ? or ? = '') order by intended", run, run)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []emr.Cluster
	for rows.Next() {
		c, err := scanCluster(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
