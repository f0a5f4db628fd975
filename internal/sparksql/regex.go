package sparksql

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// regexText is a Java pattern in RE2's words.
type regexText struct {
	re2    string
	groups int
	empty  bool // it matches an empty text
	end    bool // it has a $ whose meaning in Java depends on a final line break
}

const (
	javaDot     = `[^\n\r\x{85}\x{2028}\x{2029}]`
	javaLineEnd = `(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z`
)

// javaRegex turns the part of Java's patterns that RE2 has too into RE2. What differs in
// meaning, or might, is an error. matching allows the rewrite of $ that takes the final
// line break into the match, which only a yes-or-no question may do.
func javaRegex(p string, matching bool) (regexText, error) {
	r := regexText{}
	var b strings.Builder
	if strings.Contains(p, "(?") {
		for rest := p; ; {
			i := strings.Index(rest, "(?")
			if i < 0 {
				break
			}
			if !strings.HasPrefix(rest[i:], "(?:") {
				return r, errors.New("only (?: … ) of the (? … ) forms means the same in both engines")
			}
			rest = rest[i+2:]
		}
	}
	rs := []rune(p)
	for i := 0; i < len(rs); i++ {
		switch c := rs[i]; c {
		case '\\':
			i++
			if i >= len(rs) {
				return r, errors.New("it ends in a backslash")
			}
			s, err := javaEscape(rs[i], false)
			if err != nil {
				return r, err
			}
			b.WriteString(s)
		case '.':
			b.WriteString(javaDot)
		case '$':
			r.end = true
			if matching {
				b.WriteString(javaLineEnd)
			} else {
				b.WriteString(`\z`)
			}
		case '[':
			n, s, err := javaClass(rs[i:])
			if err != nil {
				return r, err
			}
			b.WriteString(s)
			i += n - 1
		case '*', '+', '?', '}':
			b.WriteRune(c)
			if i+1 < len(rs) && rs[i+1] == '+' {
				return r, errors.New("possessive quantifiers are not in RE2")
			}
		case '{':
			if !repeatAt(string(rs[i:])) {
				return r, errors.New("a brace that is no repetition")
			}
			b.WriteRune(c)
		case '^':
			b.WriteString(`\A`)
		default:
			b.WriteRune(c)
		}
	}
	r.re2 = b.String()
	re, err := regexp.Compile(r.re2)
	if err != nil {
		return r, fmt.Errorf("RE2 does not take it: %w", err)
	}
	r.groups, r.empty = re.NumSubexp(), re.MatchString("")
	return r, nil
}

var repeatRE = regexp.MustCompile(`^\{\d+(,\d*)?\}`)

func repeatAt(s string) bool { return repeatRE.MatchString(s) }

// javaEscape gives what stands behind a backslash.
func javaEscape(c rune, inClass bool) (string, error) {
	switch c {
	case 'd', 'D', 'w', 'W':
		return `\` + string(c), nil
	case 's':
		if inClass {
			return `\t\n\x0B\f\r `, nil
		}
		return `[\t\n\x0B\f\r ]`, nil
	case 'S':
		if inClass {
			return "", errors.New(`\S inside [ ] is not translated`)
		}
		return `[^\t\n\x0B\f\r ]`, nil
	case 't', 'n', 'r', 'f', 'a':
		return `\` + string(c), nil
	case 'A', 'z':
		if !inClass {
			return `\` + string(c), nil
		}
	}
	if c < 0x80 && !isWordByte(byte(c)) {
		return regexp.QuoteMeta(string(c)), nil
	}
	return "", fmt.Errorf(`\%c is not translated`, c)
}

// javaClass reads [ … ] without nesting and intersection, which RE2 has not.
func javaClass(rs []rune) (int, string, error) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if i < len(rs) && rs[i] == '^' {
		b.WriteByte('^')
		i++
	}
	start := i
	for ; i < len(rs); i++ {
		switch c := rs[i]; {
		case c == ']' && i > start:
			b.WriteByte(']')
			return i + 1, b.String(), nil
		case c == ']', c == '[':
			return 0, "", errors.New("a bracket inside [ ] means different things in the two engines: write it with a backslash")
		case c == '&' && i+1 < len(rs) && rs[i+1] == '&':
			return 0, "", errors.New("&& inside [ ] is not in RE2")
		case c == '\\':
			i++
			if i >= len(rs) {
				return 0, "", errors.New("it ends in a backslash")
			}
			s, err := javaEscape(rs[i], true)
			if err != nil {
				return 0, "", err
			}
			if rs[i] == '-' || rs[i] == '^' {
				s = `\` + string(rs[i])
			}
			b.WriteString(s)
		default:
			b.WriteRune(c)
		}
	}
	return 0, "", errors.New("[ is not closed")
}

// javaReplacement turns $1 and \$ of a replacement into RE2's words.
func javaReplacement(s string, groups int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i >= len(s) {
				return "", errors.New("it ends in a backslash")
			}
			if s[i] == '\\' {
				b.WriteString(`\\`)
			} else {
				b.WriteByte(s[i])
			}
		case '$':
			i++
			if i >= len(s) || !isDigit(s[i]) {
				return "", errors.New("$ wants the number of a group")
			}
			n := int(s[i] - '0')
			if n > groups {
				return "", fmt.Errorf("there is no group %d", n)
			}
			if i+1 < len(s) && isDigit(s[i+1]) && n*10+int(s[i+1]-'0') <= groups {
				return "", errors.New("groups above 9 are not in RE2's replacements")
			}
			fmt.Fprintf(&b, `\%d`, n)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
