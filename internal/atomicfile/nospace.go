package atomicfile

import "errors"

// NoSpace reports whether an error says that the disk is full.
func NoSpace(err error) bool { return errors.Is(err, errNoSpace) }
