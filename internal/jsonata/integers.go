package jsonata

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

type style uint8

const (
	styleDecimal style = iota
	styleLetters
	styleRoman
	styleWords
	styleSequence
)

type letterCase uint8

const (
	caseLower letterCase = iota
	caseUpper
	caseTitle
)

// intPicture is an analysed picture of an integer, as XPath's format-integer takes it.
type intPicture struct {
	style     style
	letters   letterCase
	ordinal   bool
	zero      rune // of the family of decimal digits
	mandatory int
	optional  int
	regular   int // distance of the separators; 0 where they are not regular
	seps      []separator
	token     string
	width     int // exact number of digits to parse, where another number follows directly
}

type separator struct {
	at   int // digits to the right
	char string
}

// zeros are the digit zero of each family of decimal digits.
var zeros = []rune{0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
	0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
	0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10}

func analyseInteger(picture string) (*intPicture, error) {
	p := &intPicture{}
	primary := picture
	if i := strings.LastIndexByte(picture, ';'); i >= 0 {
		primary = picture[:i]
		p.ordinal = strings.HasPrefix(picture[i+1:], "o")
	}
	switch primary {
	case "A", "a":
		p.style = styleLetters
	case "I", "i":
		p.style = styleRoman
	case "W", "w", "Ww":
		p.style = styleWords
	default:
		return p, p.digits(primary)
	}
	switch primary {
	case "A", "I", "W":
		p.letters = caseUpper
	case "Ww":
		p.letters = caseTitle
	}
	return p, nil
}

// digits reads a pattern of decimal digits from its right end.
func (p *intPicture) digits(primary string) error {
	chars := []rune(primary)
	at := 0
	for i := len(chars) - 1; i >= 0; i-- {
		zero := rune(0)
		for _, z := range zeros {
			if chars[i] >= z && chars[i] <= z+9 {
				zero = z
				break
			}
		}
		switch {
		case zero != 0:
			if p.zero != 0 && p.zero != zero {
				return fault("D3131")
			}
			p.zero = zero
			p.mandatory++
			at++
		case chars[i] == '#':
			p.optional++
			at++
		default:
			p.seps = append(p.seps, separator{at, string(chars[i])})
		}
	}
	if p.mandatory == 0 {
		p.style, p.token = styleSequence, primary
		return nil
	}
	if p.mandatory > 10_000 {
		return fault("D1014")
	}
	p.regular = regularDistance(p.seps)
	return nil
}

// regularDistance is the distance at which equal separators repeat, or 0.
func regularDistance(seps []separator) int {
	at := make([]int, len(seps))
	for i, s := range seps {
		if s.char != seps[0].char {
			return 0
		}
		at[i] = s.at
	}
	return regularOf(at)
}

// regularOf is the greatest common divisor of positions that are all its multiples, or 0.
func regularOf(at []int) int {
	if len(at) == 0 {
		return 0
	}
	g := at[0]
	for _, v := range at[1:] {
		for a, b := g, v; ; {
			if b == 0 {
				g = a
				break
			}
			a, b = b, a%b
		}
	}
	have := map[int]bool{}
	for _, v := range at {
		have[v] = true
	}
	for i := 1; i <= len(at); i++ {
		if !have[i*g] {
			return 0
		}
	}
	return g
}

func fnFormatInteger(_ Call, args []any) (any, error) {
	picture, ok := args[1].(string)
	if !ok {
		return Undefined, nil
	}
	p, err := analyseInteger(picture)
	if err != nil {
		return nil, err
	}
	return p.format(math.Floor(args[0].(float64)))
}

func (p *intPicture) format(f float64) (string, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return "", faultValue("D1001", f)
	}
	abs := math.Abs(f)
	var out string
	switch p.style {
	case styleLetters:
		out = letters(abs, p.letters)
	case styleRoman:
		if abs > 1e6 {
			return "", faultValue("D1001", f)
		}
		out = roman(int(abs))
		if p.letters == caseUpper {
			out = strings.ToUpper(out)
		}
	case styleWords:
		out = words(abs, false, p.ordinal)
		switch p.letters {
		case caseUpper:
			out = strings.ToUpper(out)
		case caseLower:
			out = strings.ToLower(out)
		}
	case styleDecimal:
		out = p.decimal(abs)
	default:
		return "", faultValue("D3130", p.token)
	}
	if f < 0 {
		out = "-" + out
	}
	return out, nil
}

