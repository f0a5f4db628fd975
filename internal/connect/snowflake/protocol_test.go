package snowflake_test

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// protocol plays what the stand-in for Snowflake lacks, as the driver's wire behaviour has
// it: logins that are checked, sessions that end, results in chunks, unloads to a stage.
type protocol struct {
	t     *testing.T
	url   string
	stage string // folder

	mu       sync.Mutex
	key      *rsa.PublicKey
	session  string // the token that is good
	expire   int    // so many queries find the session expired
	slow     bool   // a query never ends
	cut      map[string]int
	chunks   map[string][]byte
	queries  []string // what was asked
	tags     []any
	binds    []any
	logins   int
	renewals int
	aborted  int
	status   string // of the query that is asked for by id
	login    map[string]any
}

func newProtocol(t *testing.T) *protocol {
	p := &protocol{t: t, stage: t.TempDir(), session: "s1", cut: map[string]int{}, chunks: map[string][]byte{}, status: "SUCCESS"}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

type m = map[string]any

func (p *protocol) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(r.Body); err == nil {
			body = z
		}
	}
	var in m
	json.NewDecoder(body).Decode(&in) //nolint:errcheck // some have no body
	switch {
	case r.URL.Path == "/session/v1/login-request":
		p.answer(w, p.logIn(in))
	case r.URL.Path == "/session/token-request":
		p.mu.Lock()
		p.renewals++
		p.session = fmt.Sprintf("s%d", p.renewals+1)
		p.answer(w, m{"success": true, "data": m{"sessionToken": p.session, "masterToken": "master", "sessionId": 1, "validityInSecondsST": 3600, "validityInSecondsMT": 3600}})
		p.mu.Unlock()
	case r.URL.Path == "/queries/v1/query-request":
		p.answer(w, p.query(r, in))
	case r.URL.Path == "/queries/v1/abort-request":
		p.mu.Lock()
		p.aborted++
		p.mu.Unlock()
		p.answer(w, m{"success": true})
	case r.URL.Path == "/slow-result":
		<-r.Context().Done()
	case strings.HasPrefix(r.URL.Path, "/monitoring/queries/"):
		p.answer(w, m{"success": true, "data": m{"queries": []m{{"status": p.status}}}})
	case strings.HasPrefix(r.URL.Path, "/chunk/"):
		p.chunk(w, r)
	case strings.HasPrefix(r.URL.Path, "/stage/"):
		http.ServeFile(w, r, filepath.Join(p.stage, strings.TrimPrefix(r.URL.Path, "/stage/")))
	default:
		p.answer(w, m{"success": true, "data": m{}})
	}
}

func (*protocol) answer(w http.ResponseWriter, v m) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client would notice
}

