package jinja

import (
	"fmt"
	"strings"
	"time"
)

// directives are what strftime writes for the letters behind "%"; Go's layouts say how.
var directives = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'm': "01", 'y': "06", 'Y': "2006",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'z': "-0700", 'Z': "MST",
	'D': "01/02/06", 'F': "2006-01-02", 'R': "15:04", 'T': "15:04:05", 'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// strftime writes a time in a format of C, in English. A "-" behind "%" leaves leading zeros out.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		short := format[i] == '-' && i+1 < len(format)
		if short {
			i++
		}
		text := ""
		switch c := format[i]; c {
		case '%':
			text = "%"
		case 'n':
			text = "\n"
		case 't':
			text = "\t"
		case 'f':
			text = fmt.Sprintf("%06d", t.Nanosecond()/1000)
		case 's':
			text = fmt.Sprint(t.Unix())
		case 'w':
			text = fmt.Sprint(int(t.Weekday()))
		case 'u':
			text = fmt.Sprint(1 + (int(t.Weekday())+6)%7)
		default:
			layout, ok := directives[c]
			if !ok {
				failf("strftime_now does not know %%%c", c)
			}
			text = t.Format(layout)
		}
		if short {
			if text = strings.TrimLeft(text, "0 "); text == "" {
				text = "0"
			}
		}
		b.WriteString(text)
	}
	return b.String()
}
