package cli

import (
	"github.com/tidemill/tidemill/internal/awsauth"
	"github.com/tidemill/tidemill/internal/connect/opensearch"
	"github.com/tidemill/tidemill/internal/connect/s3"
	"github.com/tidemill/tidemill/internal/connect/search"
	"github.com/tidemill/tidemill/internal/flow"
)

// connectors is the list of what is aboard. A type that is known and not built yet is in
// the list too, so that its keys are checked and it is refused by name.
func connectors() []flow.Connector {
	return append([]flow.Connector{awsauth.Connector, s3.Connector, opensearch.Connector, opensearch.Elasticsearch, search.Connector}, planned()...)
}

// planned are the types of connection that the file format knows and this program does
// not do yet.
func planned() []flow.Connector {
	list := []flow.Connector{
		flow.Define[restKeys]("rest", "A web API.", flow.UseSource),
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

type restKeys struct {
	URL     string    `key:"url" req:"1" doc:"The API's base URL."`
	Auth    *restAuth `key:"auth" doc:"How requests are authenticated."`
	Headers any       `key:"headers" doc:"Headers of every request."`
	Rate    string    `key:"rate" doc:"The most requests, as in 10/s."`
	Timeout string    `key:"timeout" def:"30s" doc:"The longest a request may take."`
}

type restAuth struct {
	Bearer flow.Secret `key:"bearer" doc:"A bearer token."`
	Basic  *basicAuth  `key:"basic" doc:"A user and a password."`
	APIKey any         `key:"api_key" doc:"A key: {header or query, value}."`
	OAuth2 any         `key:"oauth2" doc:"Client credentials: {token_url, client_id, client_secret, scopes}."`
	AWS    any         `key:"aws" doc:"Signed for AWS: {service, region}."`
}

type basicAuth struct {
	User     string      `key:"user" req:"1" doc:"The user."`
	Password flow.Secret `key:"password" req:"1" doc:"The password."`
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
