package bench

import (
	"fmt"

	"github.com/flashback-lm/flashback/internal/placement"
)

// Row is one measured kind of stride. The token counts are those of one stride.
type Row struct {
	Placement string `json:"placement"`
	Evidence  string `json:"evidence"` // virtual: "cold", each passage new, or "warm", its KV kept; else ""
	Echo      int    `json:"echo"`
	Context   int    `json:"context"`  // kept tokens before the stride
	Passages  int    `json:"passages"` // of the evidence
	Stride    int    `json:"stride"`   // tokens sampled

	MSPerToken    float64 `json:"ms_per_token"` // median of the rounds
	MinMSPerToken float64 `json:"ms_per_token_min"`
	MaxMSPerToken float64 `json:"ms_per_token_max"`
	Rounds        int     `json:"rounds"`
	// RatioToPrepend is how many times as fast as prepending the row is; 0 where
	// prepend was not measured.
	RatioToPrepend float64 `json:"ratio_to_prepend"`

	Prefilled      int `json:"tokens_prefilled"`
	Decoded        int `json:"tokens_decoded"`
	Reused         int `json:"tokens_reused"`
	EvidenceReused int `json:"evidence_reused"`

	// KVPages and KVBytes are the most that keys and values of the stride hold,
	// which is at its end: context, evidence and tail, of all branches. What is
	// kept for other strides is not counted.
	KVPages int   `json:"kv_pages"`
	KVBytes int64 `json:"kv_bytes"`

	Peer *PeerRow `json:"peer,omitempty"`
}

// PeerRow is what another server took for the same stride. For virtual evidence,
// which it does not know, it is its append.
type PeerRow struct {
	Name          string  `json:"name"`
	Placement     string  `json:"placement"`
	MSPerToken    float64 `json:"ms_per_token"` // the requests' time, by our clock
	MinMSPerToken float64 `json:"ms_per_token_min"`
	MaxMSPerToken float64 `json:"ms_per_token_max"`
	Prefilled     int     `json:"tokens_prefilled"` // -1: it did not tell
	// Ratio is how many times as fast as the peer we are.
	Ratio float64 `json:"ratio"`
}

// Name returns what tables and plots call the row.
func (r Row) Name() string {
	name := r.Placement
	if r.Evidence != "" {
		name += " " + r.Evidence
	}
	if r.Placement == placement.Append.Name && r.Echo > 0 {
		name += fmt.Sprintf(" echo %d", r.Echo)
	}
	return name
}
