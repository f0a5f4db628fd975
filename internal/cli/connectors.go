package cli

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/connect/rest"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/connect/search"
	"github.com/tidemill/tidemill/internal/flow"
)

// aboard is a type of connection, and how one is opened for reading: a flow.Source or flow.Pages.
type aboard struct {
	flow.Connector
	source func(ctx context.Context, l *lookup, name string, s flow.Settings) (any, error)
}

// built is the list of what is aboard.
func built() []aboard {
	return []aboard{
		{Connector: awsauth.Connector},
		{Connector: s3.Connector},
		{Connector: rest.Connector, source: openREST},
		{Connector: opensearch.Connector},
		{Connector: opensearch.Elasticsearch},
		{Connector: search.Connector},
	}
}

// connectors are all types of connection. One that is known and not built yet is among them,
// so that its keys are checked and it is refused by name.
func connectors() []flow.Connector {
	var list []flow.Connector
	for _, b := range built() {
		list = append(list, b.Connector)
	}
	return append(list, planned()...)
}

// source opens a connection for reading.
func (l *lookup) source(ctx context.Context, name string) (any, error) {
	c, ok := l.connection(name)
	if !ok {
		return nil, usage("unknown connection %q", name)
	}
	for _, b := range built() {
		if b.Name != c.Type || b.source == nil {
			continue
		}
		s, err := l.a.settings(name, c)
		if err != nil {
			return nil, err
		}
		src, err := b.source(ctx, l, name, s)
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", name, err)
		}
		return src, nil
	}
	return nil, usage("connection %s is of type %s, which is not read", name, c.Type)
}

// openREST opens a web API, one for all steps of this process: they share its rate.
func openREST(_ context.Context, l *lookup, name string, s flow.Settings) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if api, ok := l.apis[name]; ok {
		return api, nil
	}
	var settings rest.Settings
	if err := s.Into(&settings); err != nil {
		return nil, err
	}
	api, err := rest.New(settings, rest.Options{Now: l.a.now, AWS: func(ctx context.Context, name string) (awsauth.Config, error) {
		return l.aws(ctx, orElse(name, l.t.AWS.Value))
	}})
	if err != nil {
		return nil, err
	}
	l.apis[name] = api
	return api, nil
}

// planned are the types of connection that the file format knows and this program does
// not do yet.
func planned() []flow.Connector {
	list := []flow.Connector{
		flow.Define[snowflakeKeys]("snowflake", "Snowflake.", flow.UseSource),
		flow.Define[postgresKeys]("postgres", "PostgreSQL.", flow.UseSource),
		flow.Define[duckdbKeys]("duckdb", "A DuckDB file.", flow.UseSource),
		flow.Define[smtpKeys]("smtp", "Mail.", flow.UseNotify),
		flow.Define[webhookKeys]("webhook", "A URL that is posted to.", flow.UseNotify),
		flow.Define[snsKeys]("sns", "An SNS topic.", flow.UseNotify),
	}
	for i := range list {
		list[i].Built = false
	}
	return list
}

type snowflakeKeys struct {
	Account    string      `key:"account" req:"1" doc:"The account's identifier."`
	User       string      `key:"user" doc:"The user."`
	PrivateKey flow.Secret `key:"private_key" doc:"The key pair's private key."`
	Password   flow.Secret `key:"password" doc:"The password."`
	Token      flow.Secret `key:"token" doc:"An OAuth or programmatic access token."`
	Role       string      `key:"role" doc:"The role."`
	Warehouse  string      `key:"warehouse" doc:"The warehouse."`
	Database   string      `key:"database" doc:"The database."`
	Schema     string      `key:"schema" doc:"The schema."`
}

type postgresKeys struct {
	URL flow.Secret `key:"url" req:"1" doc:"postgres://user:password@host/database."`
}

type duckdbKeys struct {
	Path string `key:"path" req:"1" doc:"The file."`
}

type smtpKeys struct {
	Host     string      `key:"host" req:"1" doc:"The mail server."`
	Port     int         `key:"port" def:"587" doc:"Its port."`
	User     string      `key:"user" doc:"The user."`
	Password flow.Secret `key:"password" doc:"The password."`
	From     string      `key:"from" req:"1" doc:"The sender."`
	To       any         `key:"to" req:"1" doc:"The receivers."`
}

type webhookKeys struct {
	URL flow.Secret `key:"url" req:"1" doc:"The URL."`
}

type snsKeys struct {
	Topic string `key:"topic" req:"1" doc:"The topic's ARN."`
	AWS   string `key:"aws" doc:"The aws connection."`
}
