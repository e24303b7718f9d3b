package eval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flashback-lm/flashback/internal/model"
)

// Domains are the sets of texts of the paper's tables.
var Domains = []string{"wikitext", "arxiv", "freelaw", "stackexchange"}

// ParseDomain returns which of Domains is meant.
func ParseDomain(name string) (int, error) {
	if i := slices.Index(Domains, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("unknown domain %q: use one of %s", name, strings.Join(Domains, ", "))
}

// Published are perplexities that the paper's authors published for one model.
type Published struct {
	Model string               // its name
	Rows  map[string][]float64 // by the names of PaperRows, for each of Domains
}

// PublishedSource says where they are from.
const PublishedSource = "the first README of the authors' repository, github.com/BIT-NLP-GROUP/FlashBack"

// published are by layers and width of OPT.
var published = map[[2]int]Published{
	{24, 2048}: {"OPT-1.3B", map[string][]float64{
		"none": {16.72, 9.64, 8.58, 7.78}, "prepend": {15.02, 9.59, 8.35, 7.63}, "prepend-lora": {10.23, 8.33, 7.47, 6.87},
		"append": {81.57, 51.94, 53.73, 42.99}, "append-lora": {12.65, 11.38, 10.11, 9.13}, "flashback": {10.49, 8.72, 7.85, 7.17},
	}},
	{32, 2560}: {"OPT-2.7B", map[string][]float64{
		"none": {14.50, 8.72, 7.74, 6.99}, "prepend": {13.14, 8.68, 7.56, 6.88}, "prepend-lora": {9.23, 7.69, 6.80, 6.23},
		"append": {76.41, 50.68, 51.78, 42.48}, "append-lora": {11.58, 10.88, 9.31, 8.51}, "flashback": {9.52, 8.08, 7.19, 6.53},
	}},
	{32, 4096}: {"OPT-6.7B", map[string][]float64{
		"none": {12.30, 7.74, 6.94, 6.22}, "prepend": {11.20, 7.73, 6.83, 6.15}, "prepend-lora": {8.23, 6.98, 6.19, 5.58},
		"append": {68.31, 46.53, 48.33, 40.25}, "append-lora": {10.54, 10.92, 9.27, 8.04}, "flashback": {8.59, 7.43, 6.64, 5.94},
	}},
}

// PublishedFor returns what was published for a model of this shape, and whether there is
// any.
func PublishedFor(c model.Config) (Published, bool) {
	if c.Family != "opt" {
		return Published{}, false
	}
	p, ok := published[[2]int{c.Layers, c.Hidden}]
	return p, ok
}
