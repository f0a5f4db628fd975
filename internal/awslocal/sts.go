package awslocal

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sts is the Security Token Service, in its query protocol. It keeps no state: what it must
// know of a session is in the session's token.
type sts struct{ now func() time.Time }

const stsXMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"

// session is what a token says.
type session struct {
	ARN, ID string
	Until   time.Time
}

var (
	roleARN     = regexp.MustCompile(`^arn:[a-z-]+:iam::(\d{12}):role/(?:.*/)?([\w+=,.@-]{1,64})$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		queryError(w, http.StatusBadRequest, "MalformedQueryString", err.Error())
		return
	}
	switch action := r.Form.Get("Action"); action {
	case "GetCallerIdentity":
		s.identity(w, r)
	case "AssumeRole":
		s.assume(w, r)
	case "GetSessionToken":
		s.token(w, r)
	default:
		queryError(w, http.StatusBadRequest, "InvalidAction", "Could not find operation "+action+" for version "+r.Form.Get("Version"))
	}
}

type metadata struct {
	RequestID string `xml:"RequestId"`
}

type keys struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

func (s *sts) identity(w http.ResponseWriter, r *http.Request) {
	who := session{ARN: "arn:aws:iam::" + account + ":root", ID: account}
	if token := r.Header.Get("X-Amz-Security-Token"); token != "" {
		var ok bool
		if who, ok = readToken(token); !ok {
			queryError(w, http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
			return
		}
		if s.now().After(who.Until) {
			queryError(w, http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
			return
		}
	}
	type result struct{ Arn, UserId, Account string } //nolint:revive // the names of the wire
	owner := account
	if p := strings.Split(who.ARN, ":"); len(p) > 4 {
		owner = p[4]
	}
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"GetCallerIdentityResponse"`
		NS       string   `xml:"xmlns,attr"`
		Result   result   `xml:"GetCallerIdentityResult"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{NS: stsXMLNS, Result: result{who.ARN, who.ID, owner}, Metadata: metadata{requestID()}})
}

// duration reads DurationSeconds.
func duration(r *http.Request, def, most int) (time.Duration, string) {
	text := r.Form.Get("DurationSeconds")
	if text == "" {
		return time.Duration(def) * time.Second, ""
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 900:
		return 0, fmt.Sprintf("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", text)
	case n > most:
		return 0, fmt.Sprintf("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to %d", text, most)
	}
	return time.Duration(n) * time.Second, ""
}

func (s *sts) assume(w http.ResponseWriter, r *http.Request) {
	arn, name := r.Form.Get("RoleArn"), r.Form.Get("RoleSessionName")
	role := roleARN.FindStringSubmatch(arn)
	life, wrong := duration(r, 3600, 43200)
	switch {
	case role == nil:
		wrong = arn + " is invalid"
	case !sessionName.MatchString(name):
		wrong = fmt.Sprintf("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	if wrong != "" {
		queryError(w, http.StatusBadRequest, "ValidationError", wrong)
		return
	}
	id := "AROA" + rand.Text()[:17] + ":" + name
	who := session{ARN: "arn:aws:sts::" + role[1] + ":assumed-role/" + role[2] + "/" + name, ID: id, Until: s.now().Add(life)}
	type user struct{ AssumedRoleId, Arn string } //nolint:revive // the names of the wire
	type result struct {
		AssumedRoleUser  user
		Credentials      keys
		PackedPolicySize int
	}
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"AssumeRoleResponse"`
		NS       string   `xml:"xmlns,attr"`
		Result   result   `xml:"AssumeRoleResult"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{NS: stsXMLNS, Result: result{user{id, who.ARN}, issue(who), 6}, Metadata: metadata{requestID()}})
}

func (s *sts) token(w http.ResponseWriter, r *http.Request) {
	life, wrong := duration(r, 43200, 129600)
	if wrong != "" {
		queryError(w, http.StatusBadRequest, "ValidationError", wrong)
		return
	}
	who := session{ARN: "arn:aws:iam::" + account + ":root", ID: account, Until: s.now().Add(life)}
	type result struct{ Credentials keys }
	writeXML(w, http.StatusOK, struct {
		XMLName  xml.Name `xml:"GetSessionTokenResponse"`
		NS       string   `xml:"xmlns,attr"`
		Result   result   `xml:"GetSessionTokenResult"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{NS: stsXMLNS, Result: result{issue(who)}, Metadata: metadata{requestID()}})
}

// tokenPrefix begins the tokens of this service.
const tokenPrefix = "tidemill-"

// issue makes keys for a session.
func issue(who session) keys {
	text, err := json.Marshal(who)
	if err != nil {
		panic(err) // texts and a time
	}
	return keys{
		AccessKeyID: "ASIA" + rand.Text()[:16], SecretAccessKey: (rand.Text() + rand.Text())[:40],
		SessionToken: tokenPrefix + base64.RawURLEncoding.EncodeToString(text),
		Expiration:   who.Until.UTC().Format("2006-01-02T15:04:05Z"),
	}
}

func readToken(token string) (session, bool) {
	var who session
	text, ok := strings.CutPrefix(token, tokenPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || json.Unmarshal(raw, &who) != nil {
		return session{}, false
	}
	return who, true
}

// requestID is a fresh id in the form of AWS's.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) //nolint:errcheck // it cannot fail
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// queryError answers as services of the query protocol do.
func queryError(w http.ResponseWriter, status int, code, message string) {
	type fault struct{ Type, Code, Message string }
	writeXML(w, status, struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		NS        string   `xml:"xmlns,attr"`
		Error     fault
		RequestID string `xml:"RequestId"`
	}{NS: stsXMLNS, Error: fault{"Sender", code, message}, RequestID: requestID()})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(v) //nolint:errcheck // the client has gone
}
