package hub

import (
	"os"
	"path/filepath"
	"strings"
)

// envPath returns the path in an environment variable as the Hugging Face tools read
// it: ~ at its start is the user's directory, $NAME another variable, where it is set.
func envPath(key string) string {
	path := os.Getenv(key)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, rest)
		}
	}
	return os.Expand(path, func(name string) string {
		if value, ok := os.LookupEnv(name); ok {
			return value
		}
		return "$" + name
	})
}
