package tail

import "bytes"

// A trace is what the lines of a record so far tell of the next one: whether it belongs to a stack trace can depend on them.
type trace int

const (
	alone  trace = iota // one line, which the exception that it tells of may follow: Java, .NET
	begun               // several lines, or an exception
	python              // a traceback, whose last line names the exception
	goexit              // a goroutine's calls, each followed by its place
)

// continuations begin the lines of a stack trace that don't begin with a blank, whatever stands before them: Java's and Python's,
// and what remains of .NET's and JavaScript's after a formatter has removed the indentation.
var continuations = []continuation{
	{[]byte("at "), begun},
	{[]byte("Caused by:"), begun},
	{[]byte("Suppressed:"), begun},
	{[]byte("... "), begun},
	{[]byte("--- End of "), begun},
	{[]byte("Traceback (most recent call last):"), python},
	{[]byte("During handling of the above exception"), begun},
	{[]byte("The above exception was the direct cause"), begun},
	{[]byte("[signal SIG"), begun},
	{[]byte("goroutine "), goexit},
	{[]byte("created by "), goexit},
}

type continuation struct {
	begin []byte
	then  trace
}

// mayContinue are the first bytes of continuations: it spares all other lines the comparison, which is made once per line.
var mayContinue = func() (may [256]bool) {
	for _, c := range continuations {
		may[c.begin[0]] = true
	}
	return may
}()

// traceOf returns what the first line of a record tells of the next one.
func traceOf(line []byte) trace {
	if c := line[0]; c <= '9' && c != ' ' && c != '\t' && c != '\n' { // a timestamp, mostly
		return alone
	}
	if line[0] == ' ' || line[0] == '\t' || line[0] == '\n' {
		return begun
	}
	if then, is, _ := continued(line); is {
		return then
	}
	if is, _ := exception(line, true); is {
		return begun
	}
	return alone
}

// continues reports whether line continues a record, and whether its bytes suffice to be sure.
func (t trace) continues(line []byte) (then trace, is, sure bool) {
	if len(line) == 0 {
		return t, false, false
	}
	switch c := line[0]; {
	case c == ' ' || c == '\t':
		return max(t, begun), true, true
	case c == '\n': // Python's and Go's have empty lines inside
		if len(line) == 1 {
			return t, false, false
		}
		switch line[1] {
		case 'T', 'D', 'g':
			_, is, sure = continued(line[1:])
		default:
			sure = true
		}
		return begun, is, sure
	case mayContinue[c]:
		if then, is, sure = continued(line); is || !sure {
			return then, is, sure
		}
	}
	switch t {
	case alone:
		is, sure = exception(line, true)
	case python:
		is, sure = exception(line, false)
	case goexit:
		is, sure = call(line)
		return goexit, is, sure
	default:
		sure = true
	}
	return begun, is, sure
}

func continued(line []byte) (then trace, is, sure bool) {
	for _, c := range continuations {
		switch {
		case len(line) < len(c.begin):
			if bytes.HasPrefix(c.begin, line) {
				return 0, false, false
			}
		case bytes.HasPrefix(line, c.begin):
			if !bytes.Equal(c.begin, []byte("goroutine ")) {
				return c.then, true, true
			}
			if len(line) == len(c.begin) {
				return 0, false, false
			}
			digit := line[len(c.begin)]
			return c.then, '0' <= digit && digit <= '9', true
		}
	}
	return 0, false, true
}

// exception reports whether line names an exception: java.lang.IllegalStateException: no cart. Only a name with its package
// that says what it is can do without a traceback before it.
func exception(line []byte, qualified bool) (is, sure bool) {
	n, dots := 0, 0
	for ; n < len(line); n++ {
		switch c := line[n]; {
		case c == '.':
			dots++
			continue
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$' || n > 0 && '0' <= c && c <= '9':
			continue
		}
		break
	}
	if n == len(line) {
		return false, false
	}
	if n == 0 || line[n] != ':' && line[n] != '\n' && line[n] != '\r' {
		return false, true
	}
	name := line[:n]
	return !qualified || dots > 0 && (bytes.HasSuffix(name, []byte("Exception")) || bytes.HasSuffix(name, []byte("Error"))), true
}

// call reports whether line is a call in a goroutine's stack: main.(*Cart).Add(0xc000012345, {0x1, 0x2}).
func call(line []byte) (is, sure bool) {
	for i, c := range line {
		switch c {
		case ' ', '\n':
			return false, true
		case '(':
			end := bytes.IndexByte(line[i:], '\n')
			return end > 0 && line[i+end-1] == ')', end >= 0
		}
	}
	return false, false
}