func (p *protocol) chunk(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	data := p.chunks[r.URL.Path]
	p.cut[r.URL.Path]--
	cut := p.cut[r.URL.Path] >= 0
	p.mu.Unlock()
	if r.Header.Get("X-Chunk") != "yes" {
		http.Error(w, "no header", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if cut {
		w.Write(data[:len(data)/2])           //nolint:errcheck // it is cut
		http.NewResponseController(w).Flush() //nolint:errcheck // it is cut
		panic(http.ErrAbortHandler)
	}
	w.Write(data) //nolint:errcheck // the client would notice
}

func (p *protocol) logIn(in m) m {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logins++
	data, _ := in["data"].(m)
	p.login = data
	refused := func(code, text string) m { return m{"success": false, "code": code, "message": text, "data": m{}} }
	switch data["AUTHENTICATOR"] {
	case "SNOWFLAKE_JWT":
		if err := p.checkJWT(fmt.Sprint(data["TOKEN"])); err != nil {
			return refused("390144", "JWT token is invalid. "+err.Error())
		}
	case "OAUTH", "PROGRAMMATIC_ACCESS_TOKEN":
		if data["TOKEN"] != "good token" {
			return refused("390303", "Invalid access token.")
		}
	default:
		if data["PASSWORD"] != "pw" {
			return refused("390100", "Incorrect username or password was specified.")
		}
	}
	return m{"success": true, "data": m{"token": p.session, "masterToken": "master", "sessionId": 1, "parameters": []m{{"name": "TIMEZONE", "value": "UTC"}}, "sessionInfo": m{"databaseName": "SHOP", "roleName": "ETL"}}}
}

// checkJWT holds a token against the user's public key, as Snowflake's guide to key-pair
// authentication has it: issuer ACCOUNT.USER.SHA256:fingerprint, RS256.
func (p *protocol) checkJWT(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return err
	}
	print := sha256.Sum256(der)
	if want := "ACME.ETL.SHA256:" + base64.StdEncoding.EncodeToString(print[:]); !strings.Contains(string(claims), want) {
		return fmt.Errorf("claims %s lack %s", claims, want)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPKCS1v15(p.key, crypto.SHA256, sum[:], sig)
}

func (p *protocol) query(r *http.Request, in m) m {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != fmt.Sprintf(`Snowflake Token="%s"`, p.session) {
		return m{"success": false, "code": "390104", "message": "no such session"}
	}
	if p.expire > 0 {
		p.expire--
		return m{"success": false, "code": "390112", "message": "Your session has expired. Please login again.", "data": m{}}
	}
	text := fmt.Sprint(in["sqlText"])
	p.queries = append(p.queries, text)
	params, _ := in["parameters"].(m)
	p.tags = append(p.tags, params["QUERY_TAG"])
	p.binds = append(p.binds, in["bindings"])
	switch {
	case p.slow:
		return m{"success": true, "code": "333333", "data": m{"queryId": "q-slow", "getResultUrl": "/slow-result"}}
	case strings.HasPrefix(text, "copy into"):
		return p.copyInto(text)
	case strings.HasPrefix(text, "list "):
		return p.list()
	case strings.HasPrefix(text, "get "):
		return p.get(text)
	case strings.HasPrefix(text, "remove "):
		os.RemoveAll(p.stage) //nolint:errcheck // the test looks
		return p.texts([]string{"name"}, nil)
	case strings.Contains(text, "nosuch"):
		return m{"success": false, "code": "002003", "message": "SQL compilation error: Object 'NOSUCH' does not exist or not authorized.", "data": m{"queryId": "q-bad", "sqlState": "42S02"}}
	case strings.HasPrefix(text, "show"):
		return p.texts([]string{"name", "kind"}, [][]any{{"T1", nil}, {"T2", "TABLE"}})
	}
	return m{"success": true, "data": p.result()}
}

func (p *protocol) texts(names []string, rows [][]any) m {
	types := []m{}
	for _, n := range names {
		types = append(types, m{"name": n, "type": "text", "nullable": true})
	}
	if rows == nil {
		rows = [][]any{}
	}
	return m{"success": true, "data": m{"rowtype": types, "rowset": rows, "total": len(rows), "returned": len(rows), "queryId": "q-texts", "queryResultFormat": "json"}}
}

// wireFields are every type, as Snowflake sends it: numbers as the smallest whole number,
// instants as whole numbers or structs.
var seconds3 = arrow.StructOf(arrow.Field{Name: "epoch", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, arrow.Field{Name: "fraction", Type: arrow.PrimitiveTypes.Int32, Nullable: true})
var zoned3 = arrow.StructOf(arrow.Field{Name: "epoch", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, arrow.Field{Name: "fraction", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, arrow.Field{Name: "timezone", Type: arrow.PrimitiveTypes.Int32, Nullable: true})
var zoned2 = arrow.StructOf(arrow.Field{Name: "epoch", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, arrow.Field{Name: "timezone", Type: arrow.PrimitiveTypes.Int32, Nullable: true})

var wireFields = []struct {
	name, kind       string
	precision, scale int
	typ              arrow.DataType
	value, want      string // in JSON
}{
	{"TINY", "fixed", 3, 0, arrow.PrimitiveTypes.Int8, "-7", `-7`},
	{"BIG", "fixed", 18, 0, arrow.PrimitiveTypes.Int64, "999999999999999999", `999999999999999999`},
	{"N380", "fixed", 38, 0, &arrow.Decimal128Type{Precision: 38}, `"99999999999999999999999999999999999999"`, `99999999999999999999999999999999999999`},
	{"SMALL380", "fixed", 38, 0, arrow.PrimitiveTypes.Int8, "5", `5`},
	{"MONEY", "fixed", 12, 2, arrow.PrimitiveTypes.Int32, "-1230", `-12.30`},
	{"EXACT", "fixed", 38, 10, &arrow.Decimal128Type{Precision: 38, Scale: 10}, `"1.0000000001"`, `1.0000000001`},
	{"F", "real", 0, 0, arrow.PrimitiveTypes.Float64, "0.1", `0.1`},
	{"S", "text", 0, 0, arrow.BinaryTypes.String, `"te\"xt"`, `"te\"xt"`},
	{"B", "boolean", 0, 0, arrow.FixedWidthTypes.Boolean, "true", `true`},
	{"BIN", "binary", 0, 0, arrow.BinaryTypes.Binary, `"3q2+7w=="`, `"3q2+7w=="`},
	{"D", "date", 0, 0, arrow.FixedWidthTypes.Date32, `"2026-01-05"`, `"2026-01-05"`},
	{"T9", "time", 0, 9, arrow.PrimitiveTypes.Int64, "36672500000000", `"10:11:12.5"`},
	{"T0", "time", 0, 0, arrow.PrimitiveTypes.Int32, "36672", `"10:11:12"`},
	{"NTZ9", "timestamp_ntz", 0, 9, seconds3, `{"epoch": 1767607872, "fraction": 123456789}`, `"2026-01-05T10:11:12.123456"`},
	{"NTZ3", "timestamp_ntz", 0, 3, arrow.PrimitiveTypes.Int64, "-1", `"1969-12-31T23:59:59.999"`},
	{"NTZ0", "timestamp_ntz", 0, 0, arrow.PrimitiveTypes.Int64, "-62135596800", `"0001-01-01T00:00:00"`},
	{"LTZ9", "timestamp_ltz", 0, 9, seconds3, `{"epoch": 1767607872, "fraction": 0}`, `"2026-01-05T10:11:12Z"`},
	{"TZ9", "timestamp_tz", 0, 9, zoned3, `{"epoch": 1767607872, "fraction": 500000000, "timezone": 1560}`, `"2026-01-05T10:11:12.5Z"`},
	{"TZ3", "timestamp_tz", 0, 3, zoned2, `{"epoch": 1767607872500, "timezone": 1320}`, `"2026-01-05T10:11:12.5Z"`},
	{"V", "variant", 0, 0, arrow.BinaryTypes.String, `"{\n  \"a\": 1\n}"`, `"{\n  \"a\": 1\n}"`},
	{"O", "object", 0, 0, arrow.BinaryTypes.String, `"{}"`, `"{}"`},
	{"A", "array", 0, 0, arrow.BinaryTypes.String, `"[1,2]"`, `"[1,2]"`},
}

// wireBatch makes n rows, the second of each three NULL throughout.
func (p *protocol) wireBatch(n int) arrow.RecordBatch {
	fields := make([]arrow.Field, len(wireFields))
	value, null := []string{}, []string{}
	for i, f := range wireFields {
		fields[i] = arrow.Field{Name: f.name, Type: f.typ, Nullable: true}
		value = append(value, fmt.Sprintf("%q: %s", f.name, f.value))
		null = append(null, fmt.Sprintf("%q: null", f.name))
	}
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "{" + strings.Join(value, ",") + "}"
		if i%3 == 1 {
			rows[i] = "{" + strings.Join(null, ",") + "}"
		}
	}
	b, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader("["+strings.Join(rows, ",")+"]"))
	if err != nil {
		p.t.Error(err)
	}
	return b
}

// stream is an IPC stream of several batches of n rows.
func (p *protocol) stream(batches, n int) []byte {
	b := p.wireBatch(n)
	defer b.Release()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(b.Schema()))
	for range batches {
		if err := w.Write(b); err != nil {
			p.t.Error(err)
		}
	}
	if err := w.Close(); err != nil {
		p.t.Error(err)
	}
	return out.Bytes()
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(data) //nolint:errcheck // into memory
	z.Close()     //nolint:errcheck // into memory
	return out.Bytes()
}

// resultRows are those of a result: ten in the answer, and six chunks of three batches.
const resultRows = 10 + 6*3*100

func (p *protocol) result() m {
	types := []m{}
	for _, f := range wireFields {
		types = append(types, m{"name": f.name, "type": f.kind, "precision": f.precision, "scale": f.scale, "nullable": true})
	}
	chunks := []m{}
	for i := range 6 {
		path := fmt.Sprintf("/chunk/%d", i)
		data := p.stream(3, 100)
		if i%2 == 0 {
			data = zipped(data)
		}
		p.chunks[path] = data
		chunks = append(chunks, m{"url": p.url + path, "rowCount": 300, "uncompressedSize": 1000, "compressedSize": len(data)})
	}
	return m{"rowtype": types, "rowsetBase64": base64.StdEncoding.EncodeToString(p.stream(1, 10)), "chunks": chunks, "chunkHeaders": m{"X-Chunk": "yes"}, "total": resultRows, "returned": resultRows, "queryId": "q-1", "queryResultFormat": "arrow"}
}

var intoStage = regexp.MustCompile(`^copy into @~/(tidemill/[A-Z0-9]+)/ from \(select (.*) from table\(result_scan\('q-1'\)\)\) file_format = \(type = parquet\) header = true overwrite = true$`)

// copyInto writes the result as Parquet files, with instants as Parquet has them.
func (p *protocol) copyInto(text string) m {
	found := intoStage.FindStringSubmatch(text)
	if found == nil {
		return m{"success": false, "code": "001003", "message": "SQL compilation error: " + text, "data": m{"sqlState": "42000"}}
	}
	for _, want := range []string{`convert_timezone('UTC', "TZ9")::timestamp_ntz as "TZ9"`, `to_json("V") as "V"`, `"T9"::string as "T9"`, `, "MONEY",`} {
		if !strings.Contains(found[2], want) {
			p.t.Errorf("%s lacks %s", found[2], want)
		}
	}
	dir := filepath.Join(p.stage, found[1])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Error(err)
	}
	fields, value := []arrow.Field{}, []string{}
	for _, f := range wireFields {
		typ, v := f.typ, f.want
		switch f.kind {
		case "fixed":
			typ = &arrow.Decimal128Type{Precision: int32(f.precision), Scale: int32(f.scale)}
			v = `"` + f.want + `"`
		case "time":
			typ = arrow.BinaryTypes.String
		case "timestamp_ntz", "timestamp_ltz", "timestamp_tz":
			typ = &arrow.TimestampType{Unit: arrow.Millisecond}
			v = strings.Replace(strings.ReplaceAll(f.want, "Z", ""), "123456", "123", 1)
		}
		fields = append(fields, arrow.Field{Name: f.name, Type: typ, Nullable: true})
		value = append(value, fmt.Sprintf("%q: %s", f.name, v))
	}
	row := "{" + strings.Join(value, ",") + "}"
	for i := range 2 {
		rows := "[" + strings.TrimSuffix(strings.Repeat(row+",", resultRows/2), ",") + "]"
		b, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader(rows))
		if err != nil {
			p.t.Error(err)
			continue
		}
		out, err := os.Create(filepath.Join(dir, fmt.Sprintf("data_0_0_%d.snappy.parquet", i)))
		if err != nil {
			p.t.Error(err)
			continue
		}
		w, err := pqarrow.NewFileWriter(b.Schema(), out, nil, pqarrow.DefaultWriterProps())
		if err == nil {
			err = w.Write(b)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			p.t.Error(err)
		}
		b.Release()
	}
	return p.texts([]string{"rows_unloaded"}, [][]any{{fmt.Sprint(resultRows)}})
}

func (p *protocol) list() m {
	var rows [][]any
	files, err := filepath.Glob(filepath.Join(p.stage, "tidemill/*/*"))
	if err != nil {
		p.t.Error(err)
	}
	for _, f := range files {
		rel, _ := filepath.Rel(p.stage, f) //nolint:errcheck // it lies there
		rows = append(rows, []any{rel, "1", "md5", "now"})
	}
	return p.texts([]string{"name", "size", "md5", "last_modified"}, rows)
}

var getForm = regexp.MustCompile(`^get @~/(\S+) 'file://([^']+)'$`)

func (p *protocol) get(text string) m {
	found := getForm.FindStringSubmatch(text)
	if found == nil {
		return m{"success": false, "code": "001003", "message": "SQL compilation error: " + text, "data": m{}}
	}
	return m{"success": true, "data": m{"command": "DOWNLOAD", "localLocation": found[2], "src_locations": []string{found[1]}, "parallel": 1, "presignedUrls": []string{p.url + "/stage/" + found[1]},
		"stageInfo": m{"locationType": "GCS", "location": "stage/"}, "queryId": "q-get"}}
}
