package flow

import "context"

// Catalog is where query engines look tables up: which columns a table has, and where it and
// its partitions lie.
type Catalog interface {
	// Place makes the table show what it is given, and makes it where it is missing. To repeat
	// it is harmless; partitions that are not named stay as they are.
	Place(ctx context.Context, t CatalogTable) error
}

// CatalogTable is a table as it is to be shown.
type CatalogTable struct {
	Name        string // DATABASE.TABLE
	Format      string // parquet, csv, ndjson
	Schema      Schema // without the partitions' columns
	PartitionBy Schema // the partitions' columns in their order; empty: the table is one
	Location    string // URI of the folder with the files, or with the partitions
	Partitions  []CatalogPartition
	Gone        [][]string // values of partitions that have no files any more
}

// CatalogPartition is one partition's place.
type CatalogPartition struct {
	Values   []string
	Location string // URI of its folder
}