func (p *intPicture) decimal(f float64) string {
	text := FormatNumber(f)
	if n := p.mandatory - len(text); n > 0 {
		text = strings.Repeat("0", n) + text
	}
	digits := []string{}
	for _, r := range text {
		if r >= '0' && r <= '9' {
			r += p.zero - '0'
		}
		digits = append(digits, string(r))
	}
	insert := func(at int, sep string) {
		if i := len(digits) - at; i >= 0 && i <= len(digits) {
			digits = append(digits[:i], append([]string{sep}, digits[i:]...)...)
		}
	}
	if p.regular > 0 {
		n := (len(digits) - 1) / p.regular
		for i := n; i > 0; i-- {
			insert(i*p.regular, p.seps[0].char)
		}
	} else {
		for i := len(p.seps) - 1; i >= 0; i-- {
			insert(p.seps[i].at, p.seps[i].char)
		}
	}
	if !p.ordinal {
		return strings.Join(digits, "")
	}
	suffix := map[string]string{"1": "st", "2": "nd", "3": "rd"}[digits[len(digits)-1]]
	if suffix == "" || len(digits) > 1 && digits[len(digits)-2] == "1" {
		suffix = "th"
	}
	return strings.Join(digits, "") + suffix
}

// letters counts as the columns of a spreadsheet do.
func letters(f float64, c letterCase) string {
	first := byte('a')
	if c == caseUpper {
		first = 'A'
	}
	n, _ := big.NewFloat(f).Int(nil)
	one, base, rest := big.NewInt(1), big.NewInt(26), new(big.Int)
	var out []byte
	for n.Sign() > 0 {
		n.Sub(n, one)
		n.DivMod(n, base, rest)
		out = append(out, first+byte(rest.Int64()))
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}

var romans = []struct {
	n    int
	text string
}{{1000, "m"}, {900, "cm"}, {500, "d"}, {400, "cd"}, {100, "c"}, {90, "xc"}, {50, "l"}, {40, "xl"}, {10, "x"}, {9, "ix"}, {5, "v"}, {4, "iv"}, {1, "i"}}

func roman(n int) string {
	var b strings.Builder
	for _, r := range romans {
		for n >= r.n {
			b.WriteString(r.text)
			n -= r.n
		}
	}
	return b.String()
}

var (
	few = []string{"Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve", "Thirteen",
		"Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen"}
	fewOrdinals = []string{"Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth", "Eleventh",
		"Twelfth", "Thirteenth", "Fourteenth", "Fifteenth", "Sixteenth", "Seventeenth", "Eighteenth", "Nineteenth"}
	decades    = []string{"Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety", "Hundred"}
	magnitudes = []string{"Thousand", "Million", "Billion", "Trillion"}
)

// words writes a number in English. follows says that it stands behind a larger part.
func words(f float64, follows, ordinal bool) string {
	join := func(sep, s string) string {
		if follows {
			return sep + s
		}
		return s
	}
	switch {
	case f < 20:
		names := few
		if ordinal {
			names = fewOrdinals
		}
		return join(" and ", names[int(f)])
	case f < 100:
		n := int(f)
		out := join(" and ", decades[n/10-2])
		if n%10 > 0 {
			return out + "-" + words(float64(n%10), false, ordinal)
		}
		if ordinal {
			return out[:len(out)-1] + "ieth"
		}
		return out
	case f < 1000:
		n := int(f)
		return tail(join(", ", few[n/100]+" Hundred"), float64(n%100), ordinal)
	}
	m := min(int(math.Floor(math.Log10(f)/3)), len(magnitudes))
	factor := math.Pow(10, float64(m*3))
	count := math.Floor(f / factor)
	return tail(join(", ", words(count, false, false)+" "+magnitudes[m-1]), f-count*factor, ordinal)
}

func tail(out string, rest float64, ordinal bool) string {
	switch {
	case rest > 0:
		return out + words(rest, true, ordinal)
	case ordinal:
		return out + "th"
	}
	return out
}

// wordValues are the numbers that words stand for, in lower case.
var wordValues = sync.OnceValue(func() map[string]float64 {
	v := map[string]float64{}
	for i := range few {
		v[strings.ToLower(few[i])] = float64(i)
		v[strings.ToLower(fewOrdinals[i])] = float64(i)
	}
	for i, d := range decades {
		d = strings.ToLower(d)
		v[d] = float64(i+2) * 10
		v[d[:len(d)-1]+"ieth"] = v[d]
	}
	v["hundredth"] = 100
	for i, m := range magnitudes {
		m = strings.ToLower(m)
		v[m] = math.Pow(10, float64(i+1)*3)
		v[m+"th"] = v[m]
	}
	return v
})

var wordBreak = regexp.MustCompile(`,\s|\sand\s|[\s\\-]`)

func readWords(text string) float64 {
	segs := []float64{0}
	for _, w := range wordBreak.Split(text, -1) {
		v, ok := wordValues()[w]
		if !ok {
			return math.NaN()
		}
		top := segs[len(segs)-1]
		switch {
		case v >= 100:
			segs[len(segs)-1] = top * v
		case top >= 1000:
			segs = append(segs, v)
		default:
			segs[len(segs)-1] = top + v
		}
	}
	total := 0.0
	for _, s := range segs {
		total += s
	}
	return total
}

func readRoman(text string) float64 {
	values := map[byte]float64{'M': 1000, 'D': 500, 'C': 100, 'L': 50, 'X': 10, 'V': 5, 'I': 1}
	total, most := 0.0, 1.0
	for i := len(text) - 1; i >= 0; i-- {
		v, ok := values[text[i]]
		if !ok {
			return math.NaN()
		}
		if v < most {
			total -= v
		} else {
			most = v
			total += v
		}
	}
	return total
}

func readLetters(text string, c letterCase) float64 {
	first := byte('a')
	if c == caseUpper {
		first = 'A'
	}
	total := 0.0
	for i := range len(text) {
		total = total*26 + float64(int(text[i])-int(first)+1)
	}
	return total
}

// pattern is the regular expression of texts that the picture describes.
func (p *intPicture) pattern() (string, error) {
	upper := p.letters == caseUpper
	pick := func(a, b string) string {
		if upper {
			return a
		}
		return b
	}
	switch p.style {
	case styleLetters:
		return pick("[A-Z]+", "[a-z]+"), nil
	case styleRoman:
		return pick("[MDCLXVI]+", "[mdclxvi]+"), nil
	case styleWords:
		return `(?:` + strings.Join(sortedKeys(wordValues()), "|") + `|and|[\-, ])+`, nil
	case styleDecimal:
		out := "[0-9]+"
		if p.width > 0 {
			if p.width > 1000 {
				return "", fault("D3136")
			}
			out = "[0-9]{" + strconv.Itoa(p.width) + "}"
		}
		if p.ordinal {
			out += "(?:th|st|nd|rd)"
		}
		return out, nil
	}
	return "", faultValue("D3130", p.token)
}

// parse reads a text that the picture describes; NaN where it cannot.
func (p *intPicture) parse(text string) (float64, error) {
	switch p.style {
	case styleLetters:
		return readLetters(text, p.letters), nil
	case styleRoman:
		if p.letters != caseUpper {
			text = strings.ToUpper(text)
		}
		return readRoman(text), nil
	case styleWords:
		return readWords(strings.ToLower(text)), nil
	case styleSequence:
		return 0, faultValue("D3130", p.token)
	}
	if p.ordinal {
		text = text[:max(0, len(text)-2)]
	}
	if p.regular > 0 {
		text = strings.ReplaceAll(text, ",", "")
	} else {
		for _, s := range p.seps {
			text = strings.ReplaceAll(text, s.char, "")
		}
	}
	return leadingNumber(strings.Map(func(r rune) rune { return r - p.zero + '0' }, text)), nil
}

// leadingNumber reads the digits at the beginning of a text, as JavaScript's parseInt.
func leadingNumber(s string) float64 {
	s = strings.TrimLeft(s, " \t\r\n")
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

func fnParseInteger(_ Call, args []any) (any, error) {
	picture, ok := args[1].(string)
	if !ok {
		return Undefined, nil
	}
	p, err := analyseInteger(picture)
	if err != nil {
		return nil, err
	}
	f, err := p.parse(args[0].(string))
	if err != nil {
		return nil, err
	}
	if math.IsNaN(f) {
		// JavaScript's NaN, which JSON cannot express.
		return Undefined, nil
	}
	return f, nil
}
