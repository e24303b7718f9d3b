// Package trec reads and writes the files of the field's evaluation tools:
// topics, run files and relevance judgements (qrels).
package trec

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/flashback-lm/flashback/internal/retrieve"
)

// Topic is a query with its id.
type Topic struct{ ID, Query string }

// ReadTopics reads lines of an id, a tab and a query.
func ReadTopics(path string) ([]Topic, error) {
	var topics []Topic
	err := readLines(path, func(line string) error {
		id, query, ok := strings.Cut(line, "\t")
		if !ok || id == "" {
			return fmt.Errorf("a topic is an id, a tab and a query")
		}
		topics = append(topics, Topic{id, query})
		return nil
	})
	if err == nil && len(topics) == 0 {
		err = fmt.Errorf("%s: no topics", path)
	}
	return topics, err
}

// runTag names this program in the runs that it writes.
const runTag = "flashback"

// WriteRun writes one line of a run file: topic, Q0, passage, rank, score, tag.
func WriteRun(w io.Writer, topic string, rank int, p retrieve.Passage) error {
	_, err := fmt.Fprintf(w, "%s Q0 %s %d %s %s\n", field(topic), field(p.ID), rank, strconv.FormatFloat(p.Score, 'g', 9, 64), runTag)
	return err
}

// field replaces the blanks of a name, which separate a run file's columns.
func field(name string) string { return strings.Join(strings.Fields(name), "_") }

// readLines calls f with every line that is not blank; its errors get the line's
// number.
func readLines(path string, f func(line string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<24)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimRight(s.Text(), "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
